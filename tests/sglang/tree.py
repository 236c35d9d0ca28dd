"""The processes of one run of a worker, so that it can be told later what is left of them.

By session and by parenthood: SGLang's scheduler and detokenizer write their titles over their environment
(setproctitle), so that no mark in there finds them.
"""

import os
import signal
from pathlib import Path
from typing import NamedTuple


class Member(NamedTuple):
    pid: int
    start: int
    """Clock ticks since boot: with the pid, one process and no other."""
    name: str
    parent: int
    session: int


def _read(pid: int) -> Member | None:
    """A living process; None where there is none, or a zombie."""
    try:
        head, _, tail = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return None
    fields = tail.split()  # from the third of proc(5) on
    if fields[0] in "ZX":
        return None
    return Member(pid, int(fields[19]), head.partition("(")[2], int(fields[1]), int(fields[3]))


def _all() -> list[Member]:
    found = (_read(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return [member for member in found if member is not None]


class Tree:
    """What runs below `root`, a worker's first process, which leads a session of its own."""

    def __init__(self, root: int) -> None:
        self.root = root
        self._known: set[tuple[int, int]] = set()
        self.look()

    def look(self) -> list[Member]:
        """Its living members now; each that was ever seen stays known."""
        everyone = _all()
        below = {self.root}
        while more := {m.pid for m in everyone if m.parent in below} - below:
            below |= more
        members = [m for m in everyone if m.pid in below or m.session == self.root or (m.pid, m.start) in self._known]
        self._known |= {(m.pid, m.start) for m in members}
        return members

    def children(self) -> list[Member]:
        return [m for m in self.look() if m.pid != self.root]

    def left(self) -> list[str]:
        """Names and pids of what still lives."""
        return [f"{m.name} ({m.pid})" for m in self.look()]

    def signal(self, name: str | None, sig: signal.Signals) -> None:
        """Signal the one member whose name begins with `name`, or the root."""
        (member,) = [m for m in self.look() if (m.pid == self.root if name is None else m.name.startswith(name))]
        assert _signal(member, sig), f"{member} has gone, and its pid may be another's"

    def kill(self) -> None:
        for member in self.look():
            _signal(member, signal.SIGKILL)


def _signal(member: Member, sig: signal.Signals) -> bool:
    """False where that process has gone."""
    try:
        fd = os.pidfd_open(member.pid)
    except ProcessLookupError:
        return False
    try:
        now = _read(member.pid)
        if now is None or now.start != member.start:
            return False
        signal.pidfd_send_signal(fd, sig)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True

"""Finds the processes of a tree by what each of them carries, wherever it went and whoever is its parent now.

A process of programs/tree.py has a mark in its environment and holds a FIFO, the lifeline. What has neither is never
touched. Processes of a box are found too: whoever may read the machine's /proc sees into every pid namespace below.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from qvl.shim import proc

from benchmarks.lab import BenchmarkError

MARK, ROOT, ROLE = b"BENCH_TREE=", b"BENCH_TREE_ROOT=", b"BENCH_TREE_ROLE="
PATIENCE = 15.0
"""Seconds in which what was killed must be gone."""


@dataclass(frozen=True, slots=True)
class Member:
    """A living process of a tree. `root` is the number that its root gave itself, `pid` is the machine's."""

    pid: int
    start: int
    root: int
    role: str


def members(mark: str) -> list[Member]:
    """Every living process that carries `mark` in its environment (proc(5): that of its last exec)."""
    found = []
    for pid in _pids():
        process = proc.read(pid)
        if process is None or process.state in proc.DEAD_STATES:
            continue
        try:
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # gone, or not ours to read
            continue
        if MARK + mark.encode() in entries and proc.start_time(pid) == process.start:
            found.append(Member(pid, process.start, int(_value(entries, ROOT)), _value(entries, ROLE)))
    return found


def end(mark: str) -> None:
    """SIGKILL to every process that carries `mark`, until there is none."""
    until = time.monotonic() + PATIENCE
    while left := members(mark):
        if time.monotonic() > until:
            raise BenchmarkError(f"processes outlive SIGKILL: {', '.join(str(m.pid) for m in left)}")
        for member in left:
            proc.send_signal(member.pid, member.start, signal.SIGKILL)
        time.sleep(0.01)


class Lifeline:
    """The FIFO that all trees hold. `with`: on leaving, what still holds it is ended, and that is said as an error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path, 0o600)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # both ways: an open for writing alone waits for a reader

    def holders(self) -> list[tuple[int, int]]:
        """Pid and start time of each process that has it open, but for ours."""
        ours = os.fstat(self._fd)
        found = []
        for pid in _pids():
            start = proc.start_time(pid)
            if pid != os.getpid() and start is not None and any(os.path.samestat(ours, fd) for fd in _files(pid)):
                found.append((pid, start))
        return found

    def __enter__(self) -> "Lifeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.holders()
        for pid, start in left:
            proc.send_signal(pid, start, signal.SIGKILL)
        os.close(self._fd)
        self.path.unlink()
        if left and error is None:
            raise BenchmarkError(f"{len(left)} processes of a tree were left by the measurement, and are killed now")


class Watch:
    """Sees when the last of a tree is gone, without looking again and again: the kernel tells of each end."""

    def __init__(self, mark: str) -> None:
        self.gone_at: float | None = None
        """When the last one ended (CLOCK_MONOTONIC); None while there are any."""
        self._mark = mark
        self._poll = select.poll()
        self._told, self._tell = os.pipe()
        self._poll.register(self._told, select.POLLIN)
        self._ends: set[int] = set()
        self._follow(members(mark))
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._tell)
        self._thread.join()
        for fd in (self._told, *self._ends):
            os.close(fd)

    def _follow(self, processes: Iterable[Member]) -> None:
        for member in processes:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(member.pid)
                self._poll.register(fd, select.POLLIN)
                self._ends.add(fd)

    def _wait(self) -> None:
        last = time.monotonic()
        while True:
            while not self._ends:
                # What was forked meanwhile is met here.
                self._follow(left := members(self._mark))
                if not left:
                    self.gone_at = last
                    return
            for fd, _ in self._poll.poll():
                if fd == self._told:
                    return
                last = time.monotonic()
                self._poll.unregister(fd)
                self._ends.remove(fd)
                os.close(fd)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _files(pid: int) -> Iterator[os.stat_result]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            yield os.stat(f"/proc/{pid}/fd/{name}")


def _value(entries: list[bytes], name: bytes) -> str:
    return next(entry.removeprefix(name).decode() for entry in entries if entry.startswith(name))

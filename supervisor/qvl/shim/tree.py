"""The worker's processes: reaps them, signals them, and does not rest until none is left.

The shim is a subreaper, so whatever the worker forked away (a new session, a double fork) becomes the shim's child when
its parent ends. The tree is empty exactly when the kernel says that the shim has no child left; no list of pids is
trusted for that.
"""

from __future__ import annotations

import os
import signal as signals
import time

from qvl.shim import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.shim.wire import Json

GRACE = 1.0
"""Seconds from the SIGTERM that the rest of a tree gets, once its root has ended, to SIGKILL."""
FIRST_ROUND = 0.05
LAST_ROUND = 1.0
"""Seconds between two rounds of signals; they double, since a process that survives SIGKILL sits in a driver."""
SEEN_LIMIT = 4096
"""Pids that are remembered: an engine that forks for each request must not fill a shim's memory."""


class Tree:
    """The processes below this shim, which has one root: the worker that it started."""

    def __init__(self, root: int, cgroup: str = "") -> None:
        self.root = root
        self.seen = {root}
        """Pids of processes that were met in the tree, ended ones too."""
        self._cgroup = cgroup
        self.exited: Json | None = None
        """How and when the root ended: code, signal, at, at_mono."""
        self.empty = False
        self.due: float | None = None
        """When `step` wants to be called next, on the monotonic clock."""
        self._kill_at: float | None = None
        self._round = FIRST_ROUND
        self._asked: set[tuple[int, int]] = set()

    def reap(self) -> bool:
        """Take every status that waits to be taken; True if the root's was among them."""
        root_ended = False
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._see(pid)
                if pid == self.root and self.exited is None:
                    self.exited = _describe(status)
                    root_ended = True
        except ChildProcessError:
            self.empty = True
            self.due = None
        return root_ended

    def end(self, now: float, grace: float = GRACE) -> None:
        """Begin to end whatever is left: SIGTERM, and SIGKILL after `grace` seconds; at once where it is 0."""
        kill_at = now + grace
        if self._kill_at is None or kill_at < self._kill_at:
            self._kill_at = kill_at
            self._round = FIRST_ROUND
            self.step(now)

    def step(self, now: float) -> None:
        """One round of signals. A process that forks away from one round is met in the next."""
        if self._kill_at is None or self.empty:
            return
        killing = now >= self._kill_at
        if killing:
            self._kill_group()
        for process in self._members():
            identity = (process.pid, process.start)
            if killing:
                proc.send_signal(*identity, signals.SIGKILL)
            elif identity not in self._asked:
                self._asked.add(identity)
                proc.send_signal(*identity, signals.SIGTERM)
        self.due = now + self._round if killing else min(now + self._round, self._kill_at)
        self._round = min(self._round * 2, LAST_ROUND)

    def signal(self, sig: int, scope: str) -> None:
        """Send one signal now; ProcessLookupError where the scope holds nobody any more, PermissionError as it comes.

        While the root's status is not taken, its pid and its group's cannot belong to anyone else, so the kernel's own
        calls are safe; the one for the group also misses no process that is being forked.
        """
        members = self._members()
        if scope == "root" and self.exited is None:
            os.kill(self.root, sig)
        elif scope == "group" and self.exited is None:
            os.killpg(self.root, sig)
        else:
            members = [
                process for process in members if scope == "tree" or (scope == "group" and process.group == self.root)
            ]
            if not any([proc.send_signal(process.pid, process.start, sig) for process in members]):
                raise ProcessLookupError

    def processes(self) -> list[Json]:
        """Every process below the shim, as `records.TreeProcess` has it."""
        return [
            {"pid": p.pid, "start": p.start, "ppid": p.ppid, "comm": p.comm, "state": p.state} for p in self._members()
        ]

    def _members(self) -> list[proc.Process]:
        members = proc.descendants(os.getpid())
        for process in members:
            self._see(process.pid)
        return members

    def _see(self, pid: int) -> None:
        if len(self.seen) < SEEN_LIMIT:
            self.seen.add(pid)

    def _kill_group(self) -> None:
        """All at once where the kernel can (5.14): what forks faster than it is found can't outrun that."""
        if not self._cgroup:
            return
        try:
            fd = os.open(f"{self._cgroup}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, b"1")
            finally:
                os.close(fd)
        except OSError:
            return


def _describe(status: int) -> Json:
    signaled = os.WIFSIGNALED(status)
    return {
        "code": None if signaled else os.WEXITSTATUS(status),
        "signal": os.WTERMSIG(status) if signaled else None,
        "at": time.time(),
        "at_mono": time.monotonic(),
    }

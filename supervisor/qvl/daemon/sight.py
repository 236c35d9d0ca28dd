"""What /proc shows of a worker from outside: whose socket listens on its port, and whether its processes compute.

A stranger that answers on the port is never taken for the worker, and a server that says nothing is told from one that
does nothing.
"""

import os
import time
from typing import NamedTuple

from qvl.host.ports import Holding, holder, holding, listening_inodes
from qvl.shim import proc

_TICKS = os.sysconf("SC_CLK_TCK")
HALTED = "T"
"""Stopped by a signal; `t`, being traced, is what a debugger or py-spy makes of it for a moment."""


class Listener(NamedTuple):
    """Who listens on a worker's port, as a sentence where it isn't the worker: another process, or nobody."""

    stranger: str | None = None
    nobody: str | None = None

    @property
    def is_ours(self) -> bool:
        return self.stranger is None and self.nobody is None


OURS = Listener()


class Port:
    """The port of one worker. `root`: its root process."""

    def __init__(self, root: int, port: int) -> None:
        self._root = root
        self._port = port
        self._known: Holding | None = None

    def listener(self) -> Listener:
        """Who listens on the port. Looks through /proc unless the last owner still does: call it in a thread."""
        if self._known is not None and self._known.still():
            return OURS
        inodes = listening_inodes(self._port)
        if not inodes:
            return Listener(nobody=f"nothing listens on port {self._port}")
        self._known = next((found for pid in _tree(self._root) if (found := holding(pid, inodes)) is not None), None)
        if self._known is not None:
            return OURS
        other = holder(self._port) or "another process"
        return Listener(stranger=f"port {self._port} is held by {other}, not by this worker")


class Activity(NamedTuple):
    """What a tree has done, at one look."""

    at: float
    """CLOCK_MONOTONIC, seconds."""
    cpu: float
    """Seconds on a processor, of the processes that live."""
    halted: bool

    def share_since(self, old: "Activity") -> float:
        """Processors in use since an older look."""
        return max(0.0, self.cpu - old.cpu) / max(self.at - old.at, 1e-3)


def activity(root: int) -> Activity:
    """Look at the tree of `root`. Scans /proc: call it in a thread."""
    members = [member for pid in _tree(root) if (member := proc.read(pid)) is not None]
    ticks = sum(member.ticks for member in members)
    return Activity(time.monotonic(), ticks / _TICKS, any(member.state == HALTED for member in members))


def _tree(root: int) -> list[int]:
    return [root, *(member.pid for member in proc.descendants(root))]

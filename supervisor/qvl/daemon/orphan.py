"""A worker whose shim was killed: it may serve on, but its pipes are broken and nobody will see it end.

It answers to what a link to a shim answers to, so that it is drained, asked and killed by the same orders. Signals go
to processes that are proven to be this run's (`qvl.daemon.ending.survivors`), never to a bare pid.
"""

import asyncio
import signal

from qvl.daemon import groups
from qvl.daemon.ending import kill_leftovers, survivors
from qvl.model.worker import Process
from qvl.shim import proc

PERIOD = 0.2
"""Seconds between looks at whether it still lives: nobody tells."""


class Orphan:
    """The tree of `process`; implements `Tree`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.seen: set[int] = {process.pid}
        """Pids that were met in the tree."""

    @property
    def lives(self) -> bool:
        """Whether the root process does."""
        return proc.is_alive(self._process.pid, self._process.pid_start)

    async def signal(self, sig: int) -> None:
        proc.send_signal(self._process.pid, self._process.pid_start, sig)

    async def kill(self) -> None:
        if self._process.cgroup:
            groups.kill(self._process.cgroup)
        for member in await self.look():
            proc.send_signal(member.pid, member.start, signal.SIGKILL)

    async def set_logs(self, max_size: int, keep: int) -> None:
        """There is no log any more."""

    async def until_gone(self) -> bool:
        """Return once the root has ended and what it left is killed. False if something outlives that."""
        while self.lives:  # noqa: ASYNC110 - it is nobody's child, so nobody is told
            await asyncio.sleep(PERIOD)
        return await kill_leftovers(self._process)

    async def look(self) -> list[proc.Process]:
        """What lives of the tree."""
        found = await asyncio.to_thread(survivors, self._process)
        self.seen |= {member.pid for member in found}
        return found

"""All that is known of one worker beside its status: its start, what its engine has room for, its processes, its ends.

It is looked up when somebody asks, in a thread where that reads files, and of one worker once at a time: who asks
meanwhile gets the same answer.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable

import msgspec

from qvl.core.starts import Start, detail
from qvl.daemon import report
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.journal import Journal
from qvl.daemon.launcher import Launcher
from qvl.daemon.processes import Tree, tree_of
from qvl.daemon.shared import Shared
from qvl.daemon.starts import capacity_of
from qvl.daemon.worker import Worker
from qvl.model.detail import EngineCapacity, PastExit, WorkerDetail
from qvl.model.event import Event
from qvl.model.worker import Cause, WorkerRecord

EXITS = 10
"""Ends that are told, at most."""

AT_ONCE = 2
"""Workers that are looked at: a disk that hangs must not hold all threads, which fetch the figures of the cards too."""


class Details:
    def __init__(self, launcher: Launcher, gpus: GpuMonitor, journal: Journal) -> None:
        self._launcher = launcher
        self._gpus = gpus
        self._journal = journal
        self._places = asyncio.Semaphore(AT_ONCE)
        self._shared = Shared[WorkerDetail]("detail")
        self._read: dict[str, tuple[int, EngineCapacity | None]] = {}
        """What the log of a start that is over has said, by worker, with its generation: it says nothing more."""

    async def ask(self, worker: Worker) -> WorkerDetail:
        return await self._shared.ask(worker.name, lambda: self._look(worker))

    async def _look(self, worker: Worker) -> WorkerDetail:
        async with self._places:
            start, process, latest = worker.start, worker.record.process, self._gpus.latest
            tree = Tree((), 0) if process is None else await asyncio.to_thread(tree_of, process, latest)
            capacity = None if start is None else await self._capacity(worker.name, start)
        return WorkerDetail(
            worker=report.worker_status(worker),
            start=None if start is None else detail(start, time.monotonic()),
            capacity=capacity,
            processes=tree.processes,
            processes_left_out=tree.left_out,
            exits=past_exits(self._journal.since(0), worker.record),
        )

    async def _capacity(self, name: str, start: Start) -> EngineCapacity | None:
        generation, known = self._read.get(name, (-1, None))
        if start.capacity is not None or generation == start.generation:
            return start.capacity or known
        found = await asyncio.to_thread(capacity_of, self._launcher.log_dir(name), start.log_offset)
        if start.over:
            self._read[name] = start.generation, found
        return found


def past_exits(events: Iterable[Event], record: WorkerRecord) -> tuple[PastExit, ...]:
    """The last ends of a worker, the newest first, as the journal has them; the record's last one at least."""
    mine = [event for event in events if event.kind == "worker.exit" and event.worker == record.name]
    found = [end for event in reversed(mine[-EXITS:]) if (end := _exit(event)) is not None]
    if not found and (last := record.last_exit) is not None:
        status = report.exit_status(last)
        found = [PastExit(status.at, last.cause, last.code, last.signal, last.evidence, last.hint)]
    return tuple(found)


def _exit(event: Event) -> PastExit | None:
    """None for one that is written as no daemon of ours writes it: the file may be anybody's."""
    with contextlib.suppress(msgspec.ValidationError):
        data = msgspec.convert(event.data or {}, _ExitData)
        return PastExit(
            at=event.at,
            cause=data.cause,
            code=data.code,
            signal=data.signal,
            evidence=data.evidence,
            hint=data.hint,
            was_ready=data.was_ready,
            lived_s=data.lived_s,
            profile=data.profile,
        )
    return None


class _ExitData(msgspec.Struct):
    """The facts of a `worker.exit` event. Those of earlier daemons lack the later ones."""

    cause: Cause
    code: int | None = None
    signal: int | None = None
    evidence: str | None = None
    hint: str | None = None
    was_ready: bool | None = None
    lived_s: float | None = None
    profile: str | None = None

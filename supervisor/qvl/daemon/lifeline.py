"""Holds on to a worker's process from its start to its end, and puts away what it leaves.

A shim that lives tells everything. One that was killed leaves a worker that may serve on, with pipes that nobody reads
and an end that nobody will see: it is found again, drained, ended and started anew.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from qvl.core.classify import Finding
from qvl.core.inputs import Condemned, Ended, RootEnded
from qvl.core.xid import RELEVANT, attribute
from qvl.daemon import groups
from qvl.daemon.ending import empty_group, end_of, kill_leftovers
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.launcher import Launcher, remove_tmpdir
from qvl.daemon.leftovers import sweep
from qvl.daemon.orphan import Orphan
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.worker import Tree, Worker
from qvl.engines.advice import worded
from qvl.host.crashpoint import crash_point
from qvl.model.worker import Cause, Exit, Process, Verdict, WorkerRecord
from qvl.shim import proc
from qvl.shim.client import ShimError, ShimLink, attach, read_exit
from qvl.shim.records import Exited, Gone, Lost

log = logging.getLogger(__name__)

REATTACH = 0.5
"""Seconds between two attempts to reach a shim that lives."""

NO_TREE = 0.02
"""Seconds between two looks for a link that is just being made."""


class Lifeline:
    def __init__(self, supervisor: Supervisor, launcher: Launcher, gpus: GpuMonitor) -> None:
        self._supervisor = supervisor
        self._launcher = launcher
        self._gpus = gpus
        # Also shims of an earlier run of this process (`qvl.daemon.succession`) whose workers are over by now.
        self._children = {child.pid for child in proc.descendants(os.getpid()) if child.ppid == os.getpid()}
        """Shims that may be children of this process."""

    async def follow(self, worker: Worker, record: WorkerRecord) -> None:
        """Hold the link to a worker's shim until its tree is gone, put away what is left, and tell how it ended."""
        process = record.process
        assert process is not None
        bundle = self._supervisor.store.bundle(worker.name)
        self._children.add(process.shim_pid)
        gone, seen = await self._hold(worker, process, bundle), set[int]()
        if gone and process.cgroup and not await empty_group(process.cgroup):
            log.error("worker %s: something in %s outlives SIGKILL", worker.name, process.cgroup)
        if not gone:
            # A shim that says so has seen its whole tree end; where it can't say, we look ourselves.
            seen = await self._outlast(worker, record, process)
        end = await self._end_of(worker, record, bundle)
        await asyncio.to_thread(_put_away, bundle, process, seen)
        crash_point("before an end is told")
        self._supervisor.post(worker.name, Ended(record.generation, end))

    async def _end_of(self, worker: Worker, record: WorkerRecord, bundle: Path) -> Exit:
        """How it ended: by its log and its exit, then by what its cards say, then with the engine's own advice."""
        log_dir = self._launcher.log_dir(worker.name)
        now = worker.record
        end = await asyncio.to_thread(
            end_of, bundle, record, log_dir, was_ready=now.served, condemned=now.verdict is not None
        )
        launched = record.launched
        if launched is None or record.process is None:
            return end
        if launched.gpus and not now.asked:
            await self._gpus.sample()  # what happened a moment ago may not be read yet
        since = max(record.process.started_mono, time.monotonic() - RELEVANT)
        faults = self._gpus.faults_of(launched.gpus, since)
        found = attribute(Finding(end.cause, end.evidence, end.hint), faults)
        advice = None
        if found.evidence is not None:
            advice = await asyncio.to_thread(
                self._launcher.driver(launched).advice, launched, found.cause, found.evidence
            )
        return msgspec.structs.replace(
            end, cause=found.cause, evidence=found.evidence, hint=advice or worded(found.hint, launched.engine.kind)
        )

    async def signal(self, worker: Worker, send: Callable[[Tree], Awaitable[None]]) -> None:
        """Do something to a worker's tree, as soon as there is a way to."""
        # A link may just be being made: the worker was asked to stop while it was spawned, or its shim is slow.
        while worker.tree is None:
            if worker.record.process is None:
                return
            await asyncio.sleep(NO_TREE)
        crash_point("before a signal is sent")
        with contextlib.suppress(ShimError):  # a shim that ends while we speak has ended its tree, or left an orphan
            await send(worker.tree)
        crash_point("after a signal was sent")

    def reap(self) -> None:
        """Take the exit status of shims that nobody else waits for, so that no zombie stays."""
        for pid in list(self._children):
            try:
                if os.waitpid(pid, os.WNOHANG) != (0, 0):
                    self._children.discard(pid)
            except ChildProcessError:
                self._children.discard(pid)

    async def _hold(self, worker: Worker, process: Process, bundle: Path) -> bool:
        """Listen to the shim until it ends. True where it said that nothing of its worker is left."""
        told = False
        while True:
            try:
                if await self._hold_link(worker, process, bundle):
                    return True
            except ShimError as error:
                if not told:
                    log.warning("worker %s: %s", worker.name, error)
                told = True
            if not proc.is_alive(process.shim_pid, process.shim_start):
                return False
            # It lives and looks after its worker: a machine without a moment to spare is no reason to give up either.
            await asyncio.sleep(REATTACH)

    async def _hold_link(self, worker: Worker, process: Process, bundle: Path) -> bool:
        """Listen to a shim for as long as it speaks; True once it says that nothing of its worker is left. ShimError
        where it can't be reached."""
        link = await attach(bundle)
        if (link.state.shim_pid, link.state.shim_start) != (process.shim_pid, process.shim_start):
            await link.close()
            raise ShimError(f"shim {process.shim_pid} is gone, {link.state.shim_pid} has its place")
        worker.tree = link
        worker.lost_bytes = link.state.lost_bytes
        try:
            if link.state.exited is not None:
                self._supervisor.post(worker.name, RootEnded(link.state.generation))
            return link.state.gone or await self._listen(worker, link)
        finally:
            worker.tree = None
            await link.close()

    async def _listen(self, worker: Worker, link: ShimLink) -> bool:
        async for message in link.messages():
            match message:
                case Gone(lost_bytes=lost):
                    worker.lost_bytes = lost
                    return True
                case Lost(lost_bytes=lost):
                    worker.lost_bytes = lost
                case Exited():
                    self._supervisor.post(worker.name, RootEnded(link.state.generation))
        return False

    async def _outlast(self, worker: Worker, record: WorkerRecord, process: Process) -> set[int]:
        """See a tree without a shim to its end; the pids that were met in it."""
        orphan = Orphan(process)
        await orphan.look()
        if orphan.lives:
            worker.tree = orphan
            why = f"its shim (pid {process.shim_pid}) was killed: its output is lost, and nobody would see it end"
            self._supervisor.post(worker.name, Condemned(record.generation, Verdict(Cause.KILLED, why), gently=True))
            try:
                gone = await orphan.until_gone()
            finally:
                worker.tree = None
        else:
            gone = await kill_leftovers(process)
        while not gone:
            log.error("worker %s: processes outlive SIGKILL, waiting for them", worker.name)
            gone = await kill_leftovers(process)
        return orphan.seen


def _put_away(bundle: Path, process: Process, seen: set[int]) -> None:
    """Take away what the tree has left on the host. Before its end is told, since a start may follow at once."""
    remove_tmpdir(bundle)
    written = read_exit(bundle)
    if written is not None and written.pid == process.pid:
        seen = seen | set(written.pids)
    sweep(seen)
    if process.cgroup:
        groups.remove(process.cgroup)

"""The one writer. Everything that changes a worker comes through one inbox, one turn at a time:

    input → core.lifecycle.step → record on disk → events told → deadline armed → effects under way

What runs beside a worker (its gate, probes, log follower) follows from its phase alone, so a daemon that adopts workers
attends to them exactly as the one that started them did.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

import msgspec

from qvl.core.inputs import DeadlinePassed, Effect, Input, RestartAsked, StartAsked, StopAsked
from qvl.core.lifecycle import Step, step
from qvl.core.planning import launch_changes
from qvl.daemon import clock
from qvl.daemon.journal import Journal
from qvl.daemon.report import worker_status
from qvl.daemon.store import Store
from qvl.daemon.worker import Worker
from qvl.host.crashpoint import crash_point
from qvl.model.event import Change, Severity
from qvl.model.spec import WorkerSpec
from qvl.model.worker import Cause, Deadline, Exit, Phase, Wanted, WorkerRecord

log = logging.getLogger(__name__)

T = TypeVar("T")

TICK = 1.0
"""Seconds between housekeeping turns, which also prove to the watchdog that this loop turns."""


class Attendant(Protocol):
    """Carries out effects and keeps the tasks of a worker in step with its phase."""

    def carry_out(self, worker: Worker, effect: Effect) -> None: ...

    def attend(self, worker: Worker) -> None: ...

    def ended(self, worker: Worker, old: WorkerRecord) -> None: ...

    def respecified(self, worker: Worker) -> None: ...


class Supervisor:
    """Holds every worker. Its methods are called from its own loop's turns, but for `post`, `ask` and `until`."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self.store = store
        self.journal = journal
        self.workers: dict[str, Worker] = {}
        self.pool_wanted: dict[str, Wanted] = {}
        self.uncommitted: set[str] = set()
        """Workers that an earlier daemon left in the middle of a transaction. Their records on disk are on trial until
        it is decided what becomes of them, so that a successor has to decide it too."""
        self.attendant: Attendant
        self.on_tick: list[Callable[[], None]] = []
        self.can_settle: Callable[[Worker], bool] = lambda _: False
        """Whether a worker is brought to its specification without a restart, by itself."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after a worker changed: counts and the pools' state follow from it."""
        self._inbox: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._waiting: list[tuple[str, Callable[[Worker | None], bool], asyncio.Future[Worker | None]]] = []
        self._closed = False

    # ---- from outside the loop

    def post(self, name: str, event: Input) -> None:
        """Hand in what happened to a worker."""
        self._inbox.put_nowait(lambda: self.feed(name, event))

    async def ask(self, turn: Callable[[], T]) -> T:
        """Run `turn` in the loop and return what it returns or raises."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def run() -> None:
            if answer.cancelled():
                return
            try:
                answer.set_result(turn())
            except Exception as error:  # noqa: BLE001 - handed to the asker, whatever it is
                answer.set_exception(error)

        self._inbox.put_nowait(run)
        return await answer

    async def until(self, name: str, predicate: Callable[[Worker | None], bool]) -> Worker | None:
        """Wait until a worker satisfies `predicate`; it gets None once the worker is forgotten."""
        worker = self.workers.get(name)
        if predicate(worker):
            return worker
        future: asyncio.Future[Worker | None] = asyncio.get_running_loop().create_future()
        entry = (name, predicate, future)
        self._waiting.append(entry)
        try:
            return await future
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(entry)

    # ---- the loop

    async def run(self) -> None:
        """Turn until `close`."""
        tick = asyncio.get_running_loop().call_later(0, self._tick)
        try:
            while not self._closed:
                (await self._inbox.get())()
        finally:
            tick.cancel()

    def close(self) -> None:
        """Let go: tasks end, workers and their shims go on."""

        def last() -> None:
            for worker in self.workers.values():
                worker.cancel_all()
            self._closed = True

        self._inbox.put_nowait(last)

    def _tick(self) -> None:
        if not self._closed:
            self._inbox.put_nowait(self._housekeeping)
            asyncio.get_running_loop().call_later(TICK, self._tick)

    def _housekeeping(self) -> None:
        self.store.retry()
        for hook in self.on_tick:
            hook()

    # ---- turns

    def add(self, spec: WorkerSpec, record: WorkerRecord) -> Worker:
        worker = Worker(spec, record)
        self.workers[spec.name] = worker
        self._save(record)
        return worker

    def enter(self, spec: WorkerSpec) -> Worker:
        """A worker that was never seen before: what is wanted of it is its pool's will, else `autostart`. So is one
        that is about to be forgotten, but for the process that it still has."""
        default = Wanted.UP if spec.autostart else Wanted.DOWN
        wanted = self.pool_wanted.get(spec.pool, default)
        if (leaving := self.workers.get(spec.name)) is not None:
            leaving.removing, leaving.spec = False, spec
            if wanted is Wanted.UP:
                self.feed(spec.name, RestartAsked())
            self.tell(leaving)
            return leaving
        record = WorkerRecord(
            name=spec.name, pool=spec.pool, wanted=wanted, profile=spec.profile, since=clock.now().wall
        )
        worker = self.add(spec, record)
        if wanted is Wanted.UP:
            self.feed(spec.name, StartAsked())
        else:
            self.tell(worker)
        return worker

    def remove(self, name: str) -> None:
        """Forget a worker once it has stopped."""
        worker = self.workers[name]
        worker.removing = True
        self.feed(name, StopAsked())
        self._forget_if_done(worker)

    def take_back(self) -> dict[str, list[Worker]]:
        """Workers that run what nobody committed, or failed with it, are restarted with what holds; those that can do
        without are brought to it as they run. Those behind a gateway are for the caller to restart, so that somebody
        serves meanwhile: they come back by pool, in the order for that, and stay uncommitted until `settled`, as do
        their neighbours that are on their way."""
        names, self.uncommitted = self.uncommitted, set()
        turns: dict[str, list[Worker]] = {}
        for name in sorted(names):
            worker = self.workers.get(name)
            if worker is None:
                continue
            failed = worker.record.phase in (Phase.FAILED, Phase.BACKOFF)
            launched = worker.record.launched
            other = launched is not None and bool(launch_changes(launched, worker.spec.launch))
            if worker.record.wanted is Wanted.DOWN or not (failed or other) or self.can_settle(worker):
                self._save(worker.record)
            else:
                sentence = f"goes back to profile {worker.spec.profile}: the daemon ended before a change was committed"
                self.journal.publish("switch", sentence, worker=name, pool=worker.record.pool)
                if worker.spec.policy.routed:
                    self.uncommitted.add(name)
                    turns.setdefault(worker.record.pool, []).append(worker)
                else:
                    self.post(name, RestartAsked())
        for worker in (self.workers[name] for name in names if name in self.workers):
            record = worker.record
            if record.pool in turns and worker.spec.policy.routed and record.wanted is Wanted.UP and not record.ready:
                self.uncommitted.add(worker.name)
        return {pool: sorted(workers, key=lambda w: w.record.ready) for pool, workers in turns.items()}

    def settled(self, pool: str) -> None:
        """Note of those that were taken back that they are; one that wasn't after all is for the next attempt."""
        for name in sorted(self.uncommitted):
            worker = self.workers.get(name)
            if worker is None or worker.record.pool != pool:
                continue
            launched = worker.record.launched
            if launched is None or not launch_changes(launched, worker.spec.launch):
                self.uncommitted.discard(name)
                self._save(worker.record)

    def forget_pools(self, known: Collection[str]) -> None:
        """Keep the will for pools that are `known` only: one that comes back later begins anew."""
        kept = {pool: wanted for pool, wanted in self.pool_wanted.items() if pool in known}
        if kept != self.pool_wanted:
            self.pool_wanted = kept
            self.store.save_pools(kept)

    def take(self, worker: Worker, outcome: Step) -> None:
        """Make `outcome` of a worker true: on disk, told, armed, under way."""
        old = worker.record
        worker.record = outcome.record
        if outcome.record != old:
            if not _only_progress(old, outcome.record):
                self._save(outcome.record, durable=outcome.record.wanted is not old.wanted)
            if old.process is not None and outcome.record.process is None:
                self.attendant.ended(worker, old)
            self._announce(worker, old)
        self._arm(worker)
        self.attendant.attend(worker)
        for effect in outcome.effects:
            crash_point(f"before {effect}")
            self.attendant.carry_out(worker, effect)
        self._wake(worker.name)
        self._forget_if_done(worker)

    def _save(self, record: WorkerRecord, *, durable: bool = False) -> None:
        if record.name in self.uncommitted:
            record = msgspec.structs.replace(record, trial=True)
        self.store.save_record(record, durable=durable)

    def tell(self, worker: Worker) -> None:
        """Tell watchers how a worker is now. A gateway is told with its pool."""
        if not worker.spec.is_gateway:
            self.journal.change(Change(at=clock.wall_of(clock.now().mono), workers=(worker_status(worker),)))
        self.on_change()

    def feed(self, name: str, event: Input) -> None:
        """An input from within a turn."""
        worker = self.workers.get(name)
        if worker is None:
            return  # forgotten meanwhile
        self.take(worker, step(worker.record, worker.spec, event, clock.now()))

    def _arm(self, worker: Worker) -> None:
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None
        deadline = worker.record.deadline
        if deadline is not None:
            loop = asyncio.get_running_loop()  # its clock is CLOCK_MONOTONIC too
            worker.timer = loop.call_at(deadline.at, self._inbox.put_nowait, lambda: self._due(worker, deadline))

    def _due(self, worker: Worker, deadline: Deadline) -> None:
        if worker.record.deadline == deadline:  # a turn before this one may have moved it
            self.feed(worker.name, DeadlinePassed(deadline.kind))

    def _forget_if_done(self, worker: Worker) -> None:
        if not worker.removing or worker.record.phase is not Phase.STOPPED or worker.name not in self.workers:
            return
        worker.cancel_all()
        del self.workers[worker.name]
        self.store.forget(worker.name)
        if not worker.spec.is_gateway:
            self.journal.change(Change(at=clock.wall_of(clock.now().mono), removed=(worker.name,)))
        self.on_change()
        self._wake(worker.name)

    def _wake(self, name: str) -> None:
        worker = self.workers.get(name)
        for waited, predicate, future in list(self._waiting):
            if waited == name and not future.done() and predicate(worker):
                future.set_result(worker)

    def _announce(self, worker: Worker, old: WorkerRecord) -> None:
        new = worker.record
        at = new.since if new.phase is not old.phase else None
        if new.last_exit is not old.last_exit and new.last_exit is not None:
            end = new.last_exit
            how = f"signal {end.signal}" if end.signal is not None else f"code {end.code}"
            if end.signal is None and end.code is None:
                how = "never started" if old.process is None else "nobody saw how"
            self.journal.publish(
                "worker.exit",
                f"ended: {end.cause} ({how})" + (f": {end.evidence}" if end.evidence else ""),
                severity=Severity.INFO if end.cause is Cause.REQUESTED else Severity.WARNING,
                worker=new.name,
                pool=new.pool,
                data={
                    "cause": end.cause,
                    "code": end.code,
                    "signal": end.signal,
                    "evidence": end.evidence,
                    "hint": end.hint,
                    "was_ready": new.served if old.process is not None else None,
                    "lived_s": _lived(old, end),
                    "profile": old.profile or None,
                },
                at=at,
            )
        if new.phase is not old.phase:
            self.journal.publish(
                "worker.phase",
                f"{old.phase} → {new.phase}" + (f": {new.reason}" if new.reason else ""),
                severity=Severity.ERROR if new.phase is Phase.FAILED else Severity.INFO,
                worker=new.name,
                pool=new.pool,
                data={"from": old.phase, "to": new.phase, "reason": new.reason, "hint": new.hint},
                at=at,
            )
        elif new.ready is not old.ready or (new.reason != old.reason and new.reason and not new.ready):
            self.journal.publish(
                "worker.ready",
                "ready again"
                if new.ready
                else f"not ready: {new.reason}"
                if new.phase is Phase.RUNNING
                else f"{new.reason}",
                severity=Severity.INFO if new.ready else Severity.WARNING,
                worker=new.name,
                pool=new.pool,
            )
        self.tell(worker)


def _lived(old: WorkerRecord, end: Exit) -> float | None:
    """Seconds from a process's start to its end; None where there was none."""
    return None if old.process is None else round(max(0.0, end.at - old.process.started_at), 1)


def _only_progress(old: WorkerRecord, new: WorkerRecord) -> bool:
    """Progress comes often and is worth nothing after a restart: it is told, not written."""
    return new.phase is Phase.STARTING and old == msgspec.structs.replace(
        new, progress=old.progress, deadline=old.deadline
    )

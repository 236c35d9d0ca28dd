"""What this host can carry, asked before each start and for each plan: the model's files, the cards, the disks.

The looks are `qvl.host.carrying`'s, each in a thread of its own: a mount that hangs keeps that thread and nobody else.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import TypeVar

import msgspec

from qvl.daemon.gate import held
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.journal import Journal
from qvl.engines.base import Refusal
from qvl.host.carrying import Concern, Room, disk, environment_of, look
from qvl.model.event import Severity
from qvl.model.gpu import GpuSample
from qvl.model.plan import Action, Plan, PlanWarning
from qvl.model.spec import Launch, WorkerSpec

log = logging.getLogger(__name__)

T = TypeVar("T")

START_PATIENCE = 10.0
"""Seconds that a start waits for the disk. It goes on then: an engine that can't read its model says so itself."""
PLAN_PATIENCE = 2.0
"""Seconds that a plan does."""
_STARTS = (Action.START, Action.RESTART, Action.RELAYOUT)


class Carrying:
    """`places`: directories of the daemon by name, whose disks must have some room."""

    def __init__(self, gpus: GpuMonitor, journal: Journal, places: Mapping[str, Path]) -> None:
        self._gpus = gpus
        self._journal = journal
        self._places = places
        self._turns: dict[str, asyncio.Lock] = {}
        """One look at a model at a time."""

    async def before_start(self, spec: WorkerSpec, generation: int) -> Refusal | None:
        """Why it can't be started, if so; what else there is to say goes to the journal, as one event."""
        found = await self._look(spec, START_PATIENCE)
        if (refusal := _refusal(found)) is not None:
            return refusal
        if found:
            first, *more = found
            rest = f" (and {len(more)} more)" if more else ""
            told = [{"message": concern.message, "hint": concern.hint} for concern in found]
            data: dict[str, object] = {"generation": generation, "warnings": told}
            self._journal.publish(
                "worker.warning",
                f"{spec.name}: {first.message}{rest}",
                severity=Severity.WARNING,
                worker=spec.name,
                pool=spec.pool,
                data=data,
            )
        return None

    async def refusal(self, spec: WorkerSpec) -> Refusal | None:
        """Why a worker could not be started so, without telling anybody."""
        return _refusal(await self._look(spec, START_PATIENCE))

    async def warned(self, plan: Plan, wanted: Iterable[WorkerSpec]) -> Plan:
        """The plan with what is to be said of the workers that it starts."""
        starting = {step.worker for step in plan.steps if step.action in _STARTS}
        specs = [spec for spec in wanted if spec.name in starting]
        found = await asyncio.gather(*(self._look(spec, PLAN_PATIENCE) for spec in specs))
        warnings = tuple(
            PlanWarning(spec.name, concern.message, concern.hint, concern.error)
            for spec, concerns in zip(specs, found, strict=True)
            for concern in (*concerns, *self._on_cards(spec))
        )
        return msgspec.structs.replace(plan, warnings=warnings)

    async def _look(self, spec: WorkerSpec, patience: float) -> list[Concern]:
        launch, rooms = spec.launch, self.rooms(spec)

        def question() -> list[Concern]:
            found = list(look(launch, rooms, environment_of(launch)).concerns)
            return [*found, *filter(None, (disk(name, path) for name, path in self._places.items()))]

        try:
            found = await self._ask(launch.model, question, patience)
        except Exception:  # a mistake of ours in judging a model must not keep it from being served
            log.exception("%s: what this host can carry can't be told", spec.name)
            return []
        if found is None:
            message = f"model {launch.model}: the disk did not answer within {patience:g} s"
            return [Concern(message, f"see whether its mount hangs: ls {launch.model}")]
        return found

    async def _ask(self, key: str, question: Callable[[], T], patience: float) -> T | None:
        """The answer, None where it doesn't come in time. Nothing more is asked of the same while it is owed."""
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(patience):
                await turn.acquire()
                answer = _in_thread(question)
                answer.add_done_callback(lambda _: turn.release())
                return await asyncio.shield(answer)
        except TimeoutError:
            return None

    def rooms(self, spec: WorkerSpec) -> list[Room]:
        """The cards of a worker as it would find them: without what it holds itself."""
        rooms = []
        for sample in self._samples(spec.launch):
            if sample.memory_total is None:
                return []
            others = sum(holder.memory or 0 for holder in sample.holders if holder.worker != spec.name)
            rooms.append(Room(sample.memory_total, max(0, sample.memory_total - others)))
        return rooms

    def _samples(self, launch: Launch) -> list[GpuSample]:
        cards = {card.index for gpu in launch.gpus if (card := self._gpus.resolve(gpu)) is not None}
        return [sample for sample in self._gpus.latest if sample.index in cards]

    def _on_cards(self, spec: WorkerSpec) -> list[Concern]:
        """What the gate would make it wait for, as far as that is known now."""
        found = []
        absent = [gpu for gpu in spec.launch.gpus if self._gpus.resolve(gpu) is None]
        if absent:
            here = ", ".join(str(gpu.index) for gpu in self._gpus.inventory) or "none"
            named = ", ".join(map(str, absent))
            found.append(Concern(f"it waits for GPU {named}: this host has {here}", "mend the pool's gpus"))
        for sample in self._samples(spec.launch):
            ours = sum(holder.memory or 0 for holder in sample.holders if holder.worker)
            used = None if sample.memory_used is None else max(0, sample.memory_used - ours)
            strangers = tuple(holder for holder in sample.holders if not holder.worker)
            if (reason := held(msgspec.structs.replace(sample, holders=strangers, memory_used=used))) is not None:
                found.append(Concern(f"it waits: {reason}", "end that, or give the pool other GPUs"))
        return found


def _refusal(found: Iterable[Concern]) -> Refusal | None:
    error = next((concern for concern in found if concern.error), None)
    return Refusal(error.cause, error.message, error.hint, error.missing) if error is not None else None


def _in_thread(question: Callable[[], T]) -> "asyncio.Future[T]":
    """In a daemonic thread: one that hangs must not keep the process from ending, as those of an executor do."""
    answer: Future[T] = Future()

    def run() -> None:
        with contextlib.suppress(InvalidStateError):  # cancelled: nobody waits any more
            try:
                answer.set_result(question())
            except Exception as error:  # noqa: BLE001  raised again where the answer is awaited
                answer.set_exception(error)

    threading.Thread(target=run, name="carrying", daemon=True).start()
    return asyncio.wrap_future(answer)

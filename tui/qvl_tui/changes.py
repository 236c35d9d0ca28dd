"""What the events tell of a change of a pool: stage by stage for each worker, when it turned back, and how it ended.

Pure. The daemon's status says where a change is now; how it got there, and what came of it, only its events know, and
they are there too for whoever opens the screen later. Nothing is guessed: a stage of which no event tells has no time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from qvl.model.event import Event
from qvl.model.status import SwitchStatus
from qvl.model.worker import Phase


class Stage(StrEnum):
    """What a worker goes through, in order."""

    DRAIN = "drain"
    STOP = "stop"
    RELEASE = "release"
    START = "start"
    SMOKE = "smoke test"
    ROUTE = "routing"
    LIVE = "live change"


_OF_PHASE: dict[str, Stage] = {
    Phase.DRAINING: Stage.DRAIN,
    Phase.STOPPING: Stage.STOP,
    Phase.RELEASING: Stage.RELEASE,
    Phase.STARTING: Stage.START,
}
_OF_STEP = {"smoke test": Stage.SMOKE, "routing": Stage.ROUTE, "changing live": Stage.LIVE}
_ORDER = {stage: place for place, stage in enumerate(Stage)}
_FAILED = (Phase.FAILED, Phase.BACKOFF)
_TOLD_BY = ("switch", "apply", "restart")
"""Kinds of events that tell how a change ended."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A stage that a worker came to."""

    stage: Stage
    began: datetime
    ended: datetime | None = None
    failed: bool = False
    broken_off: bool = False
    """The change turned back here; whether by a fault of this stage, its reason says."""

    def seconds(self, now: datetime | None) -> float | None:
        """How long it took, or takes by now; None where the daemon's clock isn't known."""
        end = self.ended or now
        return None if end is None else max(0.0, (end - self.began).total_seconds())


@dataclass(frozen=True, slots=True)
class Trail:
    """The way of one worker, there or back."""

    worker: str
    reached: tuple[Reached, ...]
    over: bool
    """The change went on to the next worker, or ended."""

    @property
    def failed(self) -> bool:
        return any(each.failed for each in self.reached)

    @property
    def broken_off(self) -> bool:
        return any(each.broken_off for each in self.reached)


@dataclass(frozen=True, slots=True)
class Course:
    """A change so far."""

    there: tuple[Trail, ...]
    back: tuple[Trail, ...]
    turned: datetime | None
    """When it began to go back."""
    outcome: Event | None


def course(events: Iterable[Event], pool: str, since: datetime) -> Course:
    """What happened on `pool` since a change of it began. It ends with the event that tells its outcome."""
    there, back = _Walk(), _Walk()
    turned, outcome = None, None
    for event in events:
        if event.at < since:
            continue
        data = event.data or {}
        if data.get("why") is not None and turned is None and event.kind in (*_TOLD_BY, "plan"):
            turned = event.at
        if tells_outcome(event, pool):
            outcome = event
            break
        walk = there if turned is None else back
        if event.kind == "worker.phase" and event.pool == pool and event.worker:
            walk.phase(event.worker, str(data.get("to", "")), event.at)
        elif "step" in data and event.worker and event.pool in (pool, None):
            walk.step(event.worker, str(data["step"]), event.at)
    end = outcome.at if outcome is not None else None
    if turned is not None:
        there.turn(turned)
    return Course(there.trails(end or turned), back.trails(end), turned, outcome)


class _Walk:
    def __init__(self) -> None:
        self._reached: dict[str, list[Reached]] = {}
        self._last = ""
        """The worker that a step was told of last."""
        self._over: set[str] = set()

    def step(self, worker: str, step: str, at: datetime) -> None:
        if self._last and worker != self._last:
            self._end(self._last, at)
            self._over.add(self._last)
        self._last = worker
        self._reached.setdefault(worker, [])
        if stage := _OF_STEP.get(step):
            self._begin(worker, stage, at)

    def phase(self, worker: str, phase: str, at: datetime) -> None:
        if phase in _FAILED:
            self._end(worker, at, failed=True)
        elif stage := _OF_PHASE.get(phase):
            self._begin(worker, stage, at)
        else:
            self._end(worker, at)

    def turn(self, at: datetime) -> None:
        """The change turned back at what was under way."""
        if self._last:
            self._end(self._last, at, broken_off=True)

    def trails(self, end: datetime | None) -> tuple[Trail, ...]:
        if end is not None:
            for worker in self._reached:
                self._end(worker, end)
        return tuple(
            Trail(worker, tuple(reached), end is not None or worker in self._over)
            for worker, reached in self._reached.items()
        )

    def _begin(self, worker: str, stage: Stage, at: datetime) -> None:
        reached = self._reached.setdefault(worker, [])
        last = reached[-1] if reached else None
        if last is not None and _ORDER[stage] < _ORDER[last.stage]:
            # It fell back: the stage that it was in has failed, and what ends its process is no stage of the change.
            self._end(worker, at, failed=True)
            if stage is Stage.STOP:
                return
        self._end(worker, at)
        reached.append(Reached(stage, at))

    def _end(self, worker: str, at: datetime, *, failed: bool = False, broken_off: bool = False) -> None:
        reached = self._reached.get(worker)
        if reached and reached[-1].ended is None:
            reached[-1] = replace(reached[-1], ended=at, failed=failed, broken_off=broken_off)


def tells_outcome(event: Event, pool: str) -> bool:
    """Whether it says how a change of this pool ended. An edit of the file is a change of every pool."""
    told = event.kind in _TOLD_BY and "outcome" in (event.data or {})
    return told and (event.pool == pool or (event.kind == "apply" and event.pool is None))


def last_outcome(events: Sequence[Event], pool: str) -> Event | None:
    return next((event for event in reversed(events) if tells_outcome(event, pool)), None)


def to_come(trail: Trail, switch: SwitchStatus, *, routed: bool) -> tuple[Stage, ...]:
    """The stages that are still ahead of a worker on its way."""
    seen = {each.stage for each in trail.reached}
    if Stage.LIVE in seen:
        return ()
    ahead = [Stage.STOP, Stage.RELEASE, Stage.START]
    if switch.kind in ("switch", "reset") and switch.why is None:
        ahead.append(Stage.SMOKE)
    if routed:
        ahead.append(Stage.ROUTE)
    last = _ORDER[trail.reached[-1].stage] if trail.reached else -1
    return tuple(stage for stage in ahead if _ORDER[stage] > last)

"""The only state of the interface: what the daemon told, how old it is, and what was asked of it but is not confirmed.

It is changed by frames, by word of the link and by acts that were sent, and never guesses: an act leaves a worker as
it was until the daemon says otherwise. Time comes in as an argument (`mono`, seconds of any monotonic clock), and
nothing here knows a screen.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from qvl.model.api import History
from qvl.model.event import Change, Event, Frame, Heartbeat, Lost, Snapshot
from qvl.model.gpu import GpuSample
from qvl.model.status import GatewayStatus, PoolStatus, SupervisorStatus, WorkerMetrics, WorkerStatus
from qvl.model.worker import Wanted

KEPT_EVENTS = 500
SAMPLED = ("tokens_per_s", "running", "queued", "kv_usage", "ttft_p50_s")
"""Figures of a worker that are kept for charts."""
SAMPLED_GPU = ("utilization", "temperature", "power")
KEPT_SAMPLES = 120
REPLAY = "replay"
"""The role of who looks at a recording."""
UNCONFIRMED_FOR = 30.0
"""Seconds after which an act that changed nothing is no longer shown as asked."""


class Topic(StrEnum):
    """What a frame may have changed; a screen repaints by topic."""

    LINK = "link"
    STATE = "state"
    FIGURES = "figures"
    EVENTS = "events"


class LinkPhase(StrEnum):
    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class LinkState:
    phase: LinkPhase = LinkPhase.CONNECTING
    since: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """An act on one worker that was sent; `mark` is what the worker was when it was asked."""

    verb: str
    at: float
    mark: tuple[object, ...]
    seq: int | None = None
    """The daemon took it in at this event; None until it answered."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What moves all the time, as of one moment: screens show this, so that figures change at a reader's pace while
    states are told at once."""

    metrics: dict[str, WorkerMetrics] = field(default_factory=dict)
    gpus: tuple[GpuSample, ...] = ()
    series: dict[tuple[str, str], tuple[float | None, ...]] = field(default_factory=dict)
    """(worker name or `gpu:INDEX`, figure) -> samples, oldest first"""

    def samples(self, subject: str, figure: str) -> tuple[float | None, ...]:
        return self.series.get((subject, figure), ())


@dataclass(slots=True)
class Store:
    supervisor: SupervisorStatus | None = None
    pools: tuple[PoolStatus, ...] = ()
    workers: dict[str, WorkerStatus] = field(default_factory=dict)
    gpus: tuple[GpuSample, ...] = ()
    metrics: dict[str, WorkerMetrics] = field(default_factory=dict)
    series: dict[tuple[str, str], deque[float | None]] = field(default_factory=dict)
    shown: Figures = Figures()
    """The figures as last published."""
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    asked: dict[str, Asked] = field(default_factory=dict)
    link: LinkState = LinkState()
    role: str | None = None
    """`operator` or `viewer` by the daemon's word, or REPLAY; None until it told."""
    readonly: bool = False
    """The user asked to look only."""
    seq: int = 0
    """The newest event that this store knows of."""
    last_event: int = 0
    """The newest event that this store holds: where a new stream resumes."""
    lost: int = 0
    heard_at: float | None = None
    """`mono` of the newest frame."""
    told_at: datetime | None = None
    """The daemon's clock in that frame."""
    _gap_counted: bool = False

    # --- what was heard -------------------------------------------------------------------------------------------

    def apply(self, frame: Frame, mono: float) -> set[Topic]:
        """Take in one frame that arrived at `mono`; answers what it may have changed."""
        self.heard_at = mono
        match frame:
            case Snapshot():
                topics = self._snapshot(frame)
            case Event():
                topics = self._event(frame)
            case Change():
                topics = self._change(frame)
            case Heartbeat():
                self.told_at, self.seq = frame.at, max(self.seq, frame.seq)
                topics = set()
            case Lost():
                self.lost += frame.lost
                self._gap_counted = True
                topics = {Topic.EVENTS}
            case _:
                assert_never(frame)
        if self._confirm():
            topics.add(Topic.STATE)
        return topics

    def _snapshot(self, frame: Snapshot) -> set[Topic]:
        status = frame.status
        if frame.seq < self.last_event:
            # The numbering began anew (a new state directory): what we hold belongs to another daemon's life.
            self.events.clear()
            self.last_event, self._gap_counted = 0, True
        self.told_at, self.seq = frame.at, frame.seq
        self.supervisor, self.pools, self.gpus = status.supervisor, status.pools, status.gpus
        self.workers = {worker.name: worker for worker in status.workers}
        self.metrics = {worker.name: worker.metrics for worker in status.workers}
        self._forget_strangers()
        self._sample(self.metrics, self.gpus)
        self.publish()
        return {Topic.STATE, Topic.FIGURES, Topic.EVENTS}

    def _event(self, event: Event) -> set[Topic]:
        if event.seq <= self.last_event:
            return set()
        if self.last_event and not self._gap_counted:
            self.lost += event.seq - self.last_event - 1
        self._gap_counted = False
        self.last_event = event.seq
        self.seq = max(self.seq, event.seq)
        self.events.append(event)
        return {Topic.EVENTS}

    def _change(self, change: Change) -> set[Topic]:
        topics: set[Topic] = set()
        self.told_at = change.at
        if change.workers or change.removed:
            self.workers |= {worker.name: worker for worker in change.workers}
            self.metrics |= {worker.name: worker.metrics for worker in change.workers}
            for name in change.removed:
                self.workers.pop(name, None)
            self._forget_strangers()
            topics |= {Topic.STATE, Topic.FIGURES}
        if change.pools is not None:
            self.pools = change.pools
            topics.add(Topic.STATE)
        if change.supervisor is not None:
            self.supervisor = change.supervisor
            topics.add(Topic.STATE)
        if change.gpus is not None:
            before = [(gpu.uuid, gpu.health) for gpu in self.gpus]
            self.gpus = change.gpus
            topics.add(Topic.FIGURES)
            if before != [(gpu.uuid, gpu.health) for gpu in change.gpus]:
                # A card that is lost is news, not a figure.
                self.shown = replace(self.shown, gpus=change.gpus)
                topics.add(Topic.STATE)
        fresh = {name: figures for name, figures in change.metrics.items() if name in self.workers}
        self.metrics |= fresh
        if fresh or change.gpus is not None:
            self._sample(fresh, change.gpus or ())
            topics.add(Topic.FIGURES)
        return topics

    def _forget_strangers(self) -> None:
        known = self.workers.keys()
        self.metrics = {name: figures for name, figures in self.metrics.items() if name in known}
        self.asked = {name: asked for name, asked in self.asked.items() if self.find(name) is not None}
        for key in [key for key in self.series if not key[0].startswith("gpu:") and key[0] not in known]:
            del self.series[key]

    def _sample(self, metrics: dict[str, WorkerMetrics], gpus: tuple[GpuSample, ...]) -> None:
        for name, figures in metrics.items():
            for figure in SAMPLED:
                self._samples(name, figure).append(getattr(figures, figure))
        for gpu in gpus:
            for figure in SAMPLED_GPU:
                self._samples(f"gpu:{gpu.index}", figure).append(getattr(gpu, figure))

    def publish(self) -> None:
        """Let the newest figures be seen."""
        series = {key: tuple(samples) for key, samples in self.series.items()}
        self.shown = Figures(dict(self.metrics), self.gpus, series)

    def _samples(self, subject: str, figure: str) -> deque[float | None]:
        return self.series.setdefault((subject, figure), deque(maxlen=KEPT_SAMPLES))

    def seed(self, history: History) -> set[Topic]:
        """Begin the charts with the daemon's memory, so that a screen just opened shows the last minutes; where ours
        reaches back further, as after a restart of the daemon, ours stays."""
        for name, figures in history.workers.items():
            for figure in SAMPLED if name in self.workers else ():
                self._seed((name, figure), figures.get(figure, []))
        for index, figures in history.gpus.items():
            for figure in SAMPLED_GPU:
                self._seed((f"gpu:{index}", figure), figures.get(figure, []))
        self.publish()
        return {Topic.FIGURES}

    def _seed(self, key: tuple[str, str], values: list[float | None]) -> None:
        if len(values) > len(self.series.get(key, ())):
            self.series[key] = deque(values, maxlen=KEPT_SAMPLES)

    def forget(self) -> None:
        """Hold nothing any more, as before the first frame; who looks stays the same."""
        fresh = Store(readonly=self.readonly, role=self.role)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    # --- who is there ---------------------------------------------------------------------------------------------

    def rows(self) -> list[WorkerStatus]:
        """Workers and gateways as they are shown: pool by pool as configured, a pool's gateway first, by number."""
        order = {pool.name: place for place, pool in enumerate(self.pools)}
        fronts = [pool.gateway for pool in self.pools if pool.gateway is not None]

        def place(worker: WorkerStatus) -> tuple[object, ...]:
            pool = order.get(worker.pool, len(order)), worker.pool
            return *pool, not isinstance(worker, GatewayStatus), *_natural(worker.name)

        return sorted([*fronts, *self.workers.values()], key=place)

    def find(self, name: str) -> WorkerStatus | None:
        """A worker or a gateway."""
        fronts = (pool.gateway for pool in self.pools if pool.gateway is not None)
        return self.workers.get(name) or next((front for front in fronts if front.name == name), None)

    # --- the link -------------------------------------------------------------------------------------------------

    def linked(self, phase: LinkPhase, mono: float, reason: str = "") -> set[Topic]:
        """`since` is when the phase began: a further failed attempt only brings its reason."""
        since = self.link.since if self.link.phase is phase else mono
        self.link = LinkState(phase, since, reason)
        return {Topic.LINK, Topic.STATE}

    @property
    def live(self) -> bool:
        return self.link.phase is LinkPhase.UP

    def age(self, mono: float) -> float | None:
        """Seconds since the daemon was last heard; None before the first frame."""
        return None if self.heard_at is None else max(0.0, mono - self.heard_at)

    def now(self, mono: float) -> datetime | None:
        """The daemon's clock: countdowns stay right where ours is wrong."""
        if self.told_at is None or self.heard_at is None:
            return None
        return self.told_at + timedelta(seconds=mono - self.heard_at)

    # --- acts -----------------------------------------------------------------------------------------------------

    @property
    def may_act(self) -> bool:
        return not self.readonly and self.role not in ("viewer", REPLAY)

    def ask(self, verb: str, names: Iterable[str], mono: float) -> set[Topic]:
        for name in names:
            if worker := self.find(name):
                self.asked[name] = Asked(verb, mono, _mark(worker))
        return {Topic.STATE}

    def accepted(self, names: Iterable[str], seq: int) -> set[Topic]:
        for name in names:
            if name in self.asked:
                self.asked[name] = replace(self.asked[name], seq=seq)
        self._confirm()
        return {Topic.STATE}

    def refused(self, names: Iterable[str]) -> set[Topic]:
        for name in names:
            self.asked.pop(name, None)
        return {Topic.STATE}

    def expire(self, mono: float) -> set[Topic]:
        """Forget what was asked so long ago that nothing will come of it."""
        old = [name for name, asked in self.asked.items() if mono - asked.at > UNCONFIRMED_FOR]
        return self.refused(old) if old else set()

    def _confirm(self) -> bool:
        """An act is confirmed when its worker moved, or when the daemon is past it and the worker is as was asked."""
        known = {name: self.find(name) for name in self.asked}
        done = [name for name, worker in known.items() if worker is None or self._confirmed(worker, self.asked[name])]
        for name in done:
            del self.asked[name]
        return bool(done)

    def _confirmed(self, worker: WorkerStatus, asked: Asked) -> bool:
        if _mark(worker) != asked.mark:
            return True
        as_asked = {"start": Wanted.UP, "stop": Wanted.DOWN}.get(asked.verb) == worker.wanted
        return as_asked and asked.seq is not None and self.seq >= asked.seq


def _mark(worker: WorkerStatus) -> tuple[object, ...]:
    return worker.wanted, worker.phase, worker.pid, worker.since


def _natural(name: str) -> tuple[str, int, str]:
    """`w-10` after `w-9`."""
    base, _, suffix = name.partition("@")
    stem, _, number = base.rpartition("-")
    return (stem, int(number), suffix) if number.isdigit() else (base, -1, suffix)

"""Carries out a worker's effects and keeps its tasks in step with its phase. What comes of them are inputs."""

import asyncio
import contextlib
import logging
import signal
import time

from qvl.core.inputs import (
    BecameReady,
    BecameUnready,
    CheckGate,
    Condemned,
    Drain,
    Drained,
    Effect,
    Ended,
    GateHeld,
    GateOpened,
    Kill,
    Progressed,
    Quarantine,
    Spawn,
    Spawned,
    Terminate,
)
from qvl.core.landmarks import STEPS, Sighting
from qvl.daemon.engine_client import EngineClient
from qvl.daemon.gate import wait_until_free
from qvl.daemon.gateways import Gateways
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.launcher import Launcher, no_start, read_secrets
from qvl.daemon.lifeline import Lifeline
from qvl.daemon.prober import Prober
from qvl.daemon.starts import Starts, capacity_of
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.tailer import Pulse, follow_start
from qvl.daemon.worker import NO_METRICS, Worker
from qvl.engines.base import Surface
from qvl.model.event import Change
from qvl.model.spec import Launch, WorkerSpec
from qvl.model.status import when
from qvl.model.worker import Exit, Phase, Process, Verdict, WorkerRecord

log = logging.getLogger(__name__)

DRAIN_PERIOD = 0.25
"""Seconds between looks at what is in flight."""

LEAVING_PERIOD = 2.0
"""Seconds between looks at the figures of one that was told to end."""

BUSY_CARD = 0.05
"""Utilization (0-1) from which on a card counts as computing."""

TICK = 1.0
"""Seconds between looks at what time alone makes of a start."""

DRAIN_MUTE = 3
"""Looks in a row without an answer after which a server that was busy counts as one that can't tell any more."""


class WorkerAttendant:
    """Implements `Attendant`."""

    def __init__(
        self,
        supervisor: Supervisor,
        launcher: Launcher,
        client: EngineClient,
        gpus: GpuMonitor,
        gateways: Gateways,
        group: asyncio.TaskGroup,
    ) -> None:
        self._supervisor = supervisor
        self._launcher = launcher
        self._client = client
        self._prober = Prober(client, self._cards_busy)
        self._gpus = gpus
        self._gateways = gateways
        self._group = group
        self.lifeline = Lifeline(supervisor, launcher, gpus)
        self.starts = Starts(supervisor.store)

    # ---- effects

    def carry_out(self, worker: Worker, effect: Effect) -> None:
        match effect:
            case CheckGate():
                worker.run(self._group, "gate", self._gate(worker))
            case Spawn(generation=generation):
                worker.run(self._group, "spawn", self._spawn(worker, worker.spec, generation))
            case Drain(generation=generation):
                worker.run(self._group, "drain", self._drain(worker, generation))
            case Terminate():
                worker.run(
                    self._group, "signal", self.lifeline.signal(worker, lambda tree: tree.signal(signal.SIGTERM))
                )
            case Kill():
                worker.run(self._group, "signal", self.lifeline.signal(worker, lambda tree: tree.kill()))
            case Quarantine(why=why):
                self._gpus.set_aside(worker.spec.launch.gpus, why)

    async def _gate(self, worker: Worker) -> None:
        worker.level = await wait_until_free(
            worker.spec.launch,
            self._gpus,
            lambda by: self._supervisor.post(worker.name, GateHeld(by)),
            sibling=lambda: self._sibling(worker),
            level=worker.level,
        )
        self._supervisor.post(worker.name, GateOpened())

    def _sibling(self, worker: Worker) -> str | None:
        """Another worker that is on a card of this one: one that is no longer configured, say, and still ends."""
        mine = self._cards(worker.spec.launch)
        for other in self._supervisor.workers.values():
            alive = other is not worker and other.record.phase.has_process and other.record.phase is not Phase.PARKED
            if alive and (shared := mine & self._cards(other.record.launched or other.spec.launch)):
                return f"GPU {min(shared)} is held by worker {other.name}, which is {other.record.phase}"
        return None

    def _cards(self, launch: Launch) -> set[int]:
        """The indexes of a worker's cards."""
        return {card.index for gpu in launch.gpus if (card := self._gpus.resolve(gpu)) is not None}

    async def _spawn(self, worker: Worker, spec: WorkerSpec, generation: int) -> None:
        outcome: Process | Exit
        try:
            bundle = self._supervisor.store.bundle(worker.name)
            outcome = await self._launcher.start(spec, generation, bundle, self._taken_ports())
        except OSError as error:  # the state directory can't be written, or there are no descriptors left
            outcome = no_start(f"can't prepare the start: {error}", error.errno)
        if isinstance(outcome, Exit):
            self._supervisor.post(worker.name, Ended(generation, outcome))
        else:
            self.starts.begin(worker, spec, generation, outcome)
            self._supervisor.post(worker.name, Spawned(generation, outcome, spec.launch, spec.profile))

    def _taken_ports(self) -> set[int]:
        workers = self._supervisor.workers.values()
        side = {w.record.process.nccl_port for w in workers if w.record.process and w.record.process.nccl_port}
        return side | {w.spec.launch.port for w in workers}

    async def _drain(self, worker: Worker, generation: int) -> None:
        """Wait until nothing is in flight; where that can't be told, there is nothing to wait for."""
        await self._gateways.dismiss(worker)
        surface, key = self.surface(worker)
        mute = 0
        while surface.metrics:
            busy = await self._is_busy(worker, surface, key)
            # A server that is busy may be too busy to say so, once.
            mute = mute + 1 if busy is None and worker.window and worker.window[-1].busy else 0
            if (busy is None and mute in (0, DRAIN_MUTE)) or busy is False:
                break
            self._publish_metrics(worker)
            await asyncio.sleep(DRAIN_PERIOD)
        self._supervisor.post(worker.name, Drained(generation))

    async def _see_off(self, worker: Worker) -> None:
        """Go on with its figures: SGLang finishes what runs, and takes what comes, for as long as it is let. One that
        doesn't answer any more has none, rather than its last ones."""
        surface, key = self.surface(worker)
        while surface.metrics:
            sample = None
            with contextlib.suppress(TimeoutError):
                sample = await self._client.scrape(worker, surface, key)
            if sample is None:
                worker.metrics, worker.window = NO_METRICS, []
            self._publish_metrics(worker)
            await asyncio.sleep(LEAVING_PERIOD)

    async def _is_busy(self, worker: Worker, surface: Surface, key: str | None) -> bool | None:
        """Whether requests are in flight; None where that can't be told."""
        sample = None
        with contextlib.suppress(TimeoutError):
            sample = await self._client.scrape(worker, surface, key)
        count = await self._client.in_flight(worker, surface, key)
        if count is not None:
            return count > 0
        return None if sample is None else sample.busy

    # ---- tasks that follow from the phase

    def attend(self, worker: Worker) -> None:
        record, group = worker.record, self._group
        if not worker.start_known:
            worker.start_known = True
            self.starts.adopt(worker)
        if record.process is not None:
            worker.run_once(group, "link", lambda: self.lifeline.follow(worker, record))
        if record.phase is Phase.STARTING and record.process is not None:
            worker.run_once(group, "ready", lambda: self._await_ready(worker, record.generation))
            worker.run_once(group, "tail", lambda: self._tail(worker, record))
            worker.run_once(group, "clock", lambda: self._pass_time(worker))
        else:
            worker.cancel("ready", "tail", "clock")
            worker.passed = None
        if record.phase is Phase.RUNNING:
            if worker.run_once(group, "watch", lambda: self._watch(worker, record.generation)):
                self.starts.ready(worker)
                worker.run_once(group, "capacity", lambda: self._read_capacity(worker, record))
                self._launcher.remove_secrets(worker.name)
                self.look_for_drift(worker)
            if worker.spec.is_gateway:
                worker.run_once(group, "routes", lambda: self._gateways.keep(worker))
        else:
            worker.cancel("watch", "routes")
        self._gateways.nudge(record.pool)
        if record.phase is not Phase.RELEASING:
            worker.cancel("gate")
        if record.phase is not Phase.DRAINING:
            worker.cancel("drain")
        if record.phase is Phase.STOPPING:
            worker.run_once(group, "leaving", lambda: self._see_off(worker))
        else:
            worker.cancel("leaving")

    def ended(self, worker: Worker, old: WorkerRecord) -> None:
        """A process is over: what was its is put away."""
        worker.metrics, worker.window, worker.drift = NO_METRICS, [], ()
        self.starts.ended(worker)
        self._launcher.remove_secrets(worker.name)

    def respecified(self, worker: Worker) -> None:
        """Hand a running worker's shim its new log policy; everything else is read from the specification anyway."""
        logs = worker.spec.policy.logs
        if worker.tree is not None:
            send = self.lifeline.signal(worker, lambda tree: tree.set_logs(logs.max_size, logs.keep))
            worker.run(self._group, "logs", send)

    async def _await_ready(self, worker: Worker, generation: int) -> None:
        surface, key = self.surface(worker)
        verdict = await self._prober.until_ready(worker, surface, key, lambda: self._said_ready(worker))
        outcome = BecameReady(generation) if verdict is None else Condemned(generation, verdict)
        self._supervisor.post(worker.name, outcome)

    @staticmethod
    def _said_ready(worker: Worker) -> bool | None:
        """Whether its log says that it is ready; None where it has said nothing of its start at all."""
        start = worker.start
        if start is None or start.track.step == STEPS[0]:
            return None
        return start.track.step == STEPS[-1] and start.track.fraction == 1.0

    async def _cards_busy(self, worker: Worker) -> bool:
        cards = self._cards(worker.spec.launch)
        if not cards:
            return False
        return any((s.utilization or 0) >= BUSY_CARD for s in await self._gpus.sample() if s.index in cards)

    async def _tail(self, worker: Worker, record: WorkerRecord) -> None:
        assert record.process is not None
        log_dir = self._launcher.log_dir(worker.name)

        def seen(sighting: Sighting | None) -> None:
            if (progress := self.starts.see(worker, sighting)) is not None:
                worker.passed = None
                self._supervisor.post(worker.name, Progressed(record.generation, progress))

        with contextlib.suppress(OSError):  # the log is gone or unreadable: a start can do without its progress
            await follow_start(log_dir, record.process.log_offset, seen)

    async def _pass_time(self, worker: Worker) -> None:
        """Engines say nothing for ten seconds at a time: what people see of a start goes on all the same. That is no
        sign of life, so that a start that hangs is still found out."""
        while True:
            await asyncio.sleep(TICK)
            if (progress := self.starts.see(worker, None)) is not None and progress != worker.progress:
                worker.passed = progress
                self._supervisor.tell(worker)

    async def _read_capacity(self, worker: Worker, record: WorkerRecord) -> None:
        if record.process is None or worker.start is None or worker.start.capacity is not None:
            return
        log_dir, offset = self._launcher.log_dir(worker.name), record.process.log_offset
        self.starts.told(worker, record.generation, await asyncio.to_thread(capacity_of, log_dir, offset))

    async def _watch(self, worker: Worker, generation: int) -> None:
        surface, key = self.surface(worker)

        def told(ready: bool, why: str | None, verdict: Verdict | None) -> None:
            if verdict is not None:
                self._supervisor.post(worker.name, Condemned(generation, verdict))
            elif ready and not worker.record.ready:
                self._supervisor.post(worker.name, BecameReady(generation))
            elif not ready and (worker.record.ready or worker.record.reason != why):
                self._supervisor.post(worker.name, BecameUnready(generation, why or "it does not answer"))

        await self._prober.watch(
            worker,
            surface,
            key,
            Pulse(self._launcher.log_dir(worker.name)),
            told=told,
            measured=lambda: self._publish_metrics(worker),
        )

    def look_for_drift(self, worker: Worker) -> None:
        worker.run(self._group, "drift", self._look_for_drift(worker, worker.record))

    async def _look_for_drift(self, worker: Worker, record: WorkerRecord) -> None:
        try:
            found = await asyncio.to_thread(self._launcher.drift, record)
        except OSError as error:  # a start would come to nothing now, and is to say why when it is its turn
            log.warning("worker %s: what a new start would do differently can't be told: %s", worker.name, error)
            return
        if found != worker.drift and worker.record.generation == record.generation:
            worker.drift = found
            self._supervisor.tell(worker)

    def _publish_metrics(self, worker: Worker) -> None:
        self._supervisor.journal.change(Change(at=when(time.time()), metrics={worker.name: worker.metrics}))

    def surface(self, worker: Worker) -> tuple[Surface, str | None]:
        launch = worker.record.launched or worker.spec.launch
        key = None
        with contextlib.suppress(OSError):  # taken away since the start: asked without it, the engine will say 401
            key, _ = read_secrets(launch)
        return self._launcher.driver(launch).surface(launch), key

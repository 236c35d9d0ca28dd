"""Changes of a running worker without another start: carried out, remembered, and made good where they were cut off.

Before the first call the record on disk says where it leads, and after the last one that it was reached. Whatever ends
this daemon between the two leaves a worker in doubt (`core.live.in_doubt`); its successor sets anew what may differ.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import httpx

from qvl.core.inputs import LiveBegun, LiveDone
from qvl.core.live import all_live, in_doubt, may_run, takes_changes
from qvl.core.planning import Current, launch_changes
from qvl.daemon.engine_client import EngineClient
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.worker import Worker
from qvl.engines.base import Surface
from qvl.engines.live import Live, LiveCall, carry_out
from qvl.engines.live_sglang import LIVES
from qvl.host.crashpoint import crash_point
from qvl.model.event import Severity
from qvl.model.spec import EngineKind, Launch, WorkerSpec
from qvl.model.worker import Phase, WorkerRecord

log = logging.getLogger(__name__)

SILENCE = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)
"""What is raised where no answer comes."""

PATIENCE = 30.0
"""Seconds after which a worker that could not be brought to its specification is tried again."""


class LiveChanges:
    """`surface` tells a worker's HTTP surface and key, `look_anew` has its drift looked for again."""

    def __init__(
        self,
        supervisor: Supervisor,
        client: EngineClient,
        group: asyncio.TaskGroup,
        *,
        surface: Callable[[Worker], tuple[Surface, str | None]],
        look_anew: Callable[[Worker], None],
        lives: Mapping[EngineKind, Live] = LIVES,
        patience: float = PATIENCE,
    ) -> None:
        self._supervisor = supervisor
        self._client = client
        self._group = group
        self._surface = surface
        self._look_anew = look_anew
        self._lives = lives
        self._patience = patience
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One change of a worker at a time."""
        self._next_try: dict[str, float] = {}

    # ---- what can be changed

    def arguments(self, current: Mapping[str, Current], wanted: Sequence[WorkerSpec]) -> dict[str, frozenset[str]]:
        """The arguments that the workers' processes take without another start, by worker; looks at the disk."""
        found = {}
        for spec in wanted:
            now = current.get(spec.name)
            if now is not None and takes_changes(now.record):
                found[spec.name] = self._arguments(now.record, spec.launch)
        return found

    def _arguments(self, record: WorkerRecord, launch: Launch) -> frozenset[str]:
        live = self._lives.get(launch.engine.kind)
        if live is None or record.launched is None or record.process is None:
            return frozenset()
        if record.launched.engine.kind is not launch.engine.kind or not launch_changes(record.launched, launch):
            return frozenset()
        return live.arguments(record.launched, launch, record.process.started_at)

    def can_settle(self, worker: Worker) -> bool:
        """Whether a worker's process can be brought to the worker's specification without another start."""
        record, launch = worker.record, worker.spec.launch
        if record.launched is None or not takes_changes(record):
            return False
        return all_live(launch_changes(record.launched, launch), self._arguments(record, launch))

    # ---- one worker

    async def bring(self, worker: Worker, spec: WorkerSpec, *, trial: bool = False) -> str | None:
        """Make a running worker `spec`, which differs from what it is by what its process takes. What went wrong, None
        where nothing did: that its process ends or is started anew meanwhile is for others to judge."""
        async with self._turns[worker.name]:
            generation = worker.record.generation

            def begin() -> tuple[Launch, ...]:
                worker.spec = spec
                olds = may_run(worker.record)
                self._supervisor.feed(worker.name, LiveBegun(generation, spec.launch, trial))
                return olds

            def end() -> None:
                self._supervisor.feed(worker.name, LiveDone(generation, spec.launch, spec.profile))

            olds = await self._supervisor.ask(begin)
            if not in_doubt(worker.record):
                return None  # it no longer runs: its next process starts as it should
            said = await self._carry_out(worker, olds, spec.launch)
            if isinstance(said, str):
                return said
            await self._supervisor.ask(end)
            self._tell(worker, said)
            return None

    async def _carry_out(self, worker: Worker, olds: tuple[Launch, ...], new: Launch) -> list[str] | str:
        """The parts that were done, or what went wrong."""
        live = self._lives[new.engine.kind]
        _, key = self._surface(worker)

        async def look(path: str) -> dict[str, object] | str:
            try:
                return await self._client.fetch(worker, path, key)
            except (*SILENCE, ValueError) as error:
                return f"{path}: {_silence(error)}"

        async def post(call: LiveCall) -> str | None:
            crash_point(f"before {call.path} of {worker.name}")
            try:
                answer = await self._client.post(worker, call.path, key, call.body, call.timeout)
            except SILENCE as error:
                return f"{call.what}: {_silence(error)}"
            crash_point(f"after {call.path} of {worker.name}")
            wrong = live.wrong(call, answer.status_code, answer.text)
            return wrong.replace(key, "[redacted]") if wrong and key else wrong

        return await carry_out(live, olds, new, look, post)

    def _tell(self, worker: Worker, done: list[str]) -> None:
        self._next_try.pop(worker.name, None)
        self._look_anew(worker)
        if done:
            self._supervisor.journal.publish(
                "worker.live",
                f"without a restart: {', '.join(done)}",
                worker=worker.name,
                pool=worker.record.pool,
                data={"done": done},
            )

    # ---- those that are not what they are to be

    def tick(self) -> None:
        """To be called every second or so: bring those to their specification that were edited while they started, and
        those that a change has left in doubt."""
        for worker in self._supervisor.workers.values():
            if self._is_due(worker):
                self._next_try[worker.name] = time.monotonic() + self._patience
                worker.run(self._group, "live", self._settle(worker))

    def _is_due(self, worker: Worker) -> bool:
        record = worker.record
        if record.phase is not Phase.RUNNING or not record.ready or record.launched is None:
            return False
        if record.trial or worker.removing or worker.name in self._supervisor.uncommitted:
            return False  # somebody else decides over it
        if not in_doubt(record) and record.launched == worker.spec.launch:
            return False
        if self._turns[worker.name].locked() or time.monotonic() < self._next_try.get(worker.name, 0):
            return False
        changed = launch_changes(record.launched, worker.spec.launch)
        return in_doubt(record) if not changed else self.can_settle(worker)

    async def _settle(self, worker: Worker) -> None:
        generation = worker.record.generation
        wrong = await self.bring(worker, worker.spec)
        if wrong is not None and worker.record.generation == generation and worker.record.phase is Phase.RUNNING:
            self._supervisor.journal.publish(
                "worker.live",
                f"is not what its configuration says: {wrong}; it is tried again, and its next start brings it about",
                severity=Severity.WARNING,
                worker=worker.name,
                pool=worker.record.pool,
            )


def _silence(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    return f"{type(error).__name__} {error}".strip()

"""Stand-ins at the edges: a daemon of scripted data behind the real API on a real socket."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import msgspec
from qvl.api.control import Actor, LogSource, Verb
from qvl.api.server import ApiServer
from qvl.api.socket import Group, Listener, listen
from qvl.daemon.journal import Journal
from qvl.model.api import (
    Accepted,
    ArgOrigin,
    History,
    ProfileDetail,
    ProfileInfo,
    Resolved,
    ResolvedValue,
    VersionInfo,
)
from qvl.model.config import ConfigFault, ConfigFile, ConfigView
from qvl.model.detail import (
    EngineCapacity,
    PastExit,
    ProcessInfo,
    StartDetail,
    StepState,
    StepTime,
    WorkerDetail,
)
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Change, Event, Frame, Severity
from qvl.model.gpu import GpuHolder, GpuSample
from qvl.model.plan import Action, KeyChange, Plan, PlanStep
from qvl.model.status import (
    ConfigStatus,
    ExitStatus,
    PoolStatus,
    Status,
    SupervisorStatus,
    WorkerMetrics,
    WorkerStatus,
)
from qvl.model.worker import Cause, Phase, Progress, Wanted

T = TypeVar("T")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GIB = 1024**3
NO_GROUP = Group("qvl-no-such-group")


@dataclass(frozen=True)
class Act:
    """What a client asked for: `what` is a verb, switch, reset, cancel, apply or restart-daemon."""

    what: str
    name: str
    actor: Actor
    pool: bool = False
    profile: str | None = None


@dataclass
class FakeControl:
    """Implements qvl.api.control.Control. Set `state` and what else is public; `publish` and `show` reach watchers.

    Everything here belongs to the loop that serves it: from a test's own thread use `Served.call`.
    """

    state: Status = field(default_factory=lambda: fleet())
    journal: Journal = field(default_factory=lambda: Journal(Path(os.devnull)))
    acts: list[Act] = field(default_factory=list)
    spans: list[tuple[int, int | None]] = field(default_factory=list)
    logs: dict[str, LogSource] = field(default_factory=dict)
    refusal: QvlError | None = None
    """Raised by the next act."""
    gate: asyncio.Event | None = None
    """Acts wait for it."""
    revision: str = "r1"

    def __post_init__(self) -> None:
        self.publish("daemon", "the daemon started")
        self.publish("worker.phase", "qwen3-vl-0 is running", worker="qwen3-vl-0", data={"to": "running"})
        self.publish("worker.exit", "qwen3-vl-2 was killed", worker="qwen3-vl-2", severity=Severity.ERROR)

    def publish(
        self,
        kind: str,
        message: str,
        *,
        severity: Severity = Severity.INFO,
        worker: str | None = None,
        pool: str | None = None,
        data: dict[str, object] | None = None,
    ) -> Event:
        return self.journal.publish(kind, message, severity=severity, worker=worker, pool=pool, data=data)

    def show(self, worker: WorkerStatus) -> None:
        """Put `worker` into the status and tell the watchers that want changes."""
        others = tuple(worker if old.name == worker.name else old for old in self.state.workers)
        self.state = msgspec.structs.replace(self.state, workers=others)
        self.journal.change(Change(at=datetime.now(UTC), workers=(worker,)))

    def worker(self, name: str) -> WorkerStatus:
        return next(worker for worker in self.state.workers if worker.name == name)

    def status(self) -> Status:
        return self.state

    def events(self, since: int) -> list[Event]:
        return self.journal.since(since)

    def subscribe(self, since: int | None, *, changes: bool) -> AsyncIterator[Frame]:
        return self.journal.subscribe(since, changes=changes, status=self.status)

    async def act(self, verb: Verb, name: str, *, pool: bool, actor: Actor) -> Accepted:
        if pool:
            self._known(name, [*(found.name for found in self.state.pools), "all"], "pool")
        else:
            self._known(name, [found.name for found in self.state.workers], "worker")
        workers = [w.name for w in self.state.workers if w.name == name or (pool and name in (w.pool, "all"))]
        return await self._taken(Act(verb.value, name, actor, pool=pool), workers)

    async def switch(self, pool: str, profile: str | None, *, dry_run: bool, actor: Actor) -> Accepted | Plan:
        self._known(pool, [found.name for found in self.state.pools], "pool")
        if profile is not None:
            self._known(profile, [found.name for found in self.profiles()], "profile")
        if dry_run:
            return self._plan(profile or "standard")
        what = "reset" if profile is None else "switch"
        return await self._taken(Act(what, pool, actor, pool=True, profile=profile), self._workers(pool))

    async def cancel_switch(self, pool: str, *, actor: Actor) -> Accepted:
        self._known(pool, [found.name for found in self.state.pools], "pool")
        return await self._taken(Act("cancel", pool, actor, pool=True), self._workers(pool))

    async def plan(self, path: Path | None) -> Plan:
        return self._plan("eagle3" if path is None else path.stem)

    async def apply(self, plan_id: str, *, actor: Actor) -> Accepted:
        if plan_id == "stale":
            raise QvlError(ErrorCode.STALE_PLAN, "plan stale was made from an older file", "qvlctl plan")
        self._known(plan_id, ["p1"], "plan")
        return await self._taken(Act("apply", plan_id, actor), [])

    async def restart_daemon(self, *, actor: Actor) -> Accepted:
        return await self._taken(Act("restart-daemon", "", actor), [])

    def log_source(self, worker: str) -> LogSource:
        self._known(worker, [found.name for found in self.state.workers], "worker")
        return self.logs.get(worker, LogSource(Path(os.devnull).parent / "no-such-log", lambda: ()))

    async def history_of(self, span: int, points: int | None) -> History:
        self.spans.append((span, points))
        return await self.history(None)

    async def history(self, last: int | None) -> History:
        return History(
            interval_s=5.0,
            at=[1000.0, 1005.0, 1010.0],
            workers={"qwen3-vl-0": {"running": [1.0, 2.0, None], "tokens_per_s": [10.0, 20.5, None]}},
            gpus={"0": {"memory_used": [70.0 * GIB, 70.0 * GIB, None], "utilization": [0.5, 0.75, None]}},
        )

    def profiles(self) -> tuple[ProfileInfo, ...]:
        return (
            ProfileInfo("standard", "sglang", "Qwen/Qwen3-VL-8B-Instruct", None, ("qwen3-vl",)),
            ProfileInfo("eagle3", "sglang", "Qwen/Qwen3-VL-8B-Instruct", "standard", ()),
            ProfileInfo("chat", "sglang", "Qwen/Qwen3-32B", None, ("chat",)),
        )

    async def profile(self, name: str, pool: str | None) -> ProfileDetail:
        self._known(name, [found.name for found in self.profiles()], "profile")
        return ProfileDetail(
            name=name,
            engine="sglang",
            model="Qwen/Qwen3-VL-8B-Instruct",
            args=(
                ArgOrigin("mem-fraction-static", 0.85, "profile standard"),
                ArgOrigin("enable-metrics", True, "qvl"),
                ArgOrigin("port", 8000, f"pool {pool or 'qwen3-vl'}"),
                ArgOrigin("tp", 1, "profile eagle3"),
            ),
            env=(ArgOrigin("HF_HOME", "/opt/nvme/hf", "engine sglang"),),
            raw_args=(),
            command=("python", "-m", "sglang.launch_server", "--mem-fraction-static", "0.85"),
            pool=pool or "qwen3-vl",
            place=(ArgOrigin("gpus", [0], f"pool {pool or 'qwen3-vl'}"),),
            workers=("qwen3-vl-0",) if name == "standard" else (),
        )

    async def detail(self, worker: str) -> WorkerDetail:
        self._known(worker, [found.name for found in self.state.workers], "worker")
        step = StepTime("weights", StepState.NOW, 3.5, 2.5)
        return WorkerDetail(
            worker=self.worker(worker),
            start=StartDetail(START, "standard", (step,), fraction=0.4, seconds=12.5, expected_s=30.0),
            capacity=EngineCapacity(weights=17 * GIB, kv_tokens=356176, context_length=32768, max_running=4096),
            processes=(
                ProcessInfo(100, 99, "sglang::scheduler_TP0", "S", 4 * GIB, 12.5, 80, 70 * GIB, (0,), root=True),
            ),
            processes_left_out=0,
            exits=(PastExit(START, Cause.KILLED, None, 9, "killed by signal 9", None, True, 640.0, "standard"),),
        )

    async def resolved(self, worker: str) -> Resolved:
        self._known(worker, [found.name for found in self.state.workers], "worker")
        return Resolved(
            worker=worker,
            pool="qwen3-vl",
            profile="standard",
            engine="sglang",
            version="0.5.18",
            values=(
                ResolvedValue("attention-backend", "fa3", common=True),
                ResolvedValue("mem-fraction-static", 0.83, (), 0.85, differs=True, common=True),
                ResolvedValue("cuda-graph-bs", [1, 2, 4, *range(8, 257, 8)], common=True),
                ResolvedValue("quantization", None, common=True),
                ResolvedValue("enable-metrics", True),
                ResolvedValue("log-level", "info"),
                ResolvedValue("tp-size", 1, ("tensor-parallel-size", "tp"), 1, common=True),
            ),
            hidden=("api-key",),
        )

    async def config(self) -> ConfigView:
        return ConfigView(
            status=self.state.supervisor.config,
            revision=self.revision,
            files=(ConfigFile("/etc/qvl/qvl.toml", 'HF_TOKEN = "[redacted]"\n', redacted=1),),
            faults=(ConfigFault("/etc/qvl/qvl.toml", 1, "HF_TOKEN", "unknown key", ""),),
        )

    async def version(self) -> VersionInfo:
        return VersionInfo("0.1.0", "3.11.9", {"sglang": "0.5.18", "other": None})

    def _plan(self, profile: str) -> Plan:
        key = KeyChange("profile", "standard", profile)
        return Plan(
            revision=self.revision,
            id="p1",
            steps=(
                PlanStep("qwen3-vl-0", Action.RESTART, (key,), downtime_s=31.0),
                PlanStep("chat-0", Action.KEEP),
            ),
        )

    def _workers(self, pool: str) -> list[str]:
        return [worker.name for worker in self.state.workers if worker.pool == pool]

    async def _taken(self, act: Act, workers: list[str]) -> Accepted:
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        if self.gate is not None:
            await self.gate.wait()
        self.acts.append(act)
        event = self.publish("act", f"{act.what} {act.name}", data={"uid": act.actor.uid, "pid": act.actor.pid})
        return Accepted(event.seq - 1, f"{act.what} {act.name} was taken in", tuple(workers))

    def _known(self, name: str, names: list[str], what: str) -> None:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
            raise QvlError(ErrorCode.NOT_FOUND, f'there is no {what} "{name}"', hint)


def fleet() -> Status:
    """Two pools with four workers, each in another phase, and four GPUs."""
    return Status(
        supervisor=SupervisorStatus(
            pid=4242,
            version="0.1.0",
            started_at=START,
            config=ConfigStatus(path="/etc/qvl/qvl.toml", revision="r1", applied="r1"),
            host="gpu-01",
        ),
        pools=(
            PoolStatus("qwen3-vl", "standard", None, None, ready=1, total=3),
            PoolStatus("chat", "chat", None, "http://127.0.0.1:8100", ready=0, total=1),
        ),
        workers=(
            _worker(0, Phase.RUNNING, metrics=WorkerMetrics(3, 1, 812.5, 0.42, 0.3, None, 0.08, 0.31)),
            _worker(1, Phase.STARTING, progress=Progress("weights", 40, 21.0)),
            _worker(
                2,
                Phase.BACKOFF,
                restarts=2,
                reason="killed by SIGKILL, 2nd time",
                next_start_at=START + timedelta(seconds=90),
                last_exit=ExitStatus(
                    START + timedelta(seconds=60),
                    None,
                    9,
                    Cause.KILLED,
                    "signal 9",
                    "see `dmesg` for the one who did it",
                ),
            ),
            _worker(
                3,
                Phase.FAILED,
                name="chat-0",
                pool="chat",
                profile="chat",
                port=8100,
                reason="model Qwen/Qwen3-32B is not there",
                hint="check profiles.chat.model, then: qvlctl start chat-0",
                last_exit=ExitStatus(
                    START + timedelta(seconds=30), 1, None, Cause.MODEL_MISSING, "OSError: Qwen/Qwen3-32B", None
                ),
            ),
        ),
        gpus=tuple(
            GpuSample(
                index=index,
                uuid=f"GPU-{index:08d}-0000-0000-0000-000000000000",
                name="NVIDIA H100 80GB HBM3",
                memory_used=(70 if index == 0 else 1) * GIB,
                memory_total=80 * GIB,
                utilization=0.63 if index == 0 else 0.0,
                temperature=54.0,
                power=350.5,
                holders=(GpuHolder(1000, 70 * GIB, "sglang::scheduler", "qvl"),) if index == 0 else (),
            )
            for index in range(4)
        ),
    )


def _worker(
    index: int,
    phase: Phase,
    *,
    name: str = "",
    pool: str = "qwen3-vl",
    profile: str = "standard",
    port: int = 0,
    restarts: int = 0,
    reason: str | None = None,
    hint: str | None = None,
    next_start_at: datetime | None = None,
    progress: Progress | None = None,
    last_exit: ExitStatus | None = None,
    metrics: WorkerMetrics | None = None,
) -> WorkerStatus:
    port = port or 8000 + index
    return WorkerStatus(
        name=name or f"{pool}-{index}",
        pool=pool,
        profile=profile,
        engine="sglang",
        wanted=Wanted.UP,
        phase=phase,
        ready=phase is Phase.RUNNING,
        pid=1000 + index if phase.has_process else None,
        gpus=(index,),
        port=port,
        endpoint=f"http://127.0.0.1:{port}",
        since=START + timedelta(seconds=10 * index),
        restarts=restarts,
        next_start_at=next_start_at,
        reason=reason,
        drift=(),
        progress=progress,
        last_exit=last_exit,
        metrics=metrics or WorkerMetrics(),
        hint=hint,
        max_restarts=8,
    )


@dataclass
class Served:
    """A FakeControl behind the real API."""

    control: FakeControl
    socket: Path
    view: Path
    server: ApiServer
    loop: asyncio.AbstractEventLoop

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the loop that serves, from another thread."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)


@asynccontextmanager
async def serving(
    control: FakeControl,
    socket: Path,
    *,
    patience: float = 30.0,
    heartbeat: float = 5.0,
    group: Group = NO_GROUP,
    view_group: Group = NO_GROUP,
) -> AsyncIterator[Served]:
    """Serve `control` in this loop at `socket`, with view.sock beside it."""
    operators = listen(socket, group)
    viewers = listen(socket.with_name("view.sock"), view_group)
    server = ApiServer(control, operators, viewers, patience=patience, heartbeat=heartbeat)
    ready = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(ready.set))
            await ready.wait()
            try:
                yield Served(control, socket, viewers.path, server, asyncio.get_running_loop())
            finally:
                await server.close()
    finally:
        _close(operators, viewers)


@contextmanager
def serve(
    control: FakeControl,
    socket: Path,
    *,
    patience: float = 30.0,
    heartbeat: float = 5.0,
    group: Group = NO_GROUP,
    view_group: Group = NO_GROUP,
) -> Iterator[Served]:
    """The same in a thread of its own, for tests and programs without a loop."""
    started = threading.Event()
    stop: list[Callable[[], None]] = []
    served: list[Served] = []
    failed: list[BaseException] = []

    async def run() -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with serving(
            control, socket, patience=patience, heartbeat=heartbeat, group=group, view_group=view_group
        ) as here:
            served.append(here)
            stop.append(lambda: _set(loop, done))
            started.set()
            await done.wait()

    def body() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001  # handed over to the test's thread
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=body, name="fake-daemon")
    thread.start()
    started.wait(10)
    try:
        if served:
            yield served[0]
    finally:
        for end in stop:
            end()
        thread.join(10)
    if failed:
        raise failed[0]


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _close(*listeners: Listener) -> None:
    for listener in listeners:
        listener.close()

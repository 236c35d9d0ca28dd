"""Fleets to look at, and a scripted Link that tells them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import msgspec
from qvl.model.api import (
    Accepted,
    History,
    ProfileDetail,
    ProfileInfo,
    Resolved,
    WhoAmI,
)
from qvl.model.config import ConfigView
from qvl.model.detail import WorkerDetail
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Event, Frame, Severity, Snapshot
from qvl.model.gpu import GpuHolder, GpuSample
from qvl.model.log import LogEnd, LogExtent, LogFound, LogSearch
from qvl.model.plan import Action, Plan, PlanStep
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
from qvl_tui.link import Chunk

from tests.tui.configs import detail, eagle_plan, resolved, view

NOW = datetime(2026, 3, 4, 12, 3, 11, tzinfo=UTC)
GIB = 1024**3


def worker(name: str = "qwen3-vl-0", phase: Phase = Phase.RUNNING, **changes: object) -> WorkerStatus:
    """A worker as the daemon would tell it; a running one is ready unless told otherwise."""
    pool, _, index = name.partition("@")[0].rpartition("-")
    alive = phase.has_process
    known: dict[str, object] = {
        "name": name,
        "pool": pool,
        "profile": "standard",
        "engine": "sglang",
        "wanted": Wanted.DOWN if phase is Phase.STOPPED else Wanted.UP,
        "phase": phase,
        "ready": phase is Phase.RUNNING,
        "pid": 4100 + int(index) if alive else None,
        "gpus": (int(index),),
        "port": 8000 + int(index),
        "endpoint": f"http://127.0.0.1:{8000 + int(index)}",
        "since": NOW - timedelta(minutes=42),
        "restarts": 0,
        "next_start_at": None,
        "reason": None,
        "drift": (),
        "progress": None,
        "last_exit": None,
        "metrics": WorkerMetrics(3, 0, 1240.0, 0.42, 0.61, None, 0.084, 0.21)
        if phase is Phase.RUNNING
        else WorkerMetrics(),
    }
    return WorkerStatus(**(known | changes))  # type: ignore[arg-type]


def starting(name: str, percent: int = 42, **changes: object) -> WorkerStatus:
    return worker(name, Phase.STARTING, progress=Progress("weights", percent, 21.0), **changes)


def backoff(name: str, **changes: object) -> WorkerStatus:
    last = ExitStatus(
        NOW - timedelta(seconds=12),
        1,
        None,
        Cause.OUT_OF_GPU_MEMORY,
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB",
        "lower mem-fraction-static, or free what else holds GPU 2",
    )
    known: dict[str, object] = {
        "restarts": 3,
        "max_restarts": 8,
        "next_start_at": NOW + timedelta(seconds=40),
        "reason": "out of GPU memory at load",
        "last_exit": last,
    }
    return worker(name, Phase.BACKOFF, **(known | changes))


def failed(name: str, **changes: object) -> WorkerStatus:
    last = ExitStatus(
        NOW - timedelta(minutes=3), 1, None, Cause.MODEL_MISSING, "/models/Qwen3-VL is not a directory", None
    )
    known: dict[str, object] = {
        "reason": "the model /models/Qwen3-VL-8B-Instruct is not there",
        "hint": "mount it, or change `model` in the profile",
        "last_exit": last,
        "restarts": 1,
    }
    return worker(name, Phase.FAILED, **(known | changes))


def gpu(index: int, **changes: object) -> GpuSample:
    known: dict[str, object] = {
        "index": index,
        "uuid": f"GPU-{index:08x}",
        "name": "NVIDIA H200",
        "memory_used": (110 + index % 8 * 3) * GIB,
        "memory_total": 141 * GIB,
        "utilization": max(0.0, 0.87 - index * 0.2),
        "temperature": 61.0 + index,
        "power": 512.0 - index % 8 * 60,
    }
    return GpuSample(**(known | changes))  # type: ignore[arg-type]


def status(*workers: WorkerStatus, gpus: tuple[GpuSample, ...] | None = None, **supervisor: object) -> Status:
    if gpus is None:
        gpus = tuple(gpu(index) for index in range(len(workers)))
    pools = {known.pool: known.profile for known in workers}
    return Status(
        SupervisorStatus(
            pid=812,
            version="0.1.0",
            started_at=NOW - timedelta(hours=3),
            config=ConfigStatus("/etc/qvl/qvl.toml", "a1", "a1", **supervisor),  # type: ignore[arg-type]
            host="gpu-07",
        ),
        tuple(
            PoolStatus(
                name,
                profile,
                None,
                None,
                sum(known.ready for known in workers if known.pool == name),
                sum(known.pool == name for known in workers),
            )
            for name, profile in pools.items()
        ),
        workers,
        gpus,
    )


def snapshot(*workers: WorkerStatus, seq: int = 10, **more: object) -> Snapshot:
    return Snapshot(seq, NOW, status(*workers, **more))  # type: ignore[arg-type]


def event(seq: int, message: str, severity: Severity = Severity.INFO, worker: str | None = None) -> Event:
    return Event(
        seq=seq,
        at=NOW + timedelta(seconds=seq),
        kind="worker.phase",
        message=message,
        severity=severity,
        worker=worker,
    )


def troubled() -> tuple[Frame, ...]:
    """Four workers: ready, starting, in backoff, failed; and what led there."""
    return (
        snapshot(
            worker("qwen3-vl-0"),
            starting("qwen3-vl-1"),
            backoff("qwen3-vl-2"),
            failed("qwen3-vl-3"),
            gpus=(gpu(0), gpu(1), gpu(2, holders=(GpuHolder(4711, 3 * GIB, "python", "ann"),)), gpu(3, memory_used=0)),
        ),
        event(6, "qwen3-vl-0 is ready after 31 s", worker="qwen3-vl-0"),
        event(7, "qwen3-vl-1 started as asked by root", worker="qwen3-vl-1"),
        event(8, "qwen3-vl-2 ended: out-of-gpu-memory, again in 52 s", Severity.WARNING, "qwen3-vl-2"),
        event(9, "qwen3-vl-3 failed: the model is not there", Severity.ERROR, "qwen3-vl-3"),
        event(10, "config applied: revision a1"),
    )


class FakeLink:
    """Tells what a test scripts; remembers what was asked."""

    where = "/run/qvl/supervisor.sock"

    def __init__(self, *frames: Frame, role: str = "operator", name: str = "") -> None:
        self.name = name
        self.role = role
        self.frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.logs: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self.up = True
        self.acts: list[tuple[str, str]] = []
        self.switches: list[tuple[str, str | None]] = []
        self.cancelled: list[str] = []
        self.planned: list[str | None] = []
        self.applied: list[str] = []
        self.read = 0
        """How often the configuration was asked for."""
        self.configuration: ConfigView | QvlError = view()
        self.switch_plan = eagle_plan("qwen3-vl-0")
        self.resumed: list[int] = []
        self.log_asked: list[int | None] = []
        self.refusal: QvlError | None = None
        self.details: dict[str, WorkerDetail] = {}
        """By worker; one without is what an older daemon doesn't tell."""
        self.detail_asked: list[str] = []
        self.resolved_asked: list[str] = []
        self.unresolved: QvlError | None = None
        """Why the engine doesn't tell what it made of its arguments."""
        self.before: Callable[[int, int], History] | None = lambda span, points: History(5.0, [], {}, {})
        """What it knows of the past; None: it is too old to be asked."""
        self.gate: asyncio.Event | None = None
        """It answers what was once this is set."""
        self.spans: list[int] = []
        self.seq = 10
        self.readers = 0
        self.tell(*frames)

    def tell(self, *frames: Frame) -> None:
        for frame in frames:
            self.frames.put_nowait(frame)

    @property
    def pending(self) -> int:
        """What was told and is not yet taken in."""
        return self.frames.qsize() + (self.logs.qsize() if self.readers else 0)

    def write(self, data: bytes, offset: int = 0) -> None:
        self.logs.put_nowait(Chunk(offset, data))

    def drop(self) -> None:
        """The daemon goes away: the stream ends and nothing can be reached until `up` again."""
        self.up = False
        self.frames.put_nowait(None)
        for _ in range(self.readers):
            self.logs.put_nowait(None)

    async def events(self, since: int) -> AsyncIterator[Frame]:
        self._reach()
        self.resumed.append(since)
        while (frame := await self.frames.get()) is not None:
            yield frame

    async def log(self, worker: str, *, lines: int, since: int | None) -> AsyncIterator[Chunk]:
        self._reach()
        self.log_asked.append(since)
        self.readers += 1
        try:
            while (chunk := await self.logs.get()) is not None:
                yield chunk
        finally:
            self.readers -= 1

    async def log_page(self, worker: str, since: int, limit: int) -> Chunk:
        self._reach()
        return Chunk(0, b"")

    async def log_extent(self, worker: str) -> LogExtent:
        self._reach()
        return LogExtent(0, 0)

    async def log_search(self, worker: str, search: LogSearch) -> AsyncGenerator[LogFound, None]:
        self._reach()
        yield LogEnd("exhausted", 0, 0)

    async def whoami(self) -> WhoAmI:
        self._reach()
        return WhoAmI(1000, 1000, 4242, "ann", self.role)

    async def history(self) -> History:
        self._reach()
        return History(2.0, [], {}, {})

    async def history_of(self, span: int, points: int) -> History:
        self._reach()
        self.spans.append(span)
        if self.gate is not None:
            await self.gate.wait()
        if self.before is None:
            raise QvlError(ErrorCode.BAD_REQUEST, 'unknown field "span"')
        return self.before(span, points)

    async def profiles(self) -> tuple[ProfileInfo, ...]:
        self._reach()
        return (
            ProfileInfo("standard", "sglang", "Qwen/Qwen3-VL-8B-Instruct", None, ("qwen3-vl",)),
            ProfileInfo("eagle3", "sglang", "Qwen/Qwen3-VL-8B-Instruct", "standard", ()),
            ProfileInfo("big", "sglang", "Qwen/Qwen3-VL-32B-Instruct", None, ()),
        )

    async def worker(self, name: str) -> WorkerDetail:
        self._reach()
        self.detail_asked.append(name)
        if name not in self.details:
            raise QvlError(ErrorCode.NOT_FOUND, f"there is no GET /v1/workers/{name}")
        return self.details[name]

    async def resolved(self, worker: str) -> Resolved:
        self._reach()
        self.resolved_asked.append(worker)
        if self.unresolved is not None:
            raise self.unresolved
        return resolved(worker)

    async def act(self, verb: str, name: str, *, pool: bool) -> Accepted:
        self._reach()
        self.acts.append((verb, f"pool {name}" if pool else name))
        if self.refusal:
            raise self.refusal
        return Accepted(self.seq + 1, f"{verb} of {name} is under way", (name,))

    async def profile(self, name: str, pool: str) -> ProfileDetail:
        self._reach()
        return detail(name, pool)

    async def plan_switch(self, pool: str, profile: str | None) -> Plan:
        self._reach()
        if self.role == "viewer":
            raise QvlError(ErrorCode.FORBIDDEN, "the view socket answers reads only")
        self.planned.append(profile)
        if profile == "standard":
            return Plan("a1", (PlanStep("qwen3-vl-0", Action.KEEP),))
        if profile == "big":
            raise QvlError(ErrorCode.REFUSED, "the model Qwen3-VL-32B-Instruct is not there", "download it first")
        return self.switch_plan

    async def switch(self, pool: str, profile: str | None) -> Accepted:
        self._reach()
        self.switches.append((pool, profile))
        return Accepted(self.seq + 1, f"{pool} switches to {profile or 'the profile of the file'}", ())

    async def cancel_switch(self, pool: str) -> Accepted:
        self._reach()
        self.cancelled.append(pool)
        return Accepted(self.seq + 1, f"the change of {pool} goes back", ())

    async def config(self) -> ConfigView:
        self._reach()
        self.read += 1
        if isinstance(self.configuration, QvlError):
            raise self.configuration
        return self.configuration

    async def plan(self) -> Plan:
        self._reach()
        if isinstance(self.configuration, QvlError):
            raise self.configuration
        if self.configuration.plan is None:
            raise QvlError(ErrorCode.REFUSED, "the file is refused", "mend it, then plan again")
        return msgspec.structs.replace(self.configuration.plan, id="a2-1")

    async def apply(self, plan_id: str) -> Accepted:
        self._reach()
        self.applied.append(plan_id)
        if self.refusal:
            raise self.refusal
        return Accepted(self.seq + 1, f"plan {plan_id} is being applied", ())

    def _reach(self) -> None:
        if not self.up:
            raise QvlError(ErrorCode.UNREACHABLE, f"no daemon answers at {self.where}: connection refused")

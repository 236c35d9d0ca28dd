"""The answer of `GET /v1/status`, version 1: fields may be added, never changed."""

from datetime import UTC, datetime

import msgspec

from qvl.model.gpu import GpuSample
from qvl.model.worker import Cause, Phase, Progress, Wanted


class ConfigStatus(msgspec.Struct, frozen=True):
    path: str
    revision: str | None
    applied: str | None
    error: str | None = None
    pending: bool = False


class SupervisorStatus(msgspec.Struct, frozen=True):
    pid: int
    version: str
    started_at: datetime
    config: ConfigStatus
    host: str = ""
    lost_log_bytes: int = 0


class SwitchStatus(msgspec.Struct, frozen=True):
    """A transaction under way on a pool."""

    kind: str
    """`switch`, `reset`, `apply` or `restart`."""
    to: str
    step: str
    worker: str | None
    done: int
    total: int
    """Workers; once it goes back, those that are back and those that have to."""
    started_at: datetime
    percent: int = 0
    """0 to 99. It never falls but where it begins to go back, and counts that way anew."""
    why: str | None = None
    """What makes it go back; null while it goes on."""


class ExitStatus(msgspec.Struct, frozen=True):
    at: datetime
    code: int | None
    signal: int | None
    cause: Cause
    evidence: str | None
    hint: str | None


class WorkerMetrics(msgspec.Struct, frozen=True):
    """Engine figures; kv_usage and cache_hit_rate 0-1, latencies in seconds of the last minute. None: not known."""

    running: int | None = None
    queued: int | None = None
    tokens_per_s: float | None = None
    kv_usage: float | None = None
    cache_hit_rate: float | None = None
    accept_length: float | None = None
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    itl_p50_s: float | None = None
    """Between two tokens of an answer, as the next one."""
    itl_p95_s: float | None = None

    @property
    def in_flight(self) -> int | None:
        """Requests that run or wait; None where neither is known."""
        known = [count for count in (self.running, self.queued) if count is not None]
        return sum(known) if known else None


class WorkerStatus(msgspec.Struct, frozen=True):
    name: str
    pool: str
    profile: str
    engine: str
    """By its name in the configuration."""
    wanted: Wanted
    phase: Phase
    ready: bool
    pid: int | None
    gpus: tuple[int | str, ...]
    port: int
    endpoint: str
    since: datetime
    restarts: int
    next_start_at: datetime | None
    reason: str | None
    drift: tuple[str, ...]
    progress: Progress | None
    last_exit: ExitStatus | None
    metrics: WorkerMetrics
    hint: str | None = None
    max_restarts: int | None = None


class ExternalStatus(msgspec.Struct, frozen=True):
    """A server elsewhere behind a gateway."""

    url: str
    healthy: bool


class GatewayStatus(WorkerStatus, frozen=True):
    """What stands in front of a pool's workers: a process that is watched as they are, and what went through it."""

    routed: tuple[str, ...] = ()
    """The workers that it sends requests to."""
    external: tuple[ExternalStatus, ...] = ()
    requests: int | None = None
    """Since it was started, as the next ones. None: not known."""
    failed: int | None = None
    """Answered with 500 or above."""
    retried: int | None = None
    """Attempts that were made again, with another worker."""
    broken: int = 0
    """In flight with a worker that ended unasked, since the daemon's start: streams among them broke off."""
    in_flight: int | None = None
    error: str | None = None
    """Why what it says of itself can't be had, or its list can't be changed."""


class PoolStatus(msgspec.Struct, frozen=True):
    name: str
    profile: str
    override: str | None
    endpoint: str | None
    ready: int
    total: int
    switch: SwitchStatus | None = None
    gateway: GatewayStatus | None = None


class Status(msgspec.Struct, frozen=True):
    supervisor: SupervisorStatus
    pools: tuple[PoolStatus, ...]
    workers: tuple[WorkerStatus, ...]
    gpus: tuple[GpuSample, ...]
    version: int = 1


def when(seconds: float) -> datetime:
    """Unix time as UTC, to the millisecond: finer is noise on the wire."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)

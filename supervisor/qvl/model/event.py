"""What watchers are told. The stream is: a `snapshot`, then numbered `event`s, `heartbeat`s, and `lost` where a slow
reader missed some. Each is one JSON object on a line with its kind under `type`."""

from datetime import datetime
from enum import StrEnum

import msgspec

from qvl.model.gpu import GpuSample
from qvl.model.status import PoolStatus, Status, SupervisorStatus, WorkerMetrics, WorkerStatus


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(msgspec.Struct, frozen=True, tag="event", kw_only=True, omit_defaults=True):
    """A change with its reason, for people and scripts. `seq` grows by one and goes on after a daemon restart."""

    seq: int
    at: datetime
    kind: str
    """worker.phase, worker.ready, worker.live, worker.exit, worker.warning, config.applied, config.refused, plan,
    switch, act, daemon, gpu.fault, gpu.quarantine"""
    message: str
    severity: Severity = Severity.INFO
    worker: str | None = None
    pool: str | None = None
    data: dict[str, object] | None = None
    """Kind-specific facts: `from`, `to`, `cause`, `uid`, `pid`, `command`, …"""


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """Everything, as of event `seq`."""

    seq: int
    at: datetime
    status: Status


class Change(msgspec.Struct, frozen=True, tag="change", omit_defaults=True):
    """New values of what a screen shows; not numbered: a reader that lags keeps only the newest of each."""

    at: datetime
    workers: tuple[WorkerStatus, ...] = ()
    pools: tuple[PoolStatus, ...] | None = None
    supervisor: SupervisorStatus | None = None
    gpus: tuple[GpuSample, ...] | None = None
    metrics: dict[str, WorkerMetrics] = {}
    removed: tuple[str, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    at: datetime
    seq: int


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """This reader was too slow: `lost` events were dropped for it."""

    lost: int


Frame = Snapshot | Event | Change | Heartbeat | Lost

"""The daemon's documents as the command line reads them: plain JSON, typed for the checker only.

The model's structs are not used here, for two reasons. A decoder that is strict about every field would refuse the
answer of an older or newer daemon just when its status is wanted most; and importing msgspec takes longer than all the
rest of `qvlctl status`. Only fields that the command line reads are named. A test holds each of them against the
model, so that the two can't drift. Nothing imports this module at run time.
"""

from typing import NotRequired, TypedDict


class ConfigDoc(TypedDict):
    path: str
    revision: str | None
    applied: str | None
    error: str | None
    pending: bool


class SupervisorDoc(TypedDict):
    pid: int
    version: str
    started_at: str
    config: ConfigDoc
    host: str
    lost_log_bytes: int


class SwitchDoc(TypedDict):
    kind: str
    to: str
    step: str
    worker: str | None
    done: int
    total: int
    started_at: str
    percent: NotRequired[int]
    why: NotRequired[str | None]


class ExternalDoc(TypedDict):
    url: str
    healthy: bool


class PoolDoc(TypedDict):
    name: str
    profile: str
    override: str | None
    endpoint: str | None
    ready: int
    total: int
    switch: SwitchDoc | None
    gateway: NotRequired["GatewayDoc | None"]


class ProgressDoc(TypedDict):
    step: str
    percent: int | None
    eta_s: float | None


class ExitDoc(TypedDict):
    at: str
    code: int | None
    signal: int | None
    cause: str
    evidence: str | None
    hint: str | None


class MetricsDoc(TypedDict):
    running: int | None
    queued: int | None
    tokens_per_s: float | None
    kv_usage: float | None
    cache_hit_rate: float | None
    accept_length: float | None
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    itl_p50_s: float | None
    itl_p95_s: float | None


class WorkerDoc(TypedDict):
    name: str
    pool: str
    profile: str
    engine: str
    wanted: str
    phase: str
    ready: bool
    pid: int | None
    gpus: list[int | str]
    port: int
    endpoint: str
    since: str
    restarts: int
    next_start_at: str | None
    reason: str | None
    drift: list[str]
    progress: ProgressDoc | None
    last_exit: ExitDoc | None
    metrics: MetricsDoc
    hint: str | None
    max_restarts: int | None


class GatewayDoc(WorkerDoc):
    routed: list[str]
    external: list[ExternalDoc]
    requests: int | None
    failed: int | None
    retried: int | None
    broken: int
    in_flight: int | None
    error: str | None


class HolderDoc(TypedDict):
    pid: int
    memory: int | None
    command: str
    user: str


class GpuDoc(TypedDict):
    index: int
    uuid: str
    name: str
    memory_used: int | None
    memory_total: int | None
    utilization: float | None
    temperature: float | None
    power: float | None
    health: str
    holders: list[HolderDoc]
    reason: NotRequired[str | None]


class StatusDoc(TypedDict):
    version: int
    supervisor: SupervisorDoc
    pools: list[PoolDoc]
    workers: list[WorkerDoc]
    gpus: list[GpuDoc]


# TypedDict's call form, since `from` is a word of the language.
KeyChangeDoc = TypedDict("KeyChangeDoc", {"key": str, "from": object, "to": object})


class PlanStepDoc(TypedDict):
    worker: str
    action: str
    keys: list[KeyChangeDoc]
    downtime_s: float | None
    requests: int | None
    drain_s: float | None


class PlanWarningDoc(TypedDict):
    worker: str
    message: str
    hint: str | None
    waits: bool


class PlanDoc(TypedDict):
    version: int
    id: str
    revision: str
    steps: list[PlanStepDoc]
    removes_pools: list[str]
    warnings: NotRequired[list[PlanWarningDoc]]
    """Not there in what a daemon of before has to say."""


class AcceptedDoc(TypedDict):
    seq: int
    message: str
    workers: list[str]


class FrameDoc(TypedDict):
    """Any line of the event stream; `type` says which of the fields are there.

    `away` is our own: the stream was lost and is being looked for again (`message` says why).
    """

    type: str
    seq: NotRequired[int]
    at: NotRequired[str]
    status: NotRequired[StatusDoc]
    kind: NotRequired[str]
    message: NotRequired[str]
    severity: NotRequired[str]
    worker: NotRequired[str | None]
    pool: NotRequired[str | None]
    data: NotRequired[dict[str, object] | None]
    workers: NotRequired[list[WorkerDoc]]
    pools: NotRequired[list[PoolDoc] | None]
    supervisor: NotRequired[SupervisorDoc | None]
    gpus: NotRequired[list[GpuDoc] | None]
    metrics: NotRequired[dict[str, MetricsDoc]]
    removed: NotRequired[list[str]]
    lost: NotRequired[int]


class ProfileInfoDoc(TypedDict):
    name: str
    engine: str
    model: str
    extends: str | None
    used_by: list[str]


class ArgOriginDoc(TypedDict):
    key: str
    value: object
    origin: str


class ProfileDoc(TypedDict):
    name: str
    engine: str
    model: str
    args: list[ArgOriginDoc]
    env: list[ArgOriginDoc]
    raw_args: list[str]
    command: list[str]
    pool: NotRequired[str | None]
    place: NotRequired[list[ArgOriginDoc]]
    workers: NotRequired[list[str]]


class ResolvedValueDoc(TypedDict):
    key: str
    value: object
    names: list[str]
    given: object
    differs: bool
    common: bool


class ResolvedDoc(TypedDict):
    worker: str
    pool: str
    profile: str
    engine: str
    version: str | None
    values: list[ResolvedValueDoc]
    hidden: list[str]


class VersionDoc(TypedDict):
    daemon: str
    python: str
    engines: dict[str, str | None]

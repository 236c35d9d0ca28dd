"""What a worker is to be: the resolved configuration, free of defaults, inheritance and files."""

from enum import StrEnum
from typing import TypeAlias

import msgspec

ArgValue: TypeAlias = bool | int | float | str | list[str | int | float] | dict[str, object]
"""An engine argument: `true` is the bare flag, a list repeated values, a table JSON."""


class EngineKind(StrEnum):
    SGLANG = "sglang"
    VLLM = "vllm"
    COMMAND = "command"
    SIMULATED = "simulated"
    ROUTER = "sglang-router"
    """What a pool's `gateway` runs; no engine of the configuration is of this kind."""


class Way(StrEnum):
    """How to go on after an unrequested end."""

    RETRY = "retry"
    GATE = "gate"
    NEVER = "never"
    QUARANTINE = "quarantine"


class RestartMode(StrEnum):
    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class RestartPolicy(msgspec.Struct, frozen=True):
    """Durations in seconds."""

    mode: RestartMode = RestartMode.ALWAYS
    backoff: float = 1.0
    backoff_max: float = 300.0
    reset_after: float = 600.0
    max_restarts: int = 8
    window: float = 1800.0
    causes: dict[str, Way] = {}
    """Another way to go on, by cause."""


class HealthPolicy(msgspec.Struct, frozen=True):
    """Durations in seconds; `failures` counts failed checks in a row."""

    stall_timeout: float = 300.0
    interval: float = 5.0
    deep_interval: float = 30.0
    timeout: float = 25.0
    failures: int = 3


class StopPolicy(msgspec.Struct, frozen=True):
    """Durations in seconds."""

    drain: float = 60.0
    term: float = 90.0


class LogPolicy(msgspec.Struct, frozen=True):
    max_size: int = 50_000_000
    """Bytes of one segment."""
    keep: int = 5
    """Older segments that stay."""


class Policy(msgspec.Struct, frozen=True):
    """How a worker is looked after. A change of it never restarts a worker."""

    restart: RestartPolicy = RestartPolicy()
    health: HealthPolicy = HealthPolicy()
    stop: StopPolicy = StopPolicy()
    logs: LogPolicy = LogPolicy()
    routed: bool = False
    """A gateway stands in front of it, which is told before it drains."""


class Engine(msgspec.Struct, frozen=True):
    """A way to run an inference server."""

    name: str
    kind: EngineKind
    python: str = ""
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    env_file: str = ""
    ready: str = "/health"
    smoke: str = ""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides which process runs: a change of any of it needs a restart."""

    engine: Engine
    model: str = ""
    args: dict[str, ArgValue] = {}
    """Canonical names, without dashes."""
    raw_args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    gpus: tuple[int | str, ...] = ()
    """Indexes or UUIDs; empty for a pool without GPUs."""
    host: str = "127.0.0.1"
    port: int = 0
    api_key_file: str = ""


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as the configuration wants it."""

    name: str
    pool: str
    index: int
    profile: str
    launch: Launch
    policy: Policy = Policy()
    autostart: bool = True
    external: tuple[str, ...] = ()
    """Of a gateway: the URLs of servers elsewhere that it takes beside the pool's workers."""

    @property
    def is_gateway(self) -> bool:
        """Whether it stands in front of its pool's workers instead of being one."""
        return self.launch.engine.kind is EngineKind.ROUTER


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A pool with its workers in order."""

    name: str
    profile: str
    """What it runs now: the override if there is one, else `file_profile`."""
    file_profile: str
    host: str
    port: int
    workers: tuple[WorkerSpec, ...]
    gateway: WorkerSpec | None = None

    @property
    def members(self) -> tuple[WorkerSpec, ...]:
        """All that is to run for it, the gateway first."""
        return self.workers if self.gateway is None else (self.gateway, *self.workers)

    @property
    def endpoint(self) -> str | None:
        """The one URL that serves the pool; None where it has several workers and nothing in front of them."""
        return url(self.host, self.port) if self.gateway is not None or len(self.workers) == 1 else None


def url(host: str, port: int) -> str:
    """The base URL at which a client of this host reaches a server bound to `host`."""
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

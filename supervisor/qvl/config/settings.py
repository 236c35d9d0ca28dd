"""The configuration once it has been understood: resolved, checked, and enough to make every worker's specification
again without the file. It is also what the state directory remembers as last applied."""

from typing import Literal, TypeAlias

import msgspec

from qvl.model.spec import ArgValue, Engine, Policy

GpuChoice: TypeAlias = str | int | list[int | str]
"""`all`, `none`, how many, or which by index or UUID."""


class Supervisor(msgspec.Struct, frozen=True):
    gpus: str = "nvml"
    """`nvml`, `none`, or `simulated:N`."""
    auto_apply: bool | Literal["safe"] = True
    on_stop: Literal["stop", "leave"] = "stop"
    operator_group: str = "qvl"
    viewer_group: str = "qvl-view"
    metrics_listen: str = ""
    gateway_python: str = ""
    """The interpreter that has sglang-router; empty: it is looked for."""
    socket: str = ""
    state_dir: str = ""
    log_dir: str = ""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """With what it extends merged into it."""

    name: str
    engine: str
    model: str = ""
    extends: str | None = None
    args: dict[str, ArgValue] = {}
    """As they are spelled in the file: aliases are resolved when a worker's specification is made."""
    env: dict[str, str] = {}
    raw_args: tuple[str, ...] = ()
    origins: dict[str, str] = {}
    """`args.NAME`, `env.NAME`, `model`, … -> the profile that says so."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    profile: str
    gpus: GpuChoice = "all"
    workers: int = 1
    """How many, where `gpus` is `none`."""
    host: str = "127.0.0.1"
    port: int = 8000
    autostart: bool = True
    api_key_file: str = ""
    gateway: str = "none"
    gateway_args: dict[str, ArgValue] = {}
    """Flags of the gateway, as a profile's args are written."""
    external_workers: tuple[str, ...] = ()
    """URLs of servers elsewhere that the gateway takes too."""
    policy: Policy = Policy()

    @property
    def has_gateway(self) -> bool:
        return self.gateway != "none"


class Where(msgspec.Struct, frozen=True):
    """A line of a file."""

    file: str
    line: int


class Config(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    revision: str
    supervisor: Supervisor = Supervisor()
    engines: dict[str, Engine] = {}
    profiles: dict[str, Profile] = {}
    pools: dict[str, Pool] = {}
    where: dict[str, Where] = {}
    """Where pools and their keys were written, for faults that only the host's GPUs bring to light."""


READ_ONCE = ("gpus", "operator_group", "viewer_group", "socket", "state_dir", "log_dir")
"""Settings of `[supervisor]` that a running daemon doesn't change."""


def read_once_edits(old: Supervisor, new: Supervisor) -> list[str]:
    """Which of them an edit has changed: it takes effect with the daemon's next start."""
    return [name for name in READ_ONCE if getattr(old, name) != getattr(new, name)]

"""Requests and answers of the sockets that are not already nouns."""

import msgspec

API_VERSION = 1


class SwitchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/pools/{name}/switch. DELETE on the same path resets, or with ?cancel=1 cancels."""

    profile: str
    dry_run: bool = False


class PlanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/plans. Without `path` the live configuration is planned."""

    path: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """An act was taken in; what comes of it is told by the events after `seq`."""

    seq: int
    message: str
    workers: tuple[str, ...] = ()
    """The workers that the act concerns."""


class History(msgspec.Struct, frozen=True):
    """Figures of the past, oldest first, `interval_s` seconds apart. Missing figures are null. Where a step holds
    several samples, the largest stands for p95, kv_usage, memory and temperature, and for all else their mean."""

    interval_s: float
    at: list[float]
    """Unix times at which the steps begin. With `span` they have no gaps between them; without, times at which nothing
    was recorded are left out."""
    workers: dict[str, dict[str, list[float | None]]]
    """worker -> figure, as in its `metrics` (running, tokens_per_s, ttft_p50_s, …) -> values aligned with `at`"""
    gpus: dict[str, dict[str, list[float | None]]]
    """index -> figure (memory_used, utilization, temperature, power) -> values"""
    profiles: dict[str, list[str | None]] = {}
    """worker -> the profile that its process ran; null: it had no process, or nothing was recorded."""


class ProfileInfo(msgspec.Struct, frozen=True):
    name: str
    engine: str
    model: str
    extends: str | None
    used_by: tuple[str, ...]


class ArgOrigin(msgspec.Struct, frozen=True):
    key: str
    value: object
    origin: str
    """`profile NAME`, `pool NAME`, `engine NAME`, or `qvl` for what we add ourselves."""


class ProfileDetail(msgspec.Struct, frozen=True):
    name: str
    engine: str
    model: str
    args: tuple[ArgOrigin, ...]
    env: tuple[ArgOrigin, ...]
    raw_args: tuple[str, ...]
    command: tuple[str, ...]
    """The command line as a worker would get it, without secrets."""
    pool: str | None = None
    """The pool whose host, port and cards these are: the one asked for, else the first that runs the profile."""
    place: tuple[ArgOrigin, ...] = ()
    """What that pool says of where it runs: host, port, gpus, api_key_file."""
    workers: tuple[str, ...] = ()
    """Running workers whose process has this profile, those of `pool` first."""


class ResolvedValue(msgspec.Struct, frozen=True):
    """One argument as the engine has it now."""

    key: str
    """The one name of its flag, or of a figure that no flag sets."""
    value: object
    names: tuple[str, ...] = ()
    """Every other way to write that flag."""
    given: object = None
    """What its profile gave the process; null where that says nothing."""
    differs: bool = False
    """The engine made something else of it."""
    common: bool = False
    """One of those that most people want to know."""


class Resolved(msgspec.Struct, frozen=True):
    """What a running engine made of its arguments, by its own word."""

    worker: str
    pool: str
    profile: str
    engine: str
    version: str | None
    """As the running process tells it."""
    values: tuple[ResolvedValue, ...]
    hidden: tuple[str, ...] = ()
    """Arguments that are left out because they hold, or may hold, a secret."""


class VersionInfo(msgspec.Struct, frozen=True):
    daemon: str
    python: str
    engines: dict[str, str | None]
    """engine name -> installed version, None where it is not found"""


class WhoAmI(msgspec.Struct, frozen=True):
    """The peer of a connection as the daemon sees it."""

    uid: int
    gid: int
    pid: int
    user: str
    """Empty where the uid has no name."""
    role: str
    """`operator` or `viewer`"""

"""A GPU as the host has it (`Gpu`), as it is right now (`GpuSample`), and what goes wrong with it (`GpuFault`)."""

import msgspec


class Gpu(msgspec.Struct, frozen=True):
    """One card of this host. `memory_total` is in bytes."""

    index: int
    uuid: str
    name: str
    memory_total: int | None = None


class GpuHolder(msgspec.Struct, frozen=True):
    """A process that holds memory of a card; `memory` in bytes, None where the driver does not tell."""

    pid: int
    memory: int | None = None
    command: str = ""
    user: str = ""
    worker: str = ""
    """Whose process it is, where it is one of ours."""


class GpuSample(msgspec.Struct, frozen=True):
    """One reading. Memory in bytes, utilization 0-1, temperature in °C, power in W; None is "not known", never 0."""

    index: int
    uuid: str
    name: str
    memory_used: int | None = None
    memory_total: int | None = None
    utilization: float | None = None
    temperature: float | None = None
    power: float | None = None
    health: str = "ok"
    """`ok`, `lost` (fell off the bus or the driver does not answer) or `quarantined`."""
    holders: tuple[GpuHolder, ...] = ()
    reason: str | None = None
    """Why its health is not `ok`, where there is more to say."""


class GpuFault(msgspec.Struct, frozen=True):
    """Something that a card told of itself. `qvl.core.xid` knows the words for an Xid and whose fault it is."""

    index: int
    uuid: str
    at: float
    """Unix time in seconds at which it was read: the driver dates nothing."""
    at_mono: float
    """The same moment on CLOCK_MONOTONIC."""
    xid: int | None = None
    """The number of NVIDIA's catalogue; None where only a counter grew or the card was lost."""
    what: str = ""
    """What happened, where there is no Xid to say it."""


class SetAside(msgspec.Struct, frozen=True):
    """Why a card isn't used until somebody starts a worker on it again."""

    why: str
    at: float
    """Unix time in seconds."""

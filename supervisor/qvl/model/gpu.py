"""A GPU as the host has it (`Gpu`) and as it is right now (`GpuSample`)."""

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

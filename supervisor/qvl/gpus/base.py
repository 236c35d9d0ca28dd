"""What the daemon asks of a host's GPUs, whoever answers: the NVIDIA driver or the simulation.

Refuses to decide anything: whether a card is free, busy or unfit is judged by the core.
"""

from typing import Protocol

from qvl.model.gpu import Gpu, GpuFault, GpuSample


class GpuSource(Protocol):
    """The GPUs of this host. Calls may block; the caller gives them a thread."""

    def inventory(self) -> tuple[Gpu, ...]:
        """The cards there are, by index."""
        ...

    def sample(self) -> tuple[GpuSample, ...]:
        """What each card of the inventory does right now, by index; a card that does not answer is `lost`."""
        ...

    def faults(self) -> tuple[GpuFault, ...]:
        """What the cards told of themselves since the last call, the oldest first; nothing from before the first one.
        Asked before `sample`, which may give up a driver that has lost all cards, and what it had still to tell."""
        ...

    def close(self) -> None:
        """Let go of whatever answers; no call comes after it."""
        ...

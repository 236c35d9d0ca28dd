"""A host whose cards are not to be looked at, or that has none."""

from qvl.model.gpu import Gpu, GpuFault, GpuSample


class NoGpus:
    def inventory(self) -> tuple[Gpu, ...]:
        return ()

    def sample(self) -> tuple[GpuSample, ...]:
        return ()

    def faults(self) -> tuple[GpuFault, ...]:
        return ()

    def close(self) -> None:
        return None

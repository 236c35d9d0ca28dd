"""Which driver runs which kind of engine."""

from pathlib import Path

from qvl.engines.base import Driver
from qvl.engines.command import CommandDriver
from qvl.engines.sglang import SglangDriver
from qvl.engines.simulated import SimulatedDriver
from qvl.model.spec import EngineKind


def drivers(cache: Path | None = None) -> dict[EngineKind, Driver]:
    """`cache`: a directory that keeps what was read of installed engines."""
    return {
        EngineKind.SGLANG: SglangDriver(cache),
        EngineKind.COMMAND: CommandDriver(),
        EngineKind.SIMULATED: SimulatedDriver(),
    }

"""Which driver runs which kind of engine."""

from pathlib import Path

from qvl.engines.base import Driver
from qvl.engines.command import CommandDriver
from qvl.engines.router import HOME, RouterDriver
from qvl.engines.sglang import SglangDriver
from qvl.engines.simulated import SimulatedDriver
from qvl.engines.vllm import VllmDriver
from qvl.model.spec import EngineKind


def drivers(cache: Path | None = None, gateway: Path = HOME) -> dict[EngineKind, Driver]:
    """`cache`: a directory that keeps what was read of installed engines; `gateway`: what belongs to gateways."""
    return {
        EngineKind.SGLANG: SglangDriver(cache),
        EngineKind.VLLM: VllmDriver(cache),
        EngineKind.COMMAND: CommandDriver(),
        EngineKind.SIMULATED: SimulatedDriver(),
        EngineKind.ROUTER: RouterDriver(gateway),
    }

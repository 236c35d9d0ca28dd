"""NVIDIA's cards through NVML. A driver that is absent or a card that falls off the bus is data, never an exception."""

import contextlib
import logging
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pynvml

from qvl.gpus.nvml_faults import NvmlFaults
from qvl.model.gpu import Gpu, GpuFault, GpuHolder, GpuSample

log = logging.getLogger(__name__)

T = TypeVar("T")


class NvmlGpus:
    """NVML is process-global; it is initialised when first asked, and again after the driver was lost."""

    def __init__(self) -> None:
        self._ready = False
        self._known: tuple[Gpu, ...] = ()
        self._complained = False
        self._faults = NvmlFaults(pynvml)

    def inventory(self) -> tuple[Gpu, ...]:
        if not self._initialise():
            return self._known
        cards = []
        for index in range(_ask(pynvml.nvmlDeviceGetCount) or 0):
            handle = _ask(pynvml.nvmlDeviceGetHandleByIndex, index)
            if handle is None:
                continue
            memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
            uuid, name = _ask(pynvml.nvmlDeviceGetUUID, handle), _ask(pynvml.nvmlDeviceGetName, handle)
            cards.append(Gpu(index, _text(uuid), _text(name), None if memory is None else int(memory.total)))
        self._known = tuple(cards)
        return self._known

    def sample(self) -> tuple[GpuSample, ...]:
        if not self._known:
            self.inventory()
        if not self._initialise():
            return tuple(GpuSample(card.index, card.uuid, card.name, health="lost") for card in self._known)
        samples = tuple(_sample(card) for card in self._known)
        if samples and all(sample.health == "lost" for sample in samples):
            self.close()  # the driver may have been loaded anew: the next look begins at the beginning
        return samples

    def faults(self) -> tuple[GpuFault, ...]:
        return self._faults.read(self._known) if self._initialise() else ()

    def close(self) -> None:
        if self._ready:
            self._faults.close()
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
            self._ready = False

    def _initialise(self) -> bool:
        if self._ready:
            return True
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            if not self._complained:
                log.warning("NVML can't be used, no GPU is seen: %s", error)
                self._complained = True
            return False
        self._ready, self._complained = True, False
        return True


def _sample(card: Gpu) -> GpuSample:
    handle = _ask(pynvml.nvmlDeviceGetHandleByUUID, card.uuid)
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle) if handle is not None else None
    if handle is None or memory is None:
        return GpuSample(card.index, card.uuid, card.name, memory_total=card.memory_total, health="lost")
    rates = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    milliwatts = _ask(pynvml.nvmlDeviceGetPowerUsage, handle)
    celsius = _ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)
    processes = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    return GpuSample(
        index=card.index,
        uuid=card.uuid,
        name=card.name,
        memory_used=int(memory.used),
        memory_total=int(memory.total),
        utilization=None if rates is None else rates.gpu / 100,
        temperature=None if celsius is None else float(celsius),
        power=None if milliwatts is None else milliwatts / 1000,
        holders=tuple(_holder(process.pid, process.usedGpuMemory) for process in processes),
    )


def _holder(pid: int, memory: int | None) -> GpuHolder:
    command = user = ""
    with contextlib.suppress(OSError):
        # Cut after 15 bytes, maybe in the middle of a letter.
        command = Path(f"/proc/{pid}/comm").read_bytes().decode(errors="replace").strip()
    with contextlib.suppress(OSError, KeyError):
        user = pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name
    return GpuHolder(pid, None if memory is None else int(memory), command, user)


def _ask(call: Callable[..., T], *arguments: object) -> T | None:
    """The answer, or None where this card or driver does not have it."""
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")

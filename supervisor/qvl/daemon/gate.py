"""The gate before every start: the GPUs' memory must be free and the port too, and what holds them is named.

A card is free when no process of somebody else holds much of it, no other worker of ours is on it, and what it has in
use is back at the level from before the last start; the last for a while only, since others may have come meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from qvl.daemon.gpus import GpuMonitor
from qvl.host.ports import holder, is_free
from qvl.model.gpu import GpuSample
from qvl.model.spec import Launch

TOLERATED = 1 << 30
"""Bytes of a card that others may hold: monitoring agents and displays take some hundred MiB."""

SILENT = 2 << 30
"""Bytes in use without a process to name: drivers reserve about half a GiB, and containers hide their pids."""

SLACK = 512 << 20
"""Bytes that a card may have more in use than before the last start."""

LEVEL_PATIENCE = 30.0
"""Seconds that a start waits for that level."""

SETTLING = 1.0
"""Seconds in which an obstacle is taken for what the last process leaves behind, and is no news."""

QUICK, SLOW = 0.1, 1.0
"""Seconds between looks: soon at first, since a killed engine's memory comes back after 1 to 3 s, then calmly."""


async def wait_until_free(
    launch: Launch,
    gpus: GpuMonitor,
    held: Callable[[str], None],
    *,
    sibling: Callable[[], str | None] = lambda: None,
    level: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Return once a worker may start; meanwhile call `held` with each new reason that lasts.

    `sibling` says which other worker is on one of its cards; `level` are the bytes that each card, by index, had in use
    before the last start. What they have in use now is returned.
    """
    said = None
    pause = QUICK
    began = asyncio.get_running_loop().time()
    while (
        reason := await obstacle(launch, gpus)
        or (above(launch, gpus, level or {}) if asyncio.get_running_loop().time() - began < LEVEL_PATIENCE else None)
        or sibling()  # last: between its answer and the opening of the gate nothing else has a turn
    ) is not None:
        if reason != said and asyncio.get_running_loop().time() - began >= SETTLING:
            held(reason)
            said = reason
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, SLOW)
    return {sample.index: sample.memory_used for sample in _samples(launch, gpus) if sample.memory_used is not None}


def above(launch: Launch, gpus: GpuMonitor, level: Mapping[int, int]) -> str | None:
    """Which card, by its newest reading, has more in use than before the last start."""
    for sample in _samples(launch, gpus):
        before, now = level.get(sample.index), sample.memory_used
        if before is not None and now is not None and now > before + SLACK:
            return f"GPU {sample.index} has {now >> 20} MiB in use, {before >> 20} MiB before the last start"
    return None


def _samples(launch: Launch, gpus: GpuMonitor) -> list[GpuSample]:
    cards = {card.index for gpu in launch.gpus if (card := gpus.resolve(gpu)) is not None}
    return [sample for sample in gpus.latest if sample.index in cards]


async def obstacle(launch: Launch, gpus: GpuMonitor) -> str | None:
    """What stands in the way right now, as a sentence; None: nothing."""
    if not await asyncio.to_thread(is_free, launch.host, launch.port):  # a host's name is looked up
        other = await asyncio.to_thread(holder, launch.port)
        return f"port {launch.port} is held by {other}" if other else f"port {launch.port} is not free"
    if not launch.gpus:
        return None
    samples = {sample.index: sample for sample in await gpus.sample()}
    for wanted in launch.gpus:
        card = gpus.resolve(wanted)
        if card is None:
            return f"GPU {wanted} is absent: this host has {_named(gpu.index for gpu in gpus.inventory)}"
        if (aside := gpus.aside(card)) is not None:
            return f"GPU {card.index} is set aside: {aside.why}; `qvlctl start` of this worker uses it again"
        sample = samples.get(card.index)
        if sample is None or sample.health == "lost":
            return f"GPU {card.index} does not answer"
        if (reason := held(sample)) is not None:
            return reason
    return None


def held(sample: GpuSample) -> str | None:
    # How much a process holds is not always told; then it is as much as the card has in use.
    most = SILENT if sample.memory_used is None else sample.memory_used
    heavy = [h for h in sample.holders if (most if h.memory is None else h.memory) >= TOLERATED]
    if heavy:
        named = ", ".join(
            f"pid {h.pid} ({', '.join(filter(None, (h.command, h.user)))}"
            f"{f', {h.memory >> 20} MiB' if h.memory is not None else ''})"
            for h in heavy
        )
        return f"GPU {sample.index} is held by {named}"
    known = sum(h.memory or 0 for h in sample.holders)
    if sample.memory_used is not None and sample.memory_used - known >= SILENT:
        return f"GPU {sample.index} has {sample.memory_used >> 20} MiB in use by no process that can be seen"
    return None


def _named(indexes: Iterable[int]) -> str:
    return ", ".join(map(str, indexes)) or "none"

"""What goes on beside the workers while the daemon runs: readings of the cards, samples for the past, and looks for
what was absent."""

import asyncio
import time

from qvl.core.inputs import Mended
from qvl.daemon.configuration import Configuration
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.history import INTERVAL, HistoryRing
from qvl.daemon.journal import Journal
from qvl.daemon.store import Store
from qvl.daemon.supervisor import Supervisor
from qvl.host.model_files import has_come
from qvl.model.event import Change
from qvl.model.gpu import GpuSample
from qvl.model.status import when
from qvl.model.worker import Phase

GPUS_WATCHED, GPUS_ALONE = 2.0, 5.0
"""Seconds between readings of the cards, with and without someone who looks."""

LOOK_FOR_CARDS = 15.0
"""Seconds between looks for cards on a host that shows none."""

LOOK_FOR_MISSING = 1.0
"""Seconds between looks for paths whose absence keeps workers from starting."""


async def sample(gpus: GpuMonitor, journal: Journal) -> None:
    """Read the cards, and tell them if they changed."""
    told: tuple[GpuSample, ...] = ()
    while True:
        # Others take readings too, at the gate for one: what they saw first is news to watchers all the same.
        if await gpus.sample() != told:
            told = gpus.latest
            journal.change(Change(at=when(time.time()), gpus=gpus.latest))
        await asyncio.sleep(GPUS_WATCHED if journal.watched else GPUS_ALONE)


async def remember(history: HistoryRing, supervisor: Supervisor, gpus: GpuMonitor) -> None:
    """Keep the figures of all, in step with the wall clock: a cadence of its own would leave out a bucket at times."""
    while True:
        await asyncio.sleep(INTERVAL - time.time() % INTERVAL)
        history.add(supervisor.workers.values(), gpus.latest)


async def look_for_cards(gpus: GpuMonitor, store: Store, configuration: Configuration) -> None:
    """A driver that comes up after us brings cards, and a pool of `all` cards has workers for them then."""
    while True:
        await asyncio.sleep(LOOK_FOR_CARDS)
        if all(sample.health == "lost" for sample in gpus.latest) and await gpus.look():
            store.save_cards(gpus.inventory)
            await configuration.reload()


async def look_for_missing(supervisor: Supervisor) -> None:
    """Start again what waits for a path that was missing and is there now. A mount that hangs keeps nobody else."""
    while True:
        await asyncio.sleep(LOOK_FOR_MISSING)
        for worker in list(supervisor.workers.values()):
            end = worker.record.last_exit
            if worker.record.phase is not Phase.FAILED or end is None or not end.missing:
                continue
            if await asyncio.to_thread(has_come, end.missing):
                supervisor.post(worker.name, Mended(f"{end.missing} is there"))

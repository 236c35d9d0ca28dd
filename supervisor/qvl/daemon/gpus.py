"""The cards of this host, read in a thread of their own because the driver blocks, and told to whoever watches."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from qvl.gpus.base import GpuSource
from qvl.model.gpu import Gpu, GpuSample
from qvl.shim import proc

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds after which a reading counts as not to be had: a card that fell off the bus can block the driver."""


ANCESTORS = 16
"""How far up a holder's tree is looked; SGLang's schedulers are two or three below the shim."""


class GpuMonitor:
    """`remembered`: the cards of the last run. `latest` is the newest reading, empty on a host without cards."""

    def __init__(self, source: GpuSource, remembered: tuple[Gpu, ...] = ()) -> None:
        self._source = source
        self._remembered = remembered
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpus")
        self._owed: asyncio.Future[Any] | None = None
        self.inventory: tuple[Gpu, ...] = ()
        self.latest: tuple[GpuSample, ...] = ()
        self.roots: Callable[[], Mapping[int, str]] = dict
        """The living processes of ours at the root of each worker's tree, by pid: to tell holders from strangers."""
        self.quarantined: dict[int, str] = {}
        """Cards set aside, with the reason."""

    async def open(self) -> None:
        """Look for cards. Where none is seen, because the driver is not up yet, those of the last time are expected."""
        await self.look()
        await self.sample()

    async def look(self) -> bool:
        """Look for cards again; True where there are other ones than before."""
        seen = await self._ask(self._source.inventory) or self.inventory or self._remembered
        changed, self.inventory = seen != self.inventory, seen
        return changed

    async def sample(self) -> tuple[GpuSample, ...]:
        """A new reading; the last one with every figure unknown where the driver does not answer in time."""
        roots = self.roots()
        samples = await self._ask(lambda: self._named(roots))
        if samples is None:
            samples = tuple(GpuSample(c.index, c.uuid, c.name, health="lost") for c in self.inventory)
        self.latest = tuple(
            msgspec.structs.replace(s, health="quarantined") if s.index in self.quarantined else s for s in samples
        )
        return self.latest

    async def _ask(self, question: Callable[[], T]) -> T | None:
        """The driver's answer; None where it doesn't come in time. While it owes one it is asked nothing more."""
        if self._owed is not None and not self._owed.done():
            return None
        answer = asyncio.get_running_loop().run_in_executor(self._thread, question)
        done, _ = await asyncio.wait({answer}, timeout=TIMEOUT)
        if done:
            return answer.result()
        self._owed = answer
        return None

    def _named(self, roots: Mapping[int, str]) -> tuple[GpuSample, ...]:
        """A reading whose holders have the names of our workers."""
        return tuple(
            msgspec.structs.replace(
                sample,
                holders=tuple(msgspec.structs.replace(h, worker=_worker_of(h.pid, roots)) for h in sample.holders),
            )
            if sample.holders
            else sample
            for sample in self._source.sample()
        )

    def resolve(self, gpu: int | str) -> Gpu | None:
        return next((card for card in self.inventory if gpu in (card.index, card.uuid)), None)

    def clear(self, gpus: Iterable[int | str]) -> None:
        """Somebody looked at cards that were set aside and wants them used again."""
        for gpu in gpus:
            if (card := self.resolve(gpu)) is not None:
                self.quarantined.pop(card.index, None)

    def close(self) -> None:
        self._thread.submit(self._source.close)
        self._thread.shutdown(wait=False)


def _worker_of(pid: int, roots: Mapping[int, str]) -> str:
    """The worker in whose tree `pid` is, by its ancestors; empty for a stranger."""
    for _ in range(ANCESTORS):
        if pid in roots:
            return roots[pid]
        process = proc.read(pid)
        if process is None or process.ppid <= 1:
            return ""
        pid = process.ppid
    return ""

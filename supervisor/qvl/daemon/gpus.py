"""The cards of this host, read in a thread of their own because the driver blocks; what they tell of themselves, and
which of them are set aside."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from qvl.core.xid import Kind, advice, describe, kind_of
from qvl.daemon.journal import Journal
from qvl.daemon.store import Store
from qvl.gpus.base import GpuSource
from qvl.model.event import Severity
from qvl.model.gpu import Gpu, GpuFault, GpuSample, SetAside
from qvl.shim import proc

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds after which a reading counts as not to be had: a card that fell off the bus can block the driver."""


ANCESTORS = 16
"""How far up a holder's tree is looked; SGLang's schedulers are two or three below the shim."""


KEPT = 1024
"""Faults of cards that are remembered."""

QUIET = 60.0
"""Seconds for which the journal isn't told the same of the same card again: some faults come in storms."""

_SEVERITY = {Kind.CARD: Severity.ERROR, Kind.PROGRAM: Severity.WARNING, Kind.NOTE: Severity.INFO}


class GpuMonitor:
    """`remembered`: the cards of the last run. `latest` is the newest reading, empty on a host without cards. What is
    set aside is kept in `store`; faults are told to `journal`."""

    def __init__(
        self,
        source: GpuSource,
        remembered: tuple[Gpu, ...] = (),
        *,
        store: Store | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._source = source
        self._remembered = remembered
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpus")
        self._owed: asyncio.Future[Any] | None = None
        self.inventory: tuple[Gpu, ...] = ()
        self.latest: tuple[GpuSample, ...] = ()
        self._read: tuple[GpuSample, ...] = ()
        """`latest` as the cards tell it, whether set aside or not."""
        self.roots: Callable[[], Mapping[int, str]] = dict
        """The living processes of ours at the root of each worker's tree, by pid: to tell holders from strangers."""
        self._store = store
        self._journal = journal
        self._aside: dict[str, SetAside] = store.load_quarantine() if store is not None else {}
        """By UUID: indexes may change with a boot."""
        self._heard: deque[GpuFault] = deque()
        """What the thread was told, also by an answer that came too late for whoever asked."""
        self._faults: deque[GpuFault] = deque(maxlen=KEPT)
        self._told: dict[tuple[str, int | None, str], float] = {}

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
        samples = await self._ask(lambda: self._listen_and_look(roots))
        self._hear()
        if samples is None:
            samples = tuple(GpuSample(c.index, c.uuid, c.name, health="lost") for c in self.inventory)
        self._read = samples
        return self._show()

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

    def _listen_and_look(self, roots: Mapping[int, str]) -> tuple[GpuSample, ...]:
        """In the thread: faults first, as `GpuSource.faults` has it, then a reading."""
        self._heard.extend(self._source.faults())
        return self._named(roots)

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

    # ---- what cards tell of themselves

    def faults_of(self, gpus: Iterable[int | str], since_mono: float) -> tuple[GpuFault, ...]:
        """What these cards have told since a moment of CLOCK_MONOTONIC, the oldest first. A fault is dated when it is
        read, so a `sample` comes before the question."""
        cards = {self._key(gpu) for gpu in gpus}
        return tuple(f for f in self._faults if f.at_mono >= since_mono and (f.uuid or str(f.index)) in cards)

    def _hear(self) -> None:
        """Take in what the thread was told; what a card says more than once in a reading counts once."""
        fresh: dict[tuple[str, int | None, str], GpuFault] = {}
        while self._heard:
            fault = self._heard.popleft()
            fresh.setdefault((fault.uuid, fault.xid, fault.what), fault)
        for key, fault in fresh.items():
            self._faults.append(fault)
            if key not in self._told or fault.at_mono - self._told[key] >= QUIET:
                self._told[key] = fault.at_mono
                self._publish(fault)

    def _publish(self, fault: GpuFault) -> None:
        if self._journal is not None:
            kind = kind_of(fault)
            data = {"gpu": fault.index, "uuid": fault.uuid, "xid": fault.xid, "kind": kind, "hint": advice(fault)}
            self._journal.publish("gpu.fault", describe(fault), severity=_SEVERITY[kind], data=data, at=fault.at)

    # ---- cards that are set aside

    def aside(self, card: Gpu | GpuSample) -> SetAside | None:
        """Why a card isn't to be used; None for one that is."""
        return self._aside.get(card.uuid or str(card.index))

    def set_aside(self, gpus: Iterable[int | str], why: str) -> None:
        """Use these cards no more until somebody says so, whatever becomes of this daemon."""
        keys = sorted({self._key(gpu) for gpu in gpus} - self._aside.keys())
        if not keys:
            return
        self._keep({**self._aside, **dict.fromkeys(keys, SetAside(why, time.time()))})
        self._announce(keys, f"is set aside: {why}", Severity.ERROR)

    def clear(self, gpus: Iterable[int | str]) -> None:
        """Somebody looked at cards that were set aside and wants them used again."""
        keys = sorted({self._key(gpu) for gpu in gpus} & self._aside.keys())
        if keys:
            self._keep({key: aside for key, aside in self._aside.items() if key not in keys})
            self._announce(keys, "is used again", Severity.INFO)

    def _key(self, gpu: int | str) -> str:
        card = self.resolve(gpu)
        return str(gpu) if card is None else card.uuid or str(card.index)

    def _keep(self, aside: dict[str, SetAside]) -> None:
        self._aside = aside
        if self._store is not None:
            self._store.save_quarantine(aside)
        self._show()

    def _announce(self, keys: Iterable[str], what: str, severity: Severity) -> None:
        for key in keys:
            index = next((card.index for card in self.inventory if (card.uuid or str(card.index)) == key), None)
            name = key if index is None else index
            if self._journal is not None:
                data: dict[str, object] = {"gpu": index, "uuid": key}
                self._journal.publish("gpu.quarantine", f"GPU {name} {what}", severity=severity, data=data)

    def _show(self) -> tuple[GpuSample, ...]:
        self.latest = tuple(
            sample
            if (aside := self.aside(sample)) is None
            else msgspec.structs.replace(sample, health="quarantined", reason=aside.why)
            for sample in self._read
        )
        return self.latest

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

"""Figures of the past: what plots are drawn from. The newest hour in steps of 5 s, six hours of 30 s, a day of 2 min.

What it takes in memory, and what happens when the clock jumps, is told in `qvl.daemon.tiers`; what lies on disk, in
`qvl.daemon.history_file`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from qvl.daemon.tiers import GPU, KEPT, STEPS, WORKER, Columns, Row, Tier, rule, short
from qvl.daemon.worker import Worker
from qvl.model.api import History
from qvl.model.error import ErrorCode, QvlError
from qvl.model.gpu import GpuSample

INTERVAL = float(STEPS[0])
"""Seconds between samples."""

UNWRITTEN = 120
"""Rows of each step that wait for the disk: ten minutes of the finest. A fleet of 16 has 2.5 MiB of them."""

WAITING = 60
"""Questions that wait for their turn, at most."""

POINTS = 240
"""Points of a series where none are asked for."""


class HistoryRing:
    """Used by the loop alone; readers work on a copy in a thread."""

    def __init__(self) -> None:
        self._tiers = [Tier(step) for step in STEPS]
        self.unwritten: tuple[deque[Row], ...] = tuple(deque(maxlen=UNWRITTEN) for _ in STEPS)
        """Rows that are not on disk yet, for each step."""
        self._early: deque[tuple[int, Row]] | None = deque(maxlen=len(STEPS) * UNWRITTEN)
        """What came before the past was read from the disk."""
        self._readers = asyncio.Lock()
        self._waiting = 0

    def add(self, workers: Iterable[Worker], gpus: Iterable[GpuSample], now: float | None = None) -> None:
        """Take a sample of how things are `now` (Unix time; None: by the clock)."""
        at = time.time() if now is None else now
        of_workers = {w.name: _of_worker(w) for w in workers if not w.spec.is_gateway}
        self.put(Row(int(at // STEPS[0]), of_workers, {str(gpu.index): _of(gpu) for gpu in gpus}))

    def put(self, row: Row) -> None:
        """Take in a row of the finest step; the longer buckets that it belongs to follow from it."""
        self._store(0, row)
        for place, tier in enumerate(self._tiers[1:], 1):
            finer = self._tiers[place - 1]
            bucket = (finer.newest or 0) * finer.step // tier.step
            if tier.newest is not None and bucket != tier.newest:
                self.unwritten[place].append(finer.merged(tier.newest, tier.step))
            self._store(place, finer.merged(bucket, tier.step), to_write=False)

    def _store(self, place: int, row: Row, *, to_write: bool = True) -> None:
        self._tiers[place].put(row)
        if to_write:
            self.unwritten[place].append(row)
        if self._early is not None:
            self._early.append((place, row))

    def close(self) -> None:
        """The buckets that are still open are to be written as they are."""
        for place, tier in enumerate(self._tiers[1:] if self._early is None else (), 1):
            if tier.newest is not None:
                self.unwritten[place].append(tier.merged(tier.newest, tier.step))

    def adopt(self, past: list[Tier]) -> None:
        """Go on from what was read from the disk."""
        early, self._early = self._early or (), None
        self._tiers = past
        for place, row in early:
            past[place].put(row)

    async def read(self, last: int | None = None) -> History:
        """The newest `last` samples of the last hour, all for None, without the gaps between them."""
        return await self._read(0, lambda tier: newest(tier, last))

    async def read_span(self, span: int, points: int, now: float | None = None) -> History:
        """The `span` seconds before `now` in at most `points` steps of one length, gaps included."""
        place = next((place for place, step in enumerate(STEPS) if step * KEPT >= span), len(STEPS) - 1)
        at = time.time() if now is None else now
        return await self._read(place, lambda tier: over_span(tier, span, points, at))

    async def _read(self, place: int, read: Callable[[Tier], History]) -> History:
        """In a thread and one at a time, whatever watchers ask. Few may wait, since those who have left do so too."""
        if self._waiting >= WAITING:
            raise QvlError(ErrorCode.CONFLICT, f"{WAITING} questions of the past wait already", "try again in a moment")
        self._waiting += 1
        try:
            async with self._readers:
                return await asyncio.to_thread(read, self._tiers[place].copy())
        finally:
            self._waiting -= 1


def newest(tier: Tier, last: int | None) -> History:
    buckets = tier.buckets()[-last if last else None :]
    return _answer(tier, [[bucket] for bucket in buckets], tier.step)


def over_span(tier: Tier, span: int, points: int, now: float) -> History:
    """Steps begin at multiples of their length, so that they are the same ones whenever one asks. The newest is the
    one that `now` is in."""
    ratio = -(-span // (points * tier.step))
    step = tier.step * ratio
    newest = int(now // step)
    groups = [range(b * ratio, (b + 1) * ratio) for b in range(newest + 1 - -(-span // step), newest + 1)]
    return _answer(tier, groups, step)


def _answer(tier: Tier, groups: Iterable[Iterable[int]], step: int) -> History:
    buckets = [list(group) for group in groups]
    slots = [[slot for b in group if (slot := tier.slot(b)) is not None] for group in buckets]
    profiles: dict[str, list[str | None]] = {}
    for name, column in sorted(tier.profiles.items()):
        ran = [next((column[slot] for slot in reversed(group) if column[slot]), None) for group in slots]
        if any(ran):
            profiles[name] = ran
    return History(
        interval_s=float(step),
        at=[float(group[0] * tier.step) for group in buckets],
        workers=_series(tier.workers, slots, keep=profiles),
        gpus=_series(tier.gpus, slots),
        profiles=profiles,
    )


def _series(
    columns: Columns, slots: list[list[int]], keep: Mapping[str, object] | None = None
) -> dict[str, dict[str, list[float | None]]]:
    """Who has anything to tell, by name."""
    found = {}
    single = [group[0] if group else None for group in slots] if all(len(group) < 2 for group in slots) else None
    for name in sorted(columns.known):
        figures = {}
        for place, figure in enumerate(columns.figures):
            if single is not None:
                values = columns.column(name, place, single)
            else:
                values = [rule(figure)(columns.column(name, place, group)) for group in slots]
            figures[figure] = [short(value) for value in values]
        if (keep and name in keep) or any(value is not None for values in figures.values() for value in values):
            found[name] = figures
    return found


def _of_worker(worker: Worker) -> tuple[str | None, tuple[float | None, ...]]:
    record = worker.record
    if not record.phase.has_process:
        return None, (None,) * len(WORKER)
    return record.profile or worker.spec.profile, tuple(getattr(worker.metrics, figure) for figure in WORKER)


def _of(gpu: GpuSample) -> tuple[float | None, ...]:
    return tuple(getattr(gpu, figure) for figure in GPU)

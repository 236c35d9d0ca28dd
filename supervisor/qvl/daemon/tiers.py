"""Figures of the past in memory: a ring for each of three steps of time, all of one size.

A sample lies in the bucket of its wall-clock time, `time // step`, and a bucket has its place in the ring whatever lies
beside it. So there is nothing to repair when the clock jumps. Set forward, it leaves a gap. Set back, the times that it
passes again are overwritten by what is measured now, and what was recorded ahead of it is not shown until it comes
there. A bucket that nobody recorded is a gap, also between two runs of the daemon.

In memory a figure takes 8 bytes in each of 2160 buckets. 16 workers with 10 figures and 16 cards with 4 take 4 MiB with
their profiles. At most `MOST` workers and as many cards are kept: 16 MiB.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Sequence

import msgspec

WORKER = (
    *("running", "queued", "tokens_per_s", "kv_usage", "cache_hit_rate", "accept_length"),
    *("ttft_p50_s", "ttft_p95_s", "itl_p50_s", "itl_p95_s"),
)
GPU = ("memory_used", "utilization", "temperature", "power")
"""In this order they lie on disk: new ones come at the end."""

PEAKS = {"kv_usage", "ttft_p95_s", "itl_p95_s", "memory_used", "temperature"}
"""Figures of which the largest stands for a longer time, since what one fears of them is that they get too large, and
since a mean of percentiles is none. Of all others it is the mean, also of a median: it is near the median of all."""

STEPS = (5, 30, 120)
"""Seconds: for the last hour, six hours, a day."""

KEPT = 720
"""Buckets of each step."""

MOST = 64
"""Workers, and cards, that are kept; beyond that those go that were seen longest ago."""

UNKNOWN = math.nan

Values = Sequence[float | None]


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What was in one bucket, as it also lies on disk."""

    bucket: int
    workers: dict[str, tuple[str | None, tuple[float | None, ...]]]
    """name -> the profile that it ran (None: it had no process), and figures in the order of WORKER"""
    gpus: dict[str, tuple[float | None, ...]]
    """index -> figures in the order of GPU"""


def rule(figure: str) -> Callable[[Iterable[float]], float]:
    """How several values of a figure become one; NaN where none is known."""
    return _peak if figure in PEAKS else _mean


def _peak(values: Iterable[float]) -> float:
    return max((value for value in values if value == value), default=UNKNOWN)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if value == value]
    try:
        return math.fsum(known) / len(known) if known else UNKNOWN
    except OverflowError:  # an engine may tell figures whose sum no float can hold
        return math.fsum(value / len(known) for value in known)


def short(value: float) -> float | None:
    """As it is told: five digits say all that there is to say. None for NaN."""
    if value != value:
        return None
    return round(value, 5) if abs(value) < 10 else round(value, 1) if abs(value) < 1e5 else round(value)


class Columns:
    """The figures of one kind of thing over the buckets of one ring: a row of figures after the other."""

    def __init__(self, figures: tuple[str, ...]) -> None:
        self.figures = figures
        self.known: dict[str, array[float]] = {}
        self._seen: dict[str, int] = {}
        """The number of the newest row that each was in."""

    def put(self, slot: int, number: int, row: dict[str, tuple[float | None, ...]]) -> list[str]:
        """Fill a slot with the ring's row `number`; answers who is forgotten with it."""
        width = len(self.figures)
        empty = array("d", [UNKNOWN]) * width
        place = slice(slot * width, (slot + 1) * width)
        for name, values in row.items():
            if name not in self.known:
                self.known[name] = empty * KEPT
            padded = (*values[:width], *[None] * (width - len(values)))
            self.known[name][place] = array("d", [UNKNOWN if value is None else value for value in padded])
            self._seen[name] = number
        for name, column in self.known.items():
            if name not in row:
                column[place] = empty
        return self._forget(number)

    def _forget(self, number: int) -> list[str]:
        gone = [name for name, seen in self._seen.items() if number - seen >= KEPT]
        if len(self._seen) - len(gone) > MOST:
            gone = sorted(self._seen, key=self._seen.__getitem__)[: len(self._seen) - MOST]
        for name in gone:
            del self.known[name], self._seen[name]
        return gone

    def row(self, name: str, slot: int) -> "array[float]":
        width = len(self.figures)
        return self.known[name][slot * width : (slot + 1) * width]

    def column(self, name: str, figure: int, slots: Iterable[int | None]) -> list[float]:
        """Values of a figure at these slots; NaN at None."""
        values, width = self.known[name], len(self.figures)
        return [UNKNOWN if slot is None else values[slot * width + figure] for slot in slots]

    def copy(self) -> "Columns":
        """For a reader in another thread."""
        same = Columns(self.figures)
        same.known = {name: values[:] for name, values in self.known.items()}
        return same


class Tier:
    """A ring of `KEPT` buckets of `step` seconds."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.newest: int | None = None
        """The bucket that was filled last."""
        self.workers, self.gpus = Columns(WORKER), Columns(GPU)
        self.profiles: dict[str, list[str | None]] = {}
        self._stamps: list[int | None] = [None] * KEPT
        self._rows = 0

    def put(self, row: Row) -> None:
        slot = row.bucket % KEPT
        if self._stamps[slot] != row.bucket:
            self._rows += 1
        self._stamps[slot], self.newest = row.bucket, row.bucket
        workers = {name: values for name, (_, values) in row.workers.items()}
        for name, column in self.profiles.items():
            column[slot] = row.workers[name][0] if name in row.workers else None
        for name, (profile, _) in row.workers.items():
            if name not in self.profiles:
                self.profiles[name] = [None] * KEPT
                self.profiles[name][slot] = profile
        for name in self.workers.put(slot, self._rows, workers):
            del self.profiles[name]
        self.gpus.put(slot, self._rows, row.gpus)

    def slot(self, bucket: int) -> int | None:
        """Where a bucket lies; None where nothing was recorded in it."""
        slot = bucket % KEPT
        return slot if self._stamps[slot] == bucket else None

    def buckets(self) -> list[int]:
        """Those that hold something, oldest first, up to the one that was filled last."""
        newest = self.newest
        return (
            [] if newest is None else sorted(b for b in self._stamps if b is not None and newest - KEPT < b <= newest)
        )

    def merged(self, bucket: int, step: int) -> Row:
        """What this ring has of a longer bucket of `step` seconds, as one row."""
        ratio = step // self.step
        slots = [slot for b in range(bucket * ratio, (bucket + 1) * ratio) if (slot := self.slot(b)) is not None]
        workers = {}
        for name, values in _merged(self.workers, slots).items():
            ran = [profile for slot in slots if (profile := self.profiles[name][slot]) is not None]
            if ran or any(value is not None for value in values):
                workers[name] = (ran[-1] if ran else None, values)
        gpus = {n: values for n, values in _merged(self.gpus, slots).items() if any(v is not None for v in values)}
        return Row(bucket, workers, gpus)

    def copy(self) -> "Tier":
        """For a reader in another thread."""
        same = Tier(self.step)
        same.newest, same._stamps = self.newest, self._stamps[:]
        same.workers, same.gpus = self.workers.copy(), self.gpus.copy()
        same.profiles = {name: column[:] for name, column in self.profiles.items()}
        return same


def _merged(columns: Columns, slots: list[int]) -> dict[str, tuple[float | None, ...]]:
    return {
        name: tuple(
            short(rule(figure)(columns.column(name, place, slots))) for place, figure in enumerate(columns.figures)
        )
        for name in columns.known
    }

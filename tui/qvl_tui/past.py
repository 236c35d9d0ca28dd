"""What plots are drawn from: the daemon's history of one span of time, and what was heard since it was asked.

Time is cut into buckets of the daemon's step, `time // step`, so that what is heard falls into the columns that the
daemon would put it in. Nothing is made up: a bucket without a word stays empty. The daemon's clock counts, not ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from qvl.model.api import History
from qvl.model.gpu import GpuSample
from qvl.model.status import WorkerMetrics, WorkerStatus

WORKER = (
    *("running", "queued", "tokens_per_s", "kv_usage", "cache_hit_rate", "accept_length"),
    *("ttft_p50_s", "ttft_p95_s", "itl_p50_s", "itl_p95_s"),
)
GPU = ("memory_used", "utilization", "temperature", "power")
PEAKS = frozenset({"kv_usage", "ttft_p95_s", "itl_p95_s", "memory_used", "temperature"})
"""Figures of which the largest stands for a longer time; of all others it is the mean. As the daemon does it."""

Value = float | None
Key = tuple[str, str]
"""Worker name or `gpu:INDEX`, figure."""


def together(figure: str, values: Iterable[Value]) -> Value:
    """Several values of one figure as one."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return max(known) if figure in PEAKS else sum(known) / len(known)


@dataclass(slots=True, eq=False)
class Past:
    step: int
    """Seconds of a bucket."""
    first: int
    """The bucket of index 0."""
    kept: int
    """Buckets; older ones leave at the front."""
    length: int = 0
    series: dict[Key, list[Value]] = field(default_factory=dict)
    """All of one length."""
    profiles: dict[str, list[str | None]] = field(default_factory=dict)
    changed: int = 0
    """Grows with whatever changes what is held."""
    _heard: dict[Key, int] = field(default_factory=dict)
    """How many words the newest bucket's means are of."""

    @property
    def end(self) -> int:
        """The bucket after the newest."""
        return self.first + self.length

    def values(self, subject: str, figure: str) -> Sequence[Value]:
        return self.series.get((subject, figure), ())

    def hear(
        self,
        now: float,
        workers: Mapping[str, WorkerStatus],
        metrics: Mapping[str, WorkerMetrics],
        gpus: Iterable[GpuSample],
    ) -> None:
        """Take in how things are `now` (Unix time by the daemon's clock)."""
        bucket = int(now // self.step)
        if bucket < self.first:
            return  # the clock was set back beyond what is shown
        if bucket >= self.end:
            self._reach(bucket)
        place = bucket - self.first
        for name, status in workers.items():
            alive = status.phase.has_process
            ran = self._profile(name) if alive else None
            if ran is not None and ran[place] != status.profile:
                ran[place] = status.profile
                self.changed += 1
            figures = metrics.get(name) if alive else None
            if figures is not None:
                self._take(name, WORKER, figures, place)
        for gpu in gpus:
            self._take(f"gpu:{gpu.index}", GPU, gpu, place)

    def _take(self, subject: str, figures: Iterable[str], told: object, place: int) -> None:
        for figure in figures:
            value: Value = getattr(told, figure)
            if value is None:
                continue
            key = subject, figure
            column = self._column(key)
            before, words = column[place], self._heard.get(key, 0)
            if before is None or figure in PEAKS:
                column[place] = value if before is None else max(before, value)
                self._heard[key] = 1
            else:
                # What the daemon told of this bucket counts as one word.
                column[place] = (before * max(words, 1) + value) / (max(words, 1) + 1)
                self._heard[key] = max(words, 1) + 1
            self.changed += column[place] != before

    def _reach(self, bucket: int) -> None:
        """Go on to this bucket; those between stay empty."""
        self._heard.clear()
        self.changed += 1
        more = bucket + 1 - self.end
        columns: list[list[Value] | list[str | None]] = [*self.series.values(), *self.profiles.values()]
        gone = max(0, self.length + more - self.kept)
        for column in columns:
            column.extend([None] * min(more, self.kept))
            del column[: max(0, len(column) - self.kept)]
        self.first, self.length = self.first + gone, self.length + more - gone

    def _column(self, key: Key) -> list[Value]:
        if key not in self.series:
            self.series[key] = [None] * self.length
        return self.series[key]

    def _profile(self, name: str) -> list[str | None]:
        if name not in self.profiles:
            self.profiles[name] = [None] * self.length
        return self.profiles[name]


def past(history: History, span: float) -> Past:
    """Of a daemon's answer; whatever gaps its times have become empty buckets."""
    step = max(1, round(history.interval_s))
    buckets = [int(at // step) for at in history.at]
    kept = max(1, -(-int(span) // step))
    first = buckets[0] if buckets else 0
    made = Past(step, first, kept, buckets[-1] + 1 - first if buckets else 0)
    for names, prefix in ((history.workers, ""), (history.gpus, "gpu:")):
        for name, figures in names.items():
            for figure, values in figures.items():
                _spread(buckets, first, values, made._column((f"{prefix}{name}", figure)))
    for name, ran in history.profiles.items():
        _spread(buckets, first, ran, made._profile(name))
    if not buckets:
        made.first = 0
    return made


def _spread(buckets: list[int], first: int, values: Sequence[object], column: list) -> None:  # type: ignore[type-arg]
    for bucket, value in zip(buckets, values, strict=False):
        if 0 <= bucket - first < len(column):
            column[bucket - first] = value

"""Figures of the past, in memory: what plots are drawn from."""

import time
from collections import deque
from collections.abc import Iterable

from qvl.daemon.worker import Worker
from qvl.model.api import History
from qvl.model.gpu import GpuSample

INTERVAL = 5.0
"""Seconds between samples."""

KEPT = 4320
"""Samples: six hours."""

_WORKER = ("running", "queued", "tokens_per_s", "kv_usage", "cache_hit_rate", "ttft_p50_s", "ttft_p95_s")
_GPU = ("memory_used", "utilization", "temperature", "power")

Figures = dict[str, tuple[float | None, ...]]


class HistoryRing:
    def __init__(self) -> None:
        self._samples: deque[tuple[float, Figures, Figures]] = deque(maxlen=KEPT)

    def add(self, workers: Iterable[Worker], gpus: Iterable[GpuSample]) -> None:
        """Take a sample of how things are now."""
        of_workers = {w.name: tuple(getattr(w.metrics, figure) for figure in _WORKER) for w in workers}
        of_gpus = {str(g.index): tuple(getattr(g, figure) for figure in _GPU) for g in gpus}
        self._samples.append((time.time(), of_workers, of_gpus))

    def read(self, last: int | None = None) -> History:
        samples = list(self._samples)[-last if last else None :]
        return History(
            interval_s=INTERVAL,
            at=[round(at, 1) for at, _, _ in samples],
            workers=_columns([workers for _, workers, _ in samples], _WORKER),
            gpus=_columns([gpus for _, _, gpus in samples], _GPU),
        )


def _columns(rows: list[Figures], figures: tuple[str, ...]) -> dict[str, dict[str, list[float | None]]]:
    names = sorted({name for row in rows for name in row})
    empty: tuple[float | None, ...] = (None,) * len(figures)
    return {
        name: {figure: [row.get(name, empty)[i] for row in rows] for i, figure in enumerate(figures)} for name in names
    }

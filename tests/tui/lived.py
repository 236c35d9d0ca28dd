"""A past to plot: a day of a fleet, from any second of it, the same each time one asks."""

import math

from qvl.model.api import History

from tests.tui.fleet import GIB, NOW

AT = NOW.timestamp()
SWITCHED = 5 * 3600.0
"""Seconds ago that the fleet began to run eagle3."""
DOWN = (7.0 * 3600, 6.6 * 3600)
"""Seconds ago at which nothing ran, from and to."""


def lived(*workers: str, gpus: int | None = None, step_of_day: float = 1.0) -> "Lived":
    return Lived(workers, len(workers) if gpus is None else gpus, step_of_day)


class Lived:
    """What a daemon answers that has watched these workers for a day. `pace`: how many days it has seen by now."""

    def __init__(self, workers: tuple[str, ...], gpus: int, pace: float) -> None:
        self.workers, self.gpus, self.pace = workers, gpus, pace

    def __call__(self, span: int, points: int) -> History:
        finest = next(step for step in (5, 30, 120) if step * 720 >= span)
        step = finest * -(-span // (points * finest))
        newest = int(AT // step)
        at = [float(bucket * step) for bucket in range(newest + 1 - -(-span // step), newest + 1)]
        ago = [(AT - moment) * self.pace for moment in at]
        return History(
            float(step),
            at,
            {name: self._worker(n, ago) for n, name in enumerate(self.workers)},
            {f"{n}": self._gpu(n, ago) for n in range(self.gpus)},
            {name: [_profile(each) for each in ago] for name in self.workers},
        )

    def _worker(self, n: int, ago: list[float]) -> dict[str, list[float | None]]:
        load = [_load(each + n * 700) for each in ago]
        fast = [1.45 if each < SWITCHED else 1.0 for each in ago]
        down = [_profile(each) is None for each in ago]

        def known(values: list[float]) -> list[float | None]:
            return [None if off else round(value, 5) for value, off in zip(values, down, strict=True)]

        pairs = list(zip(load, fast, strict=True))
        return {
            "running": known([round(8 * one) for one in load]),
            "queued": known([round(max(0.0, one - 0.7) * 20) for one in load]),
            "tokens_per_s": known([900 * one * speed for one, speed in pairs]),
            "kv_usage": known([0.1 + 0.7 * one for one in load]),
            "cache_hit_rate": known([0.5 + 0.2 * math.sin(one * 9) for one in load]),
            "accept_length": [
                2.4 + 0.3 * one if each < SWITCHED else None for one, each in zip(load, ago, strict=True)
            ],
            "ttft_p50_s": known([0.06 + 0.05 * one for one in load]),
            "ttft_p95_s": known([0.12 + 0.4 * one**3 for one in load]),
            "itl_p50_s": known([(0.011 + 0.004 * one) / speed for one, speed in pairs]),
            "itl_p95_s": known([(0.016 + 0.012 * one) / speed for one, speed in pairs]),
        }

    def _gpu(self, n: int, ago: list[float]) -> dict[str, list[float | None]]:
        load = [0.0 if _profile(each) is None else _load(each + n * 700) for each in ago]
        return {
            "memory_used": [2.0 * GIB if _profile(each) is None else 118.0 * GIB for each in ago],
            "utilization": [round(one, 3) for one in load],
            "temperature": [round(38 + 30 * one) for one in load],
            "power": [round(80 + 480 * one) for one in load],
        }


def _load(ago: float) -> float:
    """Between 0 and 1: a day's tide, and waves on it."""
    tide = 0.55 + 0.3 * math.cos(ago / 86400 * 2 * math.pi)
    waves = 0.12 * math.sin(ago / 1300) + 0.05 * math.sin(ago / 170) + 0.04 * math.sin(ago / 37)
    return min(1.0, max(0.02, tide + waves))


def _profile(ago: float) -> str | None:
    if DOWN[1] < ago < DOWN[0]:
        return None
    return "eagle3" if ago < SWITCHED else "standard"

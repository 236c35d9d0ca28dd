"""Steps that people read without reckoning, for the axes of plots. Pure.

No library draws our plots. plotext imports for 0.3 s and brings 14 MiB, and textual-plot and uniplot bring numpy, 45 MB
on disk; plotille knows no gaps and labels its axes with nine digits. All answer text with escape codes or own their
widget, where a Canvas needs tones that it can compare cell by cell. What is left to do is this and `qvl_tui.braille`.
"""

import math
from enum import StrEnum
from typing import NamedTuple

from qvl_tui.format import UNKNOWN, latency, percent, rate

GIB = 1024**3
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIMES = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400)
"""Seconds between two labels on the axis of time."""


class Unit(StrEnum):
    RATE = "rate"
    COUNT = "count"
    TIME = "time"
    SHARE = "share"
    BYTES = "bytes"
    WATTS = "watts"
    DEGREES = "degrees"
    PLAIN = "plain"


def told(value: float | None, unit: Unit) -> str:
    """A value in words: `1,240 tok/s`, `84 ms`, `42%`."""
    if value is None:
        return UNKNOWN
    match unit:
        case Unit.RATE:
            return f"{rate(value)} tok/s"
        case Unit.COUNT:
            return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.1f}"
        case Unit.TIME:
            return f"{value * 1000:.1f} ms" if value < 0.00995 else latency(value)
        case Unit.SHARE:
            return percent(value)
        case Unit.BYTES:
            return f"{value / GIB:,.1f} GiB" if value < 9.95 * GIB else f"{value / GIB:,.0f} GiB"
        case Unit.WATTS:
            return f"{value:,.0f} W"
        case Unit.DEGREES:
            return f"{value:.0f}°C"
        case Unit.PLAIN:
            return f"{value:.2f}"


def label(value: float, unit: Unit) -> str:
    """The same as it stands at an axis, whose heading says the unit; at most 6 cells below a million."""
    match unit:
        case Unit.TIME:
            return "0" if value == 0 else f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"
        case Unit.SHARE:
            return percent(value)
        case Unit.BYTES:
            return f"{value / GIB:g}"
        case _:
            if value >= 1e6:
                return f"{value / 1e6:g}M"
            return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


class Scale(NamedTuple):
    """From 0 to `top`, in `steps` equal steps."""

    top: float
    steps: int

    @property
    def ticks(self) -> list[float]:
        return [self.top * n / self.steps for n in range(self.steps + 1)]


def scale(peak: float | None, unit: Unit, rows: int, held: float | None = None) -> Scale:
    """One whose steps are nice and whose top is not below `peak`. `held` is the top of the picture before: it stays as
    long as the values fill a third of it, so that a plot doesn't jump with each new peak."""
    choices = [steps for steps in (4, 3, 5, 2) if _even(steps, rows)][: 3 if rows >= 9 else 2] or [1]
    if unit is Unit.SHARE:
        return Scale(1.0, next((steps for steps in (4, 5, 2) if _even(steps, rows)), 1))
    one = GIB if unit is Unit.BYTES else 1.0
    least = 0.001 if unit is Unit.TIME else one
    need = max(peak or 0.0, least) / one
    kept = held / one if held is not None and need * one <= held <= 3 * need * one else None
    scales = [Scale(_step(kept or need, steps, whole=unit is Unit.COUNT) * steps * one, steps) for steps in choices]
    if kept is not None:
        scales = [each for each in scales if each.top == held] or scales
    return min(scales, key=lambda each: each.top)


def tick_rows(steps: int, rows: int) -> list[int]:
    """The row of each tick, that of 0 first; row 0 is the upper one."""
    return [rows - 1 - round(n * (rows - 1) / steps) for n in range(steps + 1)]


def _even(steps: int, rows: int) -> bool:
    """Whether labels stand apart, and about as far from each other."""
    places = tick_rows(steps, rows)
    gaps = [upper - lower for lower, upper in zip(places[1:], places, strict=False)]
    return min(gaps) >= 2 and max(gaps) - min(gaps) <= 1


def _step(need: float, steps: int, *, whole: bool) -> float:
    raw = need / steps
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * nice for nice in _NICE if power * nice >= raw * (1 - 1e-9))
    return math.ceil(step) if whole else step


def times(start: float, span: float, cells: int, least: int, offset: float = 0.0) -> list[float]:
    """The moments to label within `span` seconds from `start` on: multiples of a nice step that leaves `least` cells
    from one to the next. `offset`: seconds that local time is ahead, so that midnight is one of them."""
    if span <= 0 or cells <= 0:
        return []
    step = next((s for s in _TIMES if s / span * cells >= least), _TIMES[-1])
    first = math.ceil((start + offset) / step) * step - offset
    return [at for n in range(int(span // step) + 1) if (at := first + n * step) < start + span]

"""Figures as people read them, and the glyphs that draw them. Pure text: knows no colours, no widgets and no clock.

"not known" is None and shows as an em dash, never as 0: a missing figure must not look like an idle machine.
"""

from collections.abc import Sequence
from datetime import datetime

UNKNOWN = "—"
_SPARKS = "▁▂▃▄▅▆▇█"


def duration(seconds: float | None) -> str:
    """Two units at most: `0 s`, `41 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, round(seconds))
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {small_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def age(seconds: float) -> str:
    """One unit, so that what is old doesn't move at every look: `41 s`, `3 m`, `2 h`, `3 d`."""
    return " ".join(duration(seconds).split()[:2])


def latency(seconds: float | None) -> str:
    """`84 ms`, `1.2 s`, `12 s`"""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def latencies(half: float | None, most: float | None) -> str:
    """Two percentiles in one unit: `84/210 ms`, `0.9/3.4 s`."""
    if half is None or most is None:
        return latency(half)
    if most < 0.9995:
        return f"{half * 1000:.0f}/{most * 1000:.0f} ms"
    digits = 1 if most < 9.95 else 0
    return f"{half:.{digits}f}/{most:.{digits}f} s"


def size(count: int | None) -> str:
    """Bytes in binary units: `512 B`, `1.5 GiB`, `121 GiB`."""
    if count is None:
        return UNKNOWN
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1023.5 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 9.95 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def used_of(used: int | None, total: int | None) -> str:
    """`121/141 GiB`: one unit for both, so that they compare at a glance."""
    gib = 1024**3
    if total is None:
        return size(used)
    left = UNKNOWN if used is None else f"{used / gib:.0f}"
    return f"{left}/{total / gib:.0f} GiB"


def rate(value: float | None) -> str:
    """`0`, `3.2`, `840`, `12,400`, `1.2M`"""
    if value is None:
        return UNKNOWN
    if value >= 999_500:
        return f"{value / 1e6:.1f}M"
    return f"{value:.1f}" if 0 < value < 9.95 and value != int(value) else f"{value:,.0f}"


def percent(fraction: float | None) -> str:
    return UNKNOWN if fraction is None else f"{round(fraction * 100)}%"


def share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


def clock(at: datetime) -> str:
    """Local time of day: an event's date matters less than its place in the list."""
    return at.astimezone().strftime("%H:%M:%S")


def bar(fraction: float | None, width: int) -> tuple[str, str]:
    """The filled and the empty part of a meter. They differ in weight, so that they can be told apart without colour;
    anything above 0 shows, and only 1 fills it."""
    if width <= 0:
        return "", ""
    if fraction is None:
        return "", "╌" * width
    halves = round(min(max(fraction, 0.0), 1.0) * width * 2)
    if fraction > 0:
        halves = max(halves, 1)
    if fraction < 1:
        halves = min(halves, width * 2 - 1)
    filled = "━" * (halves // 2) + "╸" * (halves % 2)
    return filled, "─" * (width - len(filled))


def spark(values: Sequence[float | None], width: int, top: float | None = None) -> str:
    """The newest `width` values, the newest at the right; a missing one is a gap. Without `top` the largest that is
    shown reaches the top."""
    shown = list(values)[-width:] if width > 0 else []
    known = [value for value in shown if value is not None]
    ceiling = top if top is not None else max(known, default=0.0)
    return "".join(_level(value, ceiling) for value in shown).rjust(max(width, 0))


def area(values: Sequence[float | None], width: int, height: int, top: float | None = None) -> list[str]:
    """A chart of `height` rows, the upper row first; otherwise as `spark`."""
    shown = list(values)[-width:] if width > 0 else []
    known = [value for value in shown if value is not None]
    ceiling = top if top is not None else max(known, default=0.0)
    eighths = [_eighths(value, ceiling, height) for value in shown]
    rows = []
    for row in reversed(range(height)):
        cells = (" " if full is None else _cell(full - row * 8, row) for full in eighths)
        rows.append("".join(cells).rjust(max(width, 0)))
    return rows


def _eighths(value: float | None, ceiling: float, height: int) -> int | None:
    if value is None:
        return None
    return 0 if ceiling <= 0 else round(min(max(value, 0.0), ceiling) / ceiling * height * 8)


def _cell(eighths: int, row: int) -> str:
    """The ground line shows even at 0, so that "idle" and "not known" differ."""
    if eighths <= 0:
        return _SPARKS[0] if row == 0 else " "
    return _SPARKS[min(eighths, 8) - 1]


def _level(value: float | None, ceiling: float) -> str:
    if value is None:
        return " "
    if ceiling <= 0 or value <= 0:
        return _SPARKS[0]
    return _SPARKS[min(len(_SPARKS) - 1, int(min(value, ceiling) / ceiling * (len(_SPARKS) - 1) + 0.5))]


def count(number: int, noun: str) -> str:
    """`1 worker`, `3 workers`"""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

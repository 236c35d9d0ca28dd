"""The time that a line begins with, and how it is shown: as it stands, since its run began, or not at all. Pure.

Engines write the time of their host without a zone, so a stamp is compared with stamps alone, never with a clock.
SGLang: `[2026-11-21 20:27:08 TP0]`; vLLM: `INFO 11-21 20:27:08`; containers: `2026-11-21T20:27:08.123Z`.
"""

import re
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

_STAMP = re.compile(
    r"(?:\([^()]* pid=\d+[^()]*\) )?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) )?(\[?)"
    r"((?:(\d{4})-)?(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:Z|[+-]\d\d:?\d\d)?)( ?\]?) ?"
)


class Stamp(NamedTuple):
    at: float | None
    """Seconds; of which day they count from matters to nobody."""
    start: int = 0
    end: int = 0
    """Where in the text it stands, with what surrounds it: a bracket or a space."""
    shown: str = ""


NO_STAMP = Stamp(None)


class Stamps(StrEnum):
    """How times are shown."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"
    OFF = "off"


def stamp_of(text: str) -> Stamp:
    """The stamp that a line begins with; NO_STAMP for none, or for one that is no time."""
    if text[:1] not in "[(0123456789DIWEC":
        return NO_STAMP
    found = _STAMP.match(text)
    if found is None:
        return NO_STAMP
    bracket, shown, year, month, day, hour, minute, second, fraction, close = found.groups()
    days = _days(int(year or 0), int(month), int(day))
    if days is None:
        return NO_STAMP
    at = days * 86400.0 + int(hour) * 3600 + int(minute) * 60 + int(second) + float(f"0.{fraction or 0}")
    if bracket and "]" not in close:  # `[time TP0]`: what names the process stays
        return Stamp(at, found.start(2), found.end(2) + len(close), shown)
    return Stamp(at, found.start(1), found.end(), shown)


@lru_cache(maxsize=64)
def _days(year: int, month: int, day: int) -> int | None:
    try:
        # A year that is not told is this one, near enough to put two engines' lines in order.
        return date(year or date.today().year, month, day).toordinal()  # noqa: DTZ011
    except ValueError:
        return None


def stamped(text: str, stamp: Stamp, how: Stamps, base: float | None) -> tuple[str, str]:
    """(time, rest) of a line. `base`: the stamp with which its run began."""
    if stamp.at is None or how is Stamps.ABSOLUTE:
        return "", text
    rest = text[: stamp.start] + text[stamp.end :]
    if how is Stamps.OFF:
        return "", rest
    return (since(stamp.at - base) if base is not None else f"{stamp.shown[-8:]:>10}") + " ", rest


def since(seconds: float) -> str:
    """`+0:00:42`, `+12:03:11`, `+3 d 04:00`; ten cells, so that what follows stands in line."""
    sign, whole = ("-", int(-seconds)) if seconds < 0 else ("+", int(seconds))
    days, rest = divmod(whole, 86400)
    if days:
        return f"{f'{sign}{days} d {rest // 3600:02}:{rest % 3600 // 60:02}':>10}"
    return f"{f'{sign}{rest // 3600}:{rest % 3600 // 60:02}:{rest % 60:02}':>10}"

"""What the line above a log says: how one looks at it, and what goes on. Pure."""

import re

from qvl_tui.format import count, size
from qvl_tui.logs.desk import Desk
from qvl_tui.logs.hunt import Hunt
from qvl_tui.paint import Line, Tone

_FILTERS = {"warning": "▲ ✕ warnings and errors", "error": "✕ errors only"}


def ignores_case(pattern: str) -> bool:
    """As most editors have it: a pattern in small letters finds both."""
    return not any(char.isupper() for char in re.sub(r"\\.", "", pattern))


def mode(desk: Desk, *, wrap: bool, short: bool) -> Line:
    """At the right: what is left out, and whether it follows or where one looks; or the latter alone."""
    parts: list[tuple[str, Tone]] = []
    if short:
        pass
    elif desk.least in _FILTERS:
        parts.append((_FILTERS[desk.least], Tone.ACCENT))
        if (looked := desk.looked) is not None:
            feed, at = looked
            parts.append((f"back to {_share(at, feed.extent.begin, feed.extent.end)}", Tone.MUTED))
    if desk.hidden and not short:
        parts.append((f"{len(desk.hidden)} hidden", Tone.ACCENT))
    if wrap and not short:
        parts.append(("wrapped", Tone.MUTED))
    if desk.place.mark is not None:
        parts.append((f"{count(len(desk.place.chosen()), 'line')} marked", Tone.ACCENT))
    if desk.place.following:
        parts.append(("following", Tone.MUTED))
    else:
        parts.append((f"held{_where(desk)}{'' if short else _unseen(desk)}", Tone.ACCENT))
    line: Line = ()
    for text, tone in parts:
        line += (((" · " if line else ""), Tone.FAINT), (text, tone))
    return (*line, (" ", Tone.TEXT))


def _where(desk: Desk) -> str:
    here = desk.place.current
    if here is None:
        return ""
    if len(desk.shown) > 1:
        return f" at {here.entry.stamp.shown}" if here.entry.stamp.shown else ""
    feed = desk.feeds[here.entry.feed]
    return f" at {_share(here.entry.offset, feed.extent.begin, feed.extent.end)}"


def _unseen(desk: Desk) -> str:
    if not desk.unseen:
        return ""
    more = "" if desk.complete else "more than "
    return f", {more}{desk.unseen:,} new {'line' if desk.unseen == 1 else 'lines'} below"


def looking(hunt: Hunt, desk: Desk) -> str:
    """How far a search is: of the log that is furthest from its end."""
    arrow = "↑" if hunt.back else "↓"
    what = f"/{hunt.pattern}" if hunt.pattern else "for errors"
    left = []
    for feed in desk.shown:
        at = hunt.looking.get(feed.worker)
        if at is not None:
            begin, end = feed.extent.begin, max(feed.extent.end, at)
            left.append((at - begin if hunt.back else end - at, end - begin))
    rest, whole = max(left, default=(0, 0))
    return f"{what} {arrow} {size(rest)} of {size(whole)} left to look through · Esc stops"


def _share(at: int, begin: int, end: int) -> str:
    return f"{100 * (at - begin) // max(end - begin, 1)}%"

"""What happened, as marks on the axis of time. Pure.

Of all events those are marked that one looks for when a curve bends: ends, workers that became ready, switches, changes
of the configuration, trouble with cards and the daemon itself. A shape tells each kind, whatever its colour.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from qvl.model.event import Event, Severity

from qvl_tui.paint import Tone

_SHAPES = {
    "worker.exit": "✕",
    "switch": "⇄",
    "apply": "◆",
    "config.applied": "◆",
    "config.refused": "✕",
    "restart": "⇄",
    "worker.live": "◆",
    "worker.warning": "▲",
    "gpu.fault": "▲",
    "gpu.quarantine": "▲",
    "daemon": "○",
}
_TONES = {Severity.INFO: Tone.MUTED, Severity.WARNING: Tone.WARN, Severity.ERROR: Tone.BAD}
_RANK = (Severity.INFO, Severity.WARNING, Severity.ERROR)
LEGEND = "✕ ended   ▸ ready   ⇄ switch   ◆ configuration   ▲ warning   ○ daemon"


class Mark(NamedTuple):
    at: float
    """Unix time."""
    glyph: str
    tone: Tone
    rank: int
    event: Event


def marks(events: Iterable[Event], workers: Iterable[str], pools: Iterable[str]) -> list[Mark]:
    """Those of these workers and pools, and of the host as a whole; oldest first."""
    names, groups = set(workers), set(pools)
    found = []
    for event in events:
        about = event.worker in names if event.worker else event.pool in groups if event.pool else True
        glyph = _glyph(event)
        if about and glyph:
            rank = _RANK.index(event.severity)
            found.append(Mark(event.at.timestamp(), glyph, _TONES[event.severity], rank, event))
    return sorted(found, key=lambda mark: mark.at)


def _glyph(event: Event) -> str:
    if event.kind == "worker.phase":
        return "▸" if (event.data or {}).get("to") == "running" else ""
    return _SHAPES.get(event.kind, "")


def placed(found: Iterable[Mark], start: float, span: float, cells: int) -> dict[int, Mark]:
    """The mark that each cell shows: of several the gravest, of those the newest."""
    shown: dict[int, Mark] = {}
    for mark in found:
        cell = int((mark.at - start) / span * cells) if span > 0 else -1
        if 0 <= cell < cells and (cell not in shown or shown[cell].rank <= mark.rank):
            shown[cell] = mark
    return shown


def near(found: Iterable[Mark], at: float, within: float) -> list[Mark]:
    """What happened from `at` on, `within` seconds; the gravest first."""
    here = [mark for mark in found if at <= mark.at < at + within]
    return sorted(here, key=lambda mark: (-mark.rank, -mark.at))


def beside(found: Iterable[Mark], at: float, step: int, within: Mapping[str, float]) -> Mark | None:
    """The next mark after (1) or before (-1) a moment, between `start` and `end`; None where there is none."""
    shown = [mark for mark in found if within["start"] <= mark.at < within["end"]]
    if step < 0:
        return next((mark for mark in reversed(shown) if mark.at < at), None)
    return next((mark for mark in shown if mark.at > at), None)


def clock_of(at: float, *, seconds: bool) -> str:
    """Local time of day."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S" if seconds else "%H:%M")

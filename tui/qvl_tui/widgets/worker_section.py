"""The parts of which a worker's screen is made, and how they share it. Pure: knows no widget."""

from collections.abc import Iterable
from typing import NamedTuple

from qvl_tui.paint import BLANK, Line, Tone, clip, cut, left, length, wrap

LABEL = 11
"""Cells of the labels in front of facts."""
_TWO, _THREE = 112, 170
"""Cells from which on there are two columns, and three."""


class Section(NamedTuple):
    id: str
    title: str
    lines: tuple[Line, ...]
    note: str = ""
    """At the end of the heading: a total, an age."""


class Column(NamedTuple):
    lines: tuple[Line, ...]
    places: dict[str, int]
    """The line of each section's heading."""


def layout(width: int, *, troubled: bool) -> tuple[tuple[str, ...], ...]:
    """Which section stands where. Where a worker is in trouble, why its last process ended comes first."""
    first = ("exits", "start", "capacity") if troubled else ("start", "capacity", "exits")
    if width >= _THREE:
        return first, ("arguments",), ("processes", "log")
    if width >= _TWO:
        return first, ("arguments", "processes", "log")
    return ((*first, "processes", "arguments", "log"),)


def column(sections: Iterable[Section], width: int, focus: str | None) -> Column:
    lines: list[Line] = []
    places: dict[str, int] = {}
    for section in sections:
        if lines:
            lines.append(BLANK)
        places[section.id] = len(lines)
        lines.append(_heading(section, width, focused=section.id == focus))
        lines += [clip(line, width) for line in section.lines]
    return Column(tuple(lines), places)


def _heading(section: Section, width: int, *, focused: bool) -> Line:
    start: Line = (
        ("▸" if focused else " ", Tone.ACCENT),
        (section.title, Tone.STRONG if focused else Tone.MUTED),
        (" ", Tone.MUTED),
    )
    note = cut(f" {section.note} " if section.note else "", max(width - length(start) - 4, 0))
    rule = max(width - length(start) - length(((note, Tone.MUTED),)), 0)
    return (*start, ("─" * rule, Tone.ACCENT if focused else Tone.FAINT), (note, Tone.MUTED))


def fact(label: str, text: str, width: int, tone: Tone = Tone.TEXT, most: int = 4) -> list[Line]:
    """A label and its text, wrapped to at most `most` lines."""
    room = max(width - LABEL - 2, 8)
    wrapped = wrap(text, room) or [""]
    if len(wrapped) > most:
        wrapped = [*wrapped[: most - 1], cut(" ".join(wrapped[most - 1 :]), room)]
    return [
        ((left(f" {label}" if n == 0 else "", LABEL + 1), Tone.FAINT), (part, tone)) for n, part in enumerate(wrapped)
    ]


def said(text: str, width: int, tone: Tone = Tone.MUTED) -> list[Line]:
    """A sentence in place of what isn't there."""
    return [((f" {part}", tone),) for part in wrap(text, max(width - 2, 8))]


def plain(section: Section) -> str:
    """Its text, for the clipboard."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in section.lines)

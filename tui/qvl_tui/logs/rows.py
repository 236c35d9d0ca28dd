"""Items as rows of a terminal: tag, sign, time, text, and a scrollbar by share of bytes. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len, chop_cells, set_cell_size

from qvl_tui.logs.items import Item
from qvl_tui.logs.lines import Level
from qvl_tui.logs.place import Place
from qvl_tui.logs.stamps import Stamps, stamped
from qvl_tui.paint import Line, Span, Tone, clip, cut, length, pad

_SIGNS = {Level.ERROR: ("✕", Tone.BAD), Level.WARNING: ("▲", Tone.WARN)}
_TEXT = {Level.PLAIN: Tone.TEXT, Level.WARNING: Tone.WARN, Level.ERROR: Tone.BAD, Level.NOTE: Tone.FAINT}
_TAGS = (Tone.ACCENT, Tone.STRONG, Tone.MUTED, Tone.CHART)
_LOST = re.compile(r"\[qvl\] \d+ bytes of output were lost")
MOST_ROWS = 40
"""That one line takes when lines are wrapped."""

Spots = Callable[[str], Sequence[tuple[int, int]]]
"""Where in a text the pattern matches that one looks for."""


@dataclass(frozen=True, slots=True)
class Look:
    """How lines are shown."""

    width: int
    wrap: bool = False
    shift: int = 0
    """Cells that long lines are moved to the left, where they are not wrapped."""
    stamps: Stamps = Stamps.ABSOLUTE
    tags: Mapping[int, str] | None = None
    """Of each log, where several are shown; all of one width."""
    bases: Mapping[tuple[int, int], float | None] | None = None
    """(log, first byte of a run) -> the stamp with which it began"""
    runs: Mapping[int, Sequence[int]] | None = None
    """log -> first bytes of its runs, oldest first"""
    spots: Spots | None = None

    @property
    def room(self) -> int:
        """Cells for the text: without tag, sign and scrollbar."""
        tag = cell_len(next(iter(self.tags.values()))) + 1 if self.tags else 0
        return max(8, self.width - tag - 3)


def tall(item: Item, look: Look) -> int:
    """Rows that it takes."""
    if not look.wrap or item.mark or item.hidden:
        return 1
    text = "".join(_timed(item, look))
    if len(text) <= look.room and text.isascii():
        return 1
    return min(MOST_ROWS, max(1, len(_wrapped(text, look.room))))


def rows(place: Place, look: Look, bar: Sequence[bool], nothing: str = "") -> tuple[Line, ...]:
    """The view, a line a row. `bar`: for each row whether the scrollbar's handle is there. `nothing`: what to say where
    there is no line."""
    chosen = range(0)
    cursor = None if place.following else place.cursor
    if place.mark is not None:
        picked = place.chosen()
        if picked:
            first = next((at for at, item in enumerate(place.items) if item is picked[0]), 0)
            chosen = range(first, first + len(picked))
    found: list[Line] = []
    for index, count in place.visible():
        lines = _lines(place.items[index], look, "│" if index in chosen else "›" if index == cursor else " ")
        found += lines[:count]
    found = found[place.skip : place.skip + place.height]
    if not place.items and nothing:
        found = [((f"  {nothing}", Tone.FAINT),)]
    found += [()] * (place.height - len(found))
    return tuple(
        (*_padded(line, look.width - 1), ("┃" if on else " ", Tone.FAINT)) for line, on in zip(found, bar, strict=True)
    )


def row_of(place: Place, index: int) -> int | None:
    """The first row in view that shows an item."""
    row = -place.skip
    for at, count in place.visible():
        if at == index:
            return max(row, 0)
        row += count
    return None


def item_at(place: Place, row: int) -> int | None:
    """The item that a row shows."""
    end = -place.skip
    for at, count in place.visible():
        end += count
        if row < end:
            return at
    return None


def handle(first: float, last: float, height: int) -> list[bool]:
    """Which rows of the scrollbar's are its handle, for the share 0-1 of the log at which the view begins and ends; no
    row where all is in view."""
    if first <= 0 and last >= 1:
        return [False] * height
    size = max(1, round((last - first) * height))
    top = min(round(first * height), height - size)
    if last < 1 and top + size >= height and height > size:
        top -= 1  # at the very bottom only at the end
    return [top <= row < top + size for row in range(height)]


def _lines(item: Item, look: Look, pointer: str) -> list[Line]:
    entry = item.entry
    tag: Line = ()
    if look.tags is not None:
        tag = ((f"{look.tags.get(entry.feed, '')} ", _TAGS[entry.feed % len(_TAGS)]),)
    if item.mark:
        text = f"─{pointer if pointer != ' ' else '─'} {item.mark} "
        return [
            clip((*tag, (text + "─" * max(0, look.width - 1 - cell_len(text) - length(tag)), Tone.FAINT)), look.width)
        ]
    if item.hidden:
        return [(*tag, (f" {pointer}", Tone.ACCENT), (f"  … {len(item.hidden)} more lines", Tone.FAINT))]
    sign, tone = _SIGNS.get(entry.level, (" ", Tone.TEXT))
    start: Line = (*tag, (sign, tone), (pointer, Tone.ACCENT))
    clock, text = _timed(item, look)
    plain = _TEXT[entry.level]
    if _LOST.match(text):
        plain = Tone.WARN
    if not look.wrap:
        parts = [_shifted(clock + text, look.shift, look.room)]
        offsets = [_chars(clock + text, look.shift)]
    else:
        parts = (_wrapped(clock + text, look.room) or [""])[:MOST_ROWS]
        offsets = []
        at = 0
        for part in parts:
            offsets.append(at)
            at += len(part)
    found = look.spots(text) if look.spots is not None else ()
    moved = [(begin + len(clock), end + len(clock)) for begin, end in found]
    blank: Line = (*tag, ("  ", Tone.TEXT))
    lines = []
    for number, (part, offset) in enumerate(zip(parts, offsets, strict=True)):
        spans = _spans(part, offset, len(clock), plain, moved)
        lines.append((*(start if number == 0 else blank), *spans))
    return lines


def _padded(line: Line, width: int) -> Line:
    """`paint.pad`, quick for what nearly every line is made of: a flood draws many."""
    cells = sum(len(text) if text.rstrip("…").isascii() else cell_len(text) for text, _ in line)
    if cells > width:
        return pad(line, width)
    return (*line, (" " * (width - cells), Tone.TEXT)) if cells < width else line


def _spans(part: str, offset: int, clock: int, tone: Tone, spots: Sequence[tuple[int, int]]) -> Line:
    """A piece of a line that begins at its character `offset`."""
    edges = sorted({offset, offset + len(part), *(max(offset, min(offset + len(part), x)) for s in spots for x in s),
                    max(offset, min(offset + len(part), clock))})  # fmt: skip
    spans: list[Span] = []
    for begin, end in pairwise(edges):
        hit = any(first <= begin and end <= last for first, last in spots)
        shown = Tone.MATCH if hit else Tone.FAINT if end <= clock else tone
        spans.append((part[begin - offset : end - offset], shown))
    return tuple(spans)


def _timed(item: Item, look: Look) -> tuple[str, str]:
    entry = item.entry
    base = None
    if look.stamps is Stamps.RELATIVE and look.bases and look.runs:
        run = max((first for first in look.runs.get(entry.feed, ()) if first <= entry.offset), default=0)
        base = look.bases.get((entry.feed, run))
    return stamped(entry.text, entry.stamp, look.stamps, base)


def _wrapped(text: str, width: int) -> list[str]:
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)]
    return chop_cells(text, width)


def _shifted(text: str, shift: int, room: int) -> str:
    rest = text[_chars(text, shift) :]
    if rest.isascii():
        return rest if len(rest) <= room else rest[: room - 1].rstrip() + "…"
    return cut(rest, room)


def _chars(text: str, cells: int) -> int:
    """How many characters fill so many cells."""
    return min(cells, len(text)) if text.isascii() else len(set_cell_size(text, cells).rstrip()) if cells else 0

"""Remembers what the terminal shows and writes only the cells that differ.

Textual repaints whole widgets and, when a screen comes or goes, everything: over SSH that is most of the bytes, and on
a slow line it is seen. This stands between it and the terminal. It must be told when the terminal may show something
else than it remembers: after a change of size, after a stop in the background, and when the user asks for a redraw.
"""

from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

_NEAR = 6
"""Unchanged cells between two changes that are cheaper to write again than to jump over."""

Cell = tuple[str, Style | None]
"""A character with what combines with it, and its look; an empty text is the second half of a wide one."""


class Shadow:
    def __init__(self) -> None:
        self._rows: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """The terminal may show anything now."""
        self._rows.clear()

    def narrowed(self, update: CompositorUpdate) -> CompositorUpdate:
        """The same update, less what the terminal shows already."""
        if isinstance(update, ChopsUpdate):
            return _Difference(self, _pieces(update))
        if isinstance(update, LayoutUpdate):
            left, top = update.region.offset
            return _Difference(self, [(left, top + y, Strip.join(line)) for y, line in enumerate(update.strips)])
        self.forget()
        return update

    def write(self, x: int, y: int, strip: Strip, console: Console) -> str:
        """What must be sent so that `strip` stands at `x`, `y`."""
        new = cells(strip)
        row = self._rows.setdefault(y, [])
        row.extend([None] * (x + len(new) - len(row)))
        old = row[x : x + len(new)]
        row[x : x + len(new)] = new
        parts: list[str] = []
        for start, stop in _runs(old, new):
            looks = groupby(new[start:stop], itemgetter(1))
            segments = [Segment("".join(text for text, _ in run), style) for style, run in looks]
            parts.append(Control.move_to(x + start, y).segment.text)
            parts.append(Strip(segments).render(console))
        return "".join(parts)


class _Difference(CompositorUpdate):
    def __init__(self, shadow: Shadow, pieces: list[tuple[int, int, Strip]]) -> None:
        self._shadow = shadow
        self._pieces = pieces

    def render_segments(self, console: Console) -> str:
        return "".join(self._shadow.write(x, y, strip, console) for x, y, strip in self._pieces)


def _pieces(update: ChopsUpdate) -> list[tuple[int, int, Strip]]:
    """The parts of the chops that lie in the update's spans."""
    pieces = []
    for y, start, stop in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            first, last = max(x, start), min(end, stop)
            if strip is not None and first < last:
                pieces.append((first, y, strip.crop(first - x, last - x)))
    return pieces


def cells(strip: Strip) -> list[Cell]:
    found: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        if text.isascii():
            found.extend([(char, style) for char in text])
            continue
        for char in text:
            width = cell_len(char)
            if width:
                found.append((char, style))
                found.extend([("", style)] * (width - 1))
            elif found:
                before, look = found[-1]
                found[-1] = (before + char, look)
    return found


def _runs(old: list[Cell | None], new: list[Cell]) -> list[tuple[int, int]]:
    """Where they differ, as (start, stop); wide characters are never cut in halves, and near runs are one."""
    runs: list[tuple[int, int]] = []
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        start, stop = place, place + 1
        while start > 0 and (new[start][0] == "" or (old[start] or ("x",))[0] == ""):
            start -= 1
        while stop < len(new) and (new[stop][0] == "" or (old[stop] or ("x",))[0] == ""):
            stop += 1
        if runs and start - runs[-1][1] <= _NEAR:
            runs[-1] = (min(runs[-1][0], start), max(runs[-1][1], stop))
        else:
            runs.append((start, stop))
    return runs

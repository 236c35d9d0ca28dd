"""Remembers what the terminal shows and writes only the cells that differ.

Textual repaints whole widgets and, when a screen comes or goes, everything: over SSH that is most of the bytes, and on
a slow line it is seen. This stands between it and the terminal. It must be told when the terminal may show something
else than it remembers: after a change of size, after a stop in the background, and when the user asks for a redraw.

Places are always told as absolute columns: where a terminal and we disagree about a character's width, an error ends
with the run in which it happened.
"""

from collections.abc import Sequence
from itertools import groupby

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

from qvl_tui.paint import UNSAFE
from qvl_tui.pen import PLAIN, Pen, blank, change, pen

_NEAR = 8
"""Unchanged cells between two changes that may be cheaper to write again than to jump over."""
_LONG = 12
"""Blanks that are cheaper to erase than to write, with the jump behind them."""
_LOOKS_KEPT = 4096
_CONTROLS = dict.fromkeys(UNSAFE)

Cell = tuple[str, Pen]
"""A character with what combines with it, and its look; an empty text is the second half of a wide one."""
Row = list[Cell | None]
Piece = tuple[int, int, Strip]
"""Column, row, and what stands there."""


class Shadow:
    def __init__(self, *, erases: bool = False) -> None:
        """`erases`: the terminal erases with the background of the pen, so that a long blank is a few bytes."""
        self._rows: dict[int, Row] = {}
        self._looks: dict[Style, Pen] = {}
        self._erases = erases

    def forget(self) -> None:
        """The terminal may show anything now."""
        self._rows.clear()

    def narrowed(self, update: CompositorUpdate, console: Console) -> CompositorUpdate | None:
        """The same update, less what the terminal shows already; None where that is all of it. Whoever asks must write
        it: it counts as shown from now on."""
        if isinstance(update, ChopsUpdate):
            text = self._written(_pieces(update), console)
        elif isinstance(update, LayoutUpdate):
            left, top = update.region.offset
            pieces = [(left, top + y, Strip.join(line)) for y, line in enumerate(update.strips)]
            text = self._written(pieces, console)
        else:
            self.forget()
            return update
        return _Written(text) if text else None

    def _written(self, pieces: Sequence[Piece], console: Console) -> str:
        system = console._color_system or ColorSystem.TRUECOLOR
        writer = _Writer(console.width, self._erases)
        for x, y, strip in pieces:
            new = self._cells(strip, system)
            row = self._rows.setdefault(y, [])
            row.extend([None] * (x + len(new) - len(row)))
            old = row[x : x + len(new)]
            if old == new:
                continue
            row[x : x + len(new)] = new
            writer.write(x, y, new, _runs(old, new))
            # A wide character of which we wrote over one half has lost the other one too.
            if x and _is_half(old[0]):
                row[x - 1] = None
            if x + len(new) < len(row) and _is_half(row[x + len(new)]):
                row[x + len(new)] = None
        return writer.end()

    def _cells(self, strip: Strip, system: ColorSystem) -> list[Cell]:
        found: list[Cell] = []
        for text, style, control in strip:
            if control:
                continue
            if not text.isprintable():
                text = text.translate(_CONTROLS)  # the last gate: what an input field shows may have been pasted
            look = self._look(style, system)
            space: Cell = (" ", Pen(back=look.back) if look.quiet else look)
            if text.isascii():
                found.extend([space if char == " " else (char, look) for char in text])
                continue
            for char in text:
                width = 1 if char.isascii() else get_character_cell_size(char)
                if width:
                    found.append(space if char == " " else (char, look))
                    found.extend([("", look)] * (width - 1))
                elif found:
                    place = -2 if found[-1][0] == "" else -1
                    found[place] = (found[place][0] + char, look)
        return found

    def _look(self, style: Style | None, system: ColorSystem) -> Pen:
        if style is None:
            return PLAIN
        if (look := self._looks.get(style)) is None:
            if len(self._looks) >= _LOOKS_KEPT:
                self._looks.clear()
            look = self._looks[style] = pen(style, system)
        return look


class _Written(CompositorUpdate):
    def __init__(self, text: str) -> None:
        self._text = text

    def render_segments(self, console: Console) -> str:
        return self._text


class _Writer:
    """One picture on its way: what was written so far, and where that left cursor and pen."""

    def __init__(self, width: int, erases: bool) -> None:
        self._width = width
        self._erases = erases
        self._parts: list[str] = []
        self._row = -1
        self._pen = PLAIN

    def write(self, x: int, y: int, cells: list[Cell], runs: Sequence[tuple[int, int]]) -> None:
        """Those runs of a row's cells of which the first stands at column `x`."""
        behind = 0
        for start, stop in runs:
            move = self._move(x + start, y)
            text, left = self._drawn(x + start, cells[start:stop], self._pen)
            if behind and start - behind <= _NEAR and y == self._row:
                through, other = self._drawn(x + behind, cells[behind:stop], self._pen)
                if len(through.encode()) <= len((move + text).encode()):
                    move, text, left = "", through, other
            self._parts += (move, text)
            self._row, self._pen = y, left
            # An erased end has left the cursor where it began.
            behind = 0 if self._erases and cells[stop - 1][0] == " " else stop

    def end(self) -> str:
        if not self._parts:
            return ""
        self._parts.append(change(self._pen, PLAIN))
        return "".join(self._parts)

    def _move(self, x: int, y: int) -> str:
        if y == self._row:
            return f"\x1b[{x + 1}G" if x else "\r"
        return f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H"

    def _drawn(self, x: int, cells: Sequence[Cell], at: Pen) -> tuple[str, Pen]:
        """The cells from column `x` on, and the pen afterwards."""
        parts: list[str] = []
        end = x + len(cells)
        for (text, look), same in groupby(cells):
            count = len(list(same))
            x += count
            aim = blank(at, look) if text == " " else look
            if aim != at:
                parts.append(change(at, aim))
                at = aim
            if text != " " or not self._erases or not aim.quiet:
                parts.append(text * count)
            elif x == self._width and count > 3:
                parts.append("\x1b[K")
            elif count >= _LONG:
                parts.append(f"\x1b[{count}X" if x == end else f"\x1b[{count}X\x1b[{x + 1}G")
            else:
                parts.append(text * count)
        return "".join(parts), at


def _pieces(update: ChopsUpdate) -> list[Piece]:
    """The parts of the chops that lie in the update's spans."""
    pieces = []
    for y, start, stop in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            first, last = max(x, start), min(end, stop)
            if strip is not None and first < last:
                pieces.append((first, y, strip.crop(first - x, last - x)))
    return pieces


def _runs(old: Row, new: list[Cell]) -> list[tuple[int, int]]:
    """Where they differ, as (start, stop); wide characters are never cut in halves."""
    runs: list[tuple[int, int]] = []
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        start, stop = place, place + 1
        while start > 0 and (_is_half(new[start]) or _is_half(old[start])):
            start -= 1
        while stop < len(new) and (_is_half(new[stop]) or _is_half(old[stop])):
            stop += 1
        if runs and start <= runs[-1][1]:
            runs[-1] = (min(runs[-1][0], start), max(runs[-1][1], stop))
        else:
            runs.append((start, stop))
    return runs


def _is_half(cell: Cell | None) -> bool:
    return cell is not None and cell[0] == ""

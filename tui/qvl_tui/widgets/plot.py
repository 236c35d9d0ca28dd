"""One plot as text: heading with the values, curves over a scale, marks of what happened, times. Pure.

Cells stay where they are until the window moves on: a new value changes the column that it falls into, no other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from rich.cells import cell_len

from qvl_tui.braille import Dots, Part, draw
from qvl_tui.marks import Mark
from qvl_tui.paint import Line, Span, Tone, clip, pad, right
from qvl_tui.past import Value, together
from qvl_tui.scale import Scale, Unit, label, tick_rows, told

AXIS = 9
"""Cells at the left of the curves: a label, a space, and the axis."""
_TONES = {Part.NOTHING: Tone.CHART, Part.SHADE: Tone.CHART, Part.EDGE: Tone.ACCENT, Part.LINE: Tone.TEXT}
LEAST = 6
"""Rows below which there is no plot."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time that a plot shows. `start` and `span` in seconds; Unix time, or since a beginning."""

    start: float
    span: float

    def at(self, cell: int, cells: int) -> float:
        """When a cell begins."""
        return self.start + self.span * cell / cells

    def cell(self, at: float, cells: int) -> int:
        # A hair more, so that the moment that a cell begins with is in it whatever floats make of it.
        return int((at - self.start) / self.span * cells + 1e-6)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A curve: a value for each `step` seconds from `first * step` on."""

    label: str
    figure: str
    values: Sequence[Value]
    first: int
    step: int

    def sampled(self, window: Window, columns: int) -> list[Value]:
        """A value for each column of dots: what its time has, or the step that its time lies in."""
        width = window.span / columns
        sampled: list[Value] = []
        for column in range(columns):
            start = (window.start + column * width) / self.step
            if width <= self.step:
                low, high = int(start + 1e-9), int(start + 1e-9) + 1
            else:
                low, high = -int(-(start - 1e-9) // 1), -int(-((start - 1e-9) + width / self.step) // 1)
            sampled.append(together(self.figure, self.values[max(0, low - self.first) : max(0, high - self.first)]))
        return sampled

    def between(self, start: float, end: float) -> Value:
        """What is known from `start` to `end`, or of the step that `start` lies in."""
        low = int(start // self.step) - self.first
        high = max(low + 1, int(-(-end // self.step)) - self.first)
        return together(self.figure, self.values[max(0, low) : max(0, high)])

    @property
    def newest(self) -> Value:
        """The last step may have just begun: then it is the one before."""
        return next((value for value in reversed(self.values[-2:]) if value is not None), None)


@dataclass(frozen=True, slots=True)
class Picture:
    title: str
    unit: Unit
    area: Drawn
    line: Drawn | None
    scale: Callable[[float | None, int], Scale]
    """Of the largest value and the rows."""
    window: Window
    labels: Sequence[tuple[float, str]]
    """Moments and what stands below them."""
    marks: Mapping[int, Mark] = field(default_factory=dict)
    """By cell of the curves."""
    cursor: float | None = None
    """The moment that is read out; None: the newest values are."""
    values: bool = True
    """Whether the heading says them."""
    note: str = ""
    """Instead of curves, where nothing is known."""


def room(width: int) -> int:
    """Cells of curves in a plot that is `width` cells wide; one stays free at the right."""
    return max(0, width - AXIS - 1)


def plot_lines(picture: Picture, width: int, height: int) -> tuple[Line, ...]:
    """`height` lines of `width` cells."""
    cells, rows = room(width), height - 3
    if cells < 8 or height < LEAST:
        return tuple(pad((), width) for _ in range(height))
    window = picture.window
    area = picture.area.sampled(window, cells * 2)
    line = picture.line.sampled(window, cells * 2) if picture.line is not None else []
    known = [value for value in (*area, *line) if value is not None]
    grid = picture.scale(max(known, default=None), rows)
    cursor = None if picture.cursor is None else window.cell(picture.cursor, cells)
    body = [
        (*axis, *curves)
        for axis, curves in zip(
            _axis(grid, picture.unit, rows), _curves(draw(area, line, grid.top, rows), cursor), strict=True
        )
    ]
    if not known:
        note = picture.note or "nothing is known of this time"
        body[rows // 2] = (*body[rows // 2][:2], (f"  {note}", Tone.FAINT))
    lines = [_heading(picture, cells), *body, _ground(picture, cells, cursor), _times(picture, cells)]
    return tuple(pad(line, width) for line in lines)


def _heading(picture: Picture, cells: int) -> Line:
    """The values stand at one place each, so that they change without moving."""
    parts: list[Span] = [(f" {picture.title}  ", Tone.STRONG)]
    for drawn, sign, tone in ((picture.area, "▒", Tone.ACCENT), (picture.line, "━", Tone.TEXT)):
        if drawn is None:
            continue
        if picture.cursor is None:
            value = drawn.newest
        else:
            start = picture.cursor
            value = drawn.between(start, start + picture.window.span / cells)
        if picture.line is not None:
            parts += [(f"{sign} ", tone), (f"{drawn.label} ", Tone.MUTED)]
        if picture.values:
            parts.append((told(value, picture.unit).ljust(10), Tone.TEXT if value is not None else Tone.MUTED))
    return tuple(parts)


def _axis(grid: Scale, unit: Unit, rows: int) -> list[Line]:
    places = dict(zip(tick_rows(grid.steps, rows), grid.ticks, strict=True))
    return [
        (
            (right(label(places[row], unit) if row in places else "", AXIS - 2), Tone.FAINT),
            (" ┤" if row in places else " │", Tone.FAINT),
        )
        for row in range(rows)
    ]


def _curves(rows: list[Dots], cursor: int | None) -> list[Line]:
    lines = []
    for dots in rows:
        spans: list[Span] = []
        looks = enumerate(zip(dots.text, dots.parts, strict=True))

        def tone(cell: tuple[int, tuple[str, Part]]) -> Tone:
            index, (_, part) = cell
            return Tone.STRONG if index == cursor else _TONES[part]

        for key, run in groupby(looks, tone):
            text = "".join("│" if index == cursor and glyph == " " else glyph for index, (glyph, _) in run)
            spans.append((text, key))
        lines.append(tuple(spans))
    return lines


def _ground(picture: Picture, cells: int, cursor: int | None) -> Line:
    """The axis of time, with ticks and what happened."""
    ticks = {picture.window.cell(at, cells) for at, _ in picture.labels}
    spans: list[Span] = [(" " * (AXIS - 1) + "└", Tone.FAINT)]
    for cell in range(cells):
        mark = picture.marks.get(cell)
        if mark is not None:
            spans.append((mark.glyph, Tone.STRONG if cell == cursor else mark.tone))
        elif cell == cursor:
            spans.append(("┴", Tone.STRONG))
        else:
            spans.append(("┬" if cell in ticks else "─", Tone.FAINT))
    return tuple(_joined(spans))


def _times(picture: Picture, cells: int) -> Line:
    text, end = "", -1
    for at, words in picture.labels:
        size = cell_len(words)
        place = max(0, picture.window.cell(at, cells) - size // 2)
        if place > end and place + size <= cells:
            text = text.ljust(place) + words
            end = place + size
    return clip(((" " * AXIS + text, Tone.FAINT),), AXIS + cells)


def _joined(spans: list[Span]) -> list[Span]:
    return [("".join(text for text, _ in run), tone) for tone, run in groupby(spans, lambda span: span[1])]

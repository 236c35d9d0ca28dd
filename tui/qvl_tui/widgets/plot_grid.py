"""Several pictures as one sheet of text, as many as fit, in pages. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from qvl_tui.paint import Line
from qvl_tui.widgets.plot import Picture, plot_lines

TALL = 9
"""Rows that a plot wants."""
AIRY = 11
"""Rows from which one of them stays free between two plots."""


class Grid(NamedTuple):
    columns: int
    rows: int

    @property
    def size(self) -> int:
        return self.columns * self.rows

    def pages(self, count: int) -> int:
        return max(1, -(-count // self.size))


def grid(width: int, height: int, count: int) -> Grid:
    """As many plots as can still be read; no more rows than `count` plots need."""
    columns = 3 if width >= 180 else 2 if width >= 110 else 1
    return Grid(columns, max(1, min(height // TALL, -(-count // columns))))


def widths(width: int, columns: int) -> list[int]:
    return [width * (n + 1) // columns - width * n // columns for n in range(columns)]


def sheet(pictures: Sequence[Picture], width: int, height: int, shape: Grid) -> tuple[Line, ...]:
    """`height` lines of `width` cells at most."""
    sizes = widths(width, shape.columns)
    lines: list[Line] = []
    for row in range(shape.rows):
        tall = height * (row + 1) // shape.rows - height * row // shape.rows
        blocks = [
            plot_lines(picture, size, tall - (tall >= AIRY))
            for picture, size in zip(pictures[row * shape.columns :][: shape.columns], sizes, strict=False)
        ]
        if blocks:
            lines += [tuple(span for block in blocks for span in block[y]) for y in range(len(blocks[0]))]
            lines += [()] * (tall - len(blocks[0]))
    return tuple(lines)

"""Curves as dots, two by four in each cell. Pure: values in, characters out; it knows no colours and no units.

An area is shaded below its edge, a line is not: so two curves of one plot are told apart without colour. A missing
value leaves its column empty, and nothing is drawn across it; 0 is a dot on the ground.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

_BITS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
"""Of the left and the right column of a cell, from below."""
_LEFT, _RIGHT = (
    tuple(sum(bit for n, bit in enumerate(bits) if levels >> n & 1) for levels in range(16)) for bits in _BITS
)
"""The dots of four levels, which are a number whose lowest bit is the lowest level."""

Half = Sequence[float | None]
"""A value for each column of dots."""


class Part(IntEnum):
    """What a cell shows; of several the last one here."""

    NOTHING = 0
    SHADE = 1
    EDGE = 2
    LINE = 3


class Dots(NamedTuple):
    text: str
    parts: tuple[Part, ...]
    """Of each cell."""


def draw(area: Half, line: Half, top: float, rows: int) -> list[Dots]:
    """Rows of cells, the upper row first, as many cells as half of the longer curve. `top` reaches the upper edge; what
    is above it stays there."""
    width = -(-max(len(area), len(line)) // 2)
    levels = rows * 4
    shades, edges = _columns(area, top, levels, width * 2)
    _, lines = _columns(line, top, levels, width * 2)
    all_of = [shade | edge | through for shade, edge, through in zip(shades, edges, lines, strict=True)]
    drawn = []
    for low in range(levels - 4, -1, -4):
        text, parts = "", []
        for left in range(0, width * 2, 2):
            through = (lines[left] | lines[left + 1]) >> low & 15
            edge = (edges[left] | edges[left + 1]) >> low & 15
            dots = _LEFT[all_of[left] >> low & 15] | _RIGHT[all_of[left + 1] >> low & 15]
            text += chr(0x2800 + dots) if dots else " "
            parts.append(Part.LINE if through else Part.EDGE if edge else Part.SHADE if dots else Part.NOTHING)
        drawn.append(Dots(text, tuple(parts)))
    return drawn


def _columns(curve: Half, top: float, levels: int, width: int) -> tuple[list[int], list[int]]:
    """What is shaded and what is drawn of a curve, for each column of dots; as numbers, a bit for each level."""
    whole = (1 << levels) - 1
    patterns = whole // 3, whole // 3 << 1 & whole  # each second level
    shades, edges = [0] * width, [0] * width
    before: int | None = None
    for x, value in enumerate(curve):
        if value is None:
            before = None
            continue
        level = round(min(max(value / top, 0.0), 1.0) * (levels - 1)) if top > 0 else 0
        shades[x] = patterns[x % 2] & ((1 << level) - 1)
        # The steep part between two columns belongs to the later one, but for the dot that stands already.
        if before is None or before == level:
            edges[x] = 1 << level
        elif before < level:
            edges[x] = (1 << level + 1) - (1 << before + 1)
        else:
            edges[x] = (1 << before) - (1 << level)
        before = level
    return shades, edges

"""Lines of text with tones: what every view function returns and what the Canvas widget draws.

A tone says what a piece of text *is* (good, muted, a heading); which colour that has is the stylesheet's matter. Lines
are plain tuples, so that two pictures of the same thing are compared by `==` and only the difference is repainted.
"""

from collections.abc import Iterable
from enum import StrEnum

import rich.cells
from rich.cells import set_cell_size


class Tone(StrEnum):
    TEXT = "text"
    STRONG = "strong"
    MUTED = "muted"
    FAINT = "faint"
    ACCENT = "accent"
    CHART = "chart"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    MATCH = "match"
    """What was looked for."""


UNSAFE = (*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""What no text may bring to the terminal: control characters, and marks that turn the reading direction, which could
make a line read as another one."""

Span = tuple[str, Tone]
Line = tuple[Span, ...]

BLANK: Line = ()


def cell_len(text: str) -> int:
    """Width in terminal cells. Most of what is shown needs no table of widths, and this is asked all the time."""
    return len(text) if text.isascii() and text.isprintable() else rich.cells.cell_len(text)


def length(line: Line) -> int:
    """Width in terminal cells."""
    return sum(cell_len(text) for text, _ in line)


def cut(text: str, width: int) -> str:
    """At most `width` cells; what is cut off ends in an ellipsis."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def left(text: str, width: int) -> str:
    return set_cell_size(cut(text, width), max(width, 0))


def right(text: str, width: int) -> str:
    text = cut(text, width)
    return " " * (width - cell_len(text)) + text


def clip(line: Line, width: int) -> Line:
    """`line` in at most `width` cells."""
    if length(line) <= width:
        return line
    kept: list[Span] = []
    room = width
    for text, tone in line:
        size = cell_len(text)
        if size >= room:
            # One cell is left for the ellipsis even where the text would fit exactly: more follows.
            kept.append((cut(text + "…", room), tone) if size == room else (cut(text, room), tone))
            break
        kept.append((text, tone))
        room -= size
    return tuple(kept)


def pad(line: Line, width: int) -> Line:
    """`line` in exactly `width` cells."""
    line = clip(line, width)
    room = width - length(line)
    return (*line, (" " * room, Tone.TEXT)) if room > 0 else line


def spread(start: Line, end: Line, width: int) -> Line:
    """`start` at the left, `end` at the right; where both do not fit, `start` gives way."""
    room = width - length(end) - 1
    if room < 0:
        return pad(end, width)
    return (*pad(clip(start, room), room + 1), *end)


def join(parts: Iterable[Line], between: Span) -> Line:
    joined: list[Span] = []
    for part in parts:
        if joined:
            joined.append(between)
        joined.extend(part)
    return tuple(joined)


def choices(*known: tuple[str, str, Tone]) -> Line:
    """What a dialog's keys do: the key, the words, and their tone; a faint choice can't be made now."""
    parts: list[Line] = [
        ((key, Tone.FAINT if tone is Tone.FAINT else Tone.ACCENT), (f" {words}", tone)) for key, words, tone in known
    ]
    return join(parts, ("   ", Tone.MUTED))


def wrap(text: str, width: int) -> list[str]:
    """Words in lines of at most `width` cells; a word that is too long is broken."""
    lines: list[str] = []
    current = ""
    for word in text.split():
        while cell_len(word) > width > 0:
            if current:
                lines.append(current)
                current = ""
            head = set_cell_size(word, width).rstrip() or word[:1]
            lines.append(head)
            word = word[len(head) :]
        if current and cell_len(current) + 1 + cell_len(word) > width:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current] if current else lines


def differences(old: Line, new: Line) -> list[tuple[int, int]]:
    """The cells in which two lines differ, as (start, width). Lines of one layout have their spans at the same places,
    so a figure that moves costs its own cells and no more."""
    if old == new:
        return []
    if len(old) == len(new) and all(cell_len(a[0]) == cell_len(b[0]) for a, b in zip(old, new, strict=True)):
        spots, x = [], 0
        for before, after in zip(old, new, strict=True):
            size = cell_len(after[0])
            if before != after:
                spots.append((x, size))
            x += size
        return spots
    start = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        start += cell_len(after[0])
    return [(start, max(length(old), length(new)) - start)]

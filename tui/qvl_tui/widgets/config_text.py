"""A file of the configuration as lines: numbers, tones, and each fault where it is, its sentence below its line. Pure.

A long line is broken, never cut: what is wrong may stand at its end.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qvl.model.config import ConfigFault, ConfigFile
from rich.cells import cell_len, set_cell_size

from qvl_tui.paint import BLANK, Line, Span, Tone, wrap
from qvl_tui.toml_tones import toned

BAD, WARNED = "✕", "▲"


@dataclass(frozen=True, slots=True)
class Told:
    """A fault or a warning of one file."""

    line: int
    """From 1; 0: of the file as a whole."""
    sentence: str
    refuses: bool

    @property
    def sign(self) -> str:
        return BAD if self.refuses else WARNED

    @property
    def tone(self) -> Tone:
        return Tone.BAD if self.refuses else Tone.WARN


@dataclass(frozen=True, slots=True)
class Page:
    """A file laid out: its rows, and where in them its lines and what is wrong with it are."""

    rows: tuple[Line, ...] = ()
    first: tuple[int, ...] = ()
    """The row at which each line begins, the first line's first."""
    faults: tuple[int, ...] = ()
    """The row of each fault or warning, in order, once a row."""
    hits: tuple[int, ...] = ()
    """The row of each line in which the search finds something."""


def told_of(file: str, faults: Iterable[ConfigFault], warnings: Iterable[ConfigFault]) -> tuple[Told, ...]:
    """What concerns one file, line by line; what refuses it comes first within a line."""
    found = [Told(fault.line, _sentence(fault), True) for fault in faults if fault.file == file]
    found += [Told(fault.line, _sentence(fault), False) for fault in warnings if fault.file == file]
    return tuple(sorted(found, key=lambda each: each.line))


def _sentence(fault: ConfigFault) -> str:
    key = f"{fault.key}: " if fault.key else ""
    return f"{key}{fault.message}" + (f" ({fault.nearest})" if fault.nearest else "")


def page(file: ConfigFile, told: Sequence[Told], needle: str, width: int) -> Page:
    """`needle`: what is searched for, whatever its case; empty for nothing."""
    texts = file.text.split("\n") if file.text is not None else []
    if texts and not texts[-1]:
        texts.pop()
    digits = len(str(max(len(texts), 1)))
    gutter = digits + 3
    room = max(width - gutter - 2, 8)
    rows: list[Line] = []
    first: list[int] = []
    faults: list[int] = []
    hits: list[int] = []
    by_line: dict[int, list[Told]] = {}
    for each in told:
        # A line that is not there is the end of what is: a file may have been cut off.
        by_line.setdefault(min(each.line, len(texts)), []).append(each)
    if by_line.get(0):
        faults.append(len(rows))
        rows += _notes(by_line[0], 1, width)
        rows.append(BLANK)
    elif file.problem:
        rows += [*_notes([Told(0, file.problem, False)], 1, width), BLANK]
    for number, line in enumerate(toned(texts), start=1):
        first.append(len(rows))
        here = by_line.get(number, [])
        if here:
            faults.append(len(rows))
        plain = texts[number - 1]
        if needle and needle.lower() in plain.lower():
            hits.append(len(rows))
            line = _marked(line, plain, needle)
        sign: Span = (here[0].sign, here[0].tone) if here else (" ", Tone.TEXT)
        shown = f" {number:>{digits}} "
        for part, spans in enumerate(broken(line, room)):
            head: Line = (sign, (shown, here[0].tone if here else Tone.FAINT), ("│ ", Tone.FAINT))
            rows.append((*(head if part == 0 else ((" " * gutter, Tone.TEXT), ("│ ", Tone.FAINT))), *spans))
        rows += _notes(here, gutter + 2, width)
    return Page(tuple(rows), tuple(first), tuple(faults), tuple(hits))


def _notes(told: Sequence[Told], indent: int, width: int) -> list[Line]:
    lines: list[Line] = []
    for each in told:
        for part, text in enumerate(wrap(each.sentence, max(width - indent - 3, 12))):
            sign = f"{each.sign} " if part == 0 else "  "
            lines.append(((" " * indent, Tone.TEXT), (sign, each.tone), (text, each.tone)))
    return lines


def broken(line: Line, width: int) -> list[Line]:
    """`line` in rows of at most `width` cells; an empty one is a row as well."""
    rows: list[list[Span]] = [[]]
    room = width
    for text, tone in line:
        text = text.replace("\t", "    ")
        while text:
            if cell_len(text) <= room:
                rows[-1].append((text, tone))
                room -= cell_len(text)
                break
            head = set_cell_size(text, room) if room > 1 else ""
            head = text[: len(head.rstrip()) or (1 if room == width else 0)]
            space = head.rfind(" ") + 1
            head = head[:space] if space > len(head) * 0.7 else head  # between words, if one ends near the edge
            if head:
                rows[-1].append((head, tone))
                text = text[len(head) :]
            rows.append([])
            room = width
    return [tuple(row) for row in rows]


def _marked(line: Line, plain: str, needle: str) -> Line:
    """The hits stand out from what surrounds them."""
    spots = [found.span() for found in re.finditer(re.escape(needle), plain, re.IGNORECASE)]
    spans: list[Span] = []
    place = 0
    for text, tone in line:
        start = place
        for begin, end in spots:
            a, b = max(begin, place), min(end, start + len(text))
            if a < b:
                if place < a:
                    spans.append((text[place - start : a - start], tone))
                spans.append((text[a - start : b - start], Tone.MATCH))
                place = b
        if place < start + len(text):
            spans.append((text[place - start :], tone))
        place = start + len(text)
    return tuple(spans)

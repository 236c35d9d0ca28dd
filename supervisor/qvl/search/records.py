"""Which record a line of a block belongs to. Pure.

A record is a line with a stamp and the lines without one that follow it: a traceback. Where a log has no stamps, a
traceback is told by its shape, and every other line stands for itself.

What a look back from one line has shown is remembered for the next one: in a log without stamps each match would
otherwise cost hundreds of lines.
"""

from collections.abc import Iterator
from typing import NamedTuple

from qvl.model.loglines import INFO, begins_record, level_of

LOOK = 64 * 1024
"""Bytes of a line that are looked at: an expression's cost grows with the line, and some lines hold an image."""
FOLLOWED = 400
"""Lines that a record is followed for, in either direction."""
_TRACEBACK = b"Traceback (most recent call last)"


class Record(NamedTuple):
    """Place of a record in its block."""

    start: int
    end: int
    level: int


class _Back:
    """Looks back from lines that are asked about in their order: where something is, and so many lines before."""

    def __init__(self) -> None:
        self.line = -1
        """The line that was asked about last; nothing is known before the first."""
        self.found: tuple[int, int] | None = None
        """For that line: place of what was found, and lines between the two."""

    def know(self, line: int, found: tuple[int, int] | None) -> int | None:
        self.line, self.found = line, found
        return None if found is None else found[0]


class Records:
    """The records of one block. Ask about its lines in their order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stamps, self._tracebacks = _Back(), _Back()

    def of(self, start: int, end: int) -> Record:
        """The record of the line [start, end)."""
        data = self._data
        first = self._stamp(start)
        stamped = first is not None
        if first is None:
            traceback = self._traceback(start)
            first = start if traceback is None else traceback
        last, level, goes_on = first, INFO, True
        for number, (at, after) in enumerate(lines(data, first, len(data))):
            line = data[at : min(after, at + LOOK)]
            if number and (not goes_on or number >= FOLLOWED or begins_record(line)):
                break
            goes_on = stamped or _TRACEBACK in line or (number > 0 and line[:1] in b" \t")
            last, level = after, max(level, level_of(line))
        if last < end:  # further from its first line than is followed
            return Record(start, end, level_of(data[start : min(end, start + LOOK)]))
        return Record(first, last, level)

    def _stamp(self, start: int) -> int | None:
        """The stamped line before this one, or itself."""
        at, known = start, self._stamps
        for number in range(FOLLOWED):
            if at == known.line:
                found = known.found
                return known.know(start, _further(found, number))
            if begins_record(self._data[at : at + 64]):
                return known.know(start, (at, number))
            if not at:
                break
            at = self._data.rfind(b"\n", 0, at - 1) + 1
        return known.know(start, None)

    def _traceback(self, start: int) -> int | None:
        """Where the traceback begins to which an unstamped line belongs."""
        data, at, known = self._data, start, self._tracebacks
        for number in range(FOLLOWED):
            line = data[at : data.find(b"\n", at) + 1 or len(data)]
            if _TRACEBACK in line:
                return known.know(start, (at, number))
            if not at or (at != start and line[:1] not in b" \t"):
                break
            if at == known.line and at != start:
                return known.know(start, _further(known.found, number))
            at = data.rfind(b"\n", 0, at - 1) + 1
        return known.know(start, None)


def _further(found: tuple[int, int] | None, by: int) -> tuple[int, int] | None:
    return None if found is None or found[1] + by >= FOLLOWED else (found[0], found[1] + by)


def lines(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Each line of a part as (start, end), its newline included."""
    while start < end:
        newline = data.find(b"\n", start, end)
        after = newline + 1 if newline >= 0 else end
        yield start, after
        start = after

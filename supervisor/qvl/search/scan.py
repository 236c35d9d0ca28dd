"""Finds lines in a block of a log: first by bytes that they must hold, then by what was really asked for. Pure.

A record is a line with a stamp and the lines without one that follow it: a traceback. Where a log has no stamps, a
traceback is told by its shape, and every other line stands for itself.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from qvl.model.log import LogMatch, LogSearch
from qvl.model.loglines import INFO, LEVELS, SUSPECTS, begins_record, level_of
from qvl.search.needles import needles

Block = tuple[int, bytes]
"""Absolute offset and bytes."""
LONGEST = 8192
"""Bytes of a match that are told."""
HEAD = 160
_LOOK = 64 * 1024
"""Bytes of a line that are looked at: an expression's cost grows with the line, and some lines hold an image."""
_RECORD_LINES = 400
"""Lines that a record is followed for, in either direction."""
_TRACEBACK = b"Traceback (most recent call last)"
_NAMES = {number: name for name, number in LEVELS.items()}


class Record(NamedTuple):
    """Place of a record in its block."""

    start: int
    end: int
    level: int


class Scanner:
    """One search. Raises re.error, or what else `re` has for a pattern that it can't read."""

    def __init__(self, search: LogSearch) -> None:
        self._least = LEVELS[search.level]
        self._lower = search.ignore_case
        self._pattern = (
            re.compile(search.pattern, re.IGNORECASE if search.ignore_case else 0) if search.pattern else None
        )
        self._needles = needles(search.pattern, ignore_case=search.ignore_case) if search.pattern else None
        self._suspects = tuple(word for level, words in SUSPECTS.items() if level >= self._least for word in words)

    def matches(self, block: Block) -> Iterator[LogMatch]:
        """In the order of their offsets."""
        base, data = block
        if self._pattern is None:
            for record in self._records(data):
                yield self._told(base, data, record.start, record.end, record)
            return
        known = Record(0, 0, INFO)
        for start, end in self._candidates(data):
            if self._pattern.search(_text(data[start:end])) is None:
                continue
            if not known.start <= start < known.end:
                known = record_at(data, start, end)
            if known.level >= self._least:
                yield self._told(base, data, start, end, known)

    def _candidates(self, data: bytes) -> Iterator[tuple[int, int]]:
        if self._needles is not None:
            return lines_with(data, data.lower() if self._lower else data, self._needles)
        if self._least > INFO:
            return (line for record in self._records(data) for line in lines(data, record.start, record.end))
        return lines(data, 0, len(data))

    def _records(self, data: bytes) -> Iterator[Record]:
        """Those that are as bad as was asked for."""
        done = 0
        for start, end in lines_with(data, data.lower(), self._suspects):
            if start >= done and level_of(data[start : min(end, start + _LOOK)]) >= self._least:
                record = record_at(data, start, end)
                done = record.end
                yield record

    def _told(self, base: int, data: bytes, start: int, end: int, record: Record) -> LogMatch:
        head = "" if start == record.start else _text(data[record.start : record.start + HEAD]).partition("\n")[0]
        text = _text(data[start : min(end, start + LONGEST)])
        return LogMatch(base + start, end - start, text, _NAMES[record.level], base + record.start, head)


def lines(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Each line of a part as (start, end), its newline included."""
    while start < end:
        newline = data.find(b"\n", start, end)
        after = newline + 1 if newline >= 0 else end
        yield start, after
        start = after


def lines_with(data: bytes, searched: bytes, words: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
    """The lines that hold one of these words, as (start, end). `searched` is the data, or what it is in lower case."""
    places = {word: searched.find(word) for word in words}
    while near := [place for place in places.values() if place >= 0]:
        at = min(near)
        newline = data.find(b"\n", at)
        end = newline + 1 if newline >= 0 else len(data)
        yield data.rfind(b"\n", 0, at) + 1, end
        for word, place in places.items():
            if 0 <= place < end:
                places[word] = searched.find(word, end)


def record_at(data: bytes, start: int, end: int) -> Record:
    """The record of the line [start, end)."""
    first = inside = start
    for _ in range(_RECORD_LINES):
        if begins_record(data[inside : inside + 64]):
            first = inside
            break
        if not inside:
            first = _loose(data, start)
            break
        inside = data.rfind(b"\n", 0, inside - 1) + 1
    else:
        first = _loose(data, start)
    stamped = begins_record(data[first : first + 64])
    last, level, goes_on = first, INFO, True
    for number, (at, after) in enumerate(lines(data, first, len(data))):
        line = data[at : min(after, at + _LOOK)]
        if number and (not goes_on or number >= _RECORD_LINES or begins_record(line)):
            break
        goes_on = stamped or _TRACEBACK in line or (number > 0 and line[:1] in b" \t")
        last, level = after, max(level, level_of(line))
    if last < end:  # further from its first line than is followed
        return Record(start, end, level_of(data[start : min(end, start + _LOOK)]))
    return Record(first, last, level)


def _loose(data: bytes, start: int) -> int:
    """Where the traceback begins to which an unstamped line belongs; its own place where there is none."""
    at = start
    for _ in range(_RECORD_LINES):
        line = data[at : data.find(b"\n", at) + 1 or len(data)]
        if _TRACEBACK in line:
            return at
        if not at or (at != start and line[:1] not in b" \t"):
            return start
        at = data.rfind(b"\n", 0, at - 1) + 1
    return start


def _text(line: bytes) -> str:
    return line[:_LOOK].rstrip(b"\r\n").decode(errors="replace")

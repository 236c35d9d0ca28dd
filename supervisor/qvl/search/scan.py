"""Finds lines in a block of a log: first by bytes that they must hold, then by what was really asked for. Pure."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from qvl.model.log import LogMatch, LogSearch
from qvl.model.loglines import INFO, LEVELS, SUSPECTS, level_of
from qvl.search.needles import needles
from qvl.search.records import LOOK, Record, Records, lines

Block = tuple[int, bytes]
"""Absolute offset and bytes."""
LONGEST = 8192
"""Bytes of a match that are told."""
HEAD = 160
STRETCH = 1000
"""Lines after which `between` is called."""
_NAMES = {number: name for name, number in LEVELS.items()}


class Scanner:
    """One search. Raises re.error, or what else `re` has for a pattern that it can't read."""

    def __init__(self, search: LogSearch, between: Callable[[], None] = lambda: None) -> None:
        """`between` is called now and then while a block has many lines to look at."""
        self._between = between
        self._least = LEVELS[search.level]
        self._lower = search.ignore_case
        self._pattern = (
            re.compile(search.pattern, re.IGNORECASE if search.ignore_case else 0) if search.pattern else None
        )
        self._needles = needles(search.pattern, ignore_case=search.ignore_case) if search.pattern else None
        self._suspects = tuple(word for level, words in SUSPECTS.items() if level >= self._least for word in words)

    def met(self, block: Block, most: int, *, back: bool) -> Iterator[LogMatch]:
        """At most `most` of a block, in the order in which a search that goes on, or back, meets them."""
        matches = self.matches(block)
        # Backwards, those that would be too many go as they come: a block may hold half a million.
        return iter(reversed(deque(matches, most))) if back else islice(matches, most)

    def matches(self, block: Block) -> Iterator[LogMatch]:
        """In the order of their offsets."""
        base, data = block
        records = Records(data)
        if self._pattern is None:
            for record in self._records(data, records):
                yield self._told(base, data, record.start, record.end, record)
            return
        known = Record(0, 0, INFO)
        for start, end in self._paced(self._candidates(data)):
            if self._pattern.search(_text(data[start:end])) is None:
                continue
            if not known.start <= start < known.end:
                known = records.of(start, end)
            if known.level >= self._least:
                yield self._told(base, data, start, end, known)

    def _candidates(self, data: bytes) -> Iterator[tuple[int, int]]:
        if self._needles is not None:
            return lines_with(data, data.lower() if self._lower else data, self._needles)
        if self._least > INFO:
            bad = self._records(data, Records(data))
            return (line for record in bad for line in lines(data, record.start, record.end))
        return lines(data, 0, len(data))

    def _records(self, data: bytes, records: Records) -> Iterator[Record]:
        """Those that are as bad as was asked for."""
        done = 0
        for start, end in self._paced(lines_with(data, data.lower(), self._suspects)):
            if start >= done and level_of(data[start : min(end, start + LOOK)]) >= self._least:
                record = records.of(start, end)
                done = record.end
                yield record

    def _paced(self, places: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for number, place in enumerate(places, 1):
            if not number % STRETCH:
                self._between()
            yield place

    def _told(self, base: int, data: bytes, start: int, end: int, record: Record) -> LogMatch:
        head = "" if start == record.start else _text(data[record.start : record.start + HEAD]).partition("\n")[0]
        text = _text(data[start : min(end, start + LONGEST)])
        return LogMatch(base + start, end - start, text, _NAMES[record.level], base + record.start, head)


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


def _text(line: bytes) -> str:
    return line[:LOOK].rstrip(b"\r\n").decode(errors="replace")

"""A worker's output as lines that are safe to show: bounded, with progress bars in place and control characters tamed.

A line knows where in the log it lies, so that it can be found again whatever is loaded around it. Bytes come in any
pieces; the same bytes give the same lines however they were cut. Pure.
"""

import re
from enum import IntEnum
from typing import NamedTuple

from qvl.model.loglines import begins_record, level_of

from qvl_tui.logs.stamps import NO_STAMP, Stamp, stamp_of
from qvl_tui.paint import UNSAFE

LONGEST = 4_000
"""Characters of a line that are kept."""
_LOOK = 4 * LONGEST
"""Bytes of a line that are looked at."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_=>]|$)")
_CONTROLS = dict.fromkeys(UNSAFE, "·")
_PLAIN = re.compile(rb"[ -~]*")


class Level(IntEnum):
    PLAIN = 0
    WARNING = 1
    ERROR = 2
    NOTE = 3
    """Our own word between the worker's lines."""


class Entry(NamedTuple):
    offset: int
    """Absolute, of its first byte."""
    size: int
    """Bytes, the newline included; 0 for a word of ours."""
    text: str
    level: Level
    """Of the line by itself."""
    record: bool
    """It begins a record: what follows without a stamp goes on with it."""
    stamp: Stamp
    feed: int
    """Number of the log in which it lies."""

    @property
    def id(self) -> tuple[int, int, int]:
        return (self.feed, self.offset, 0 if self.level is Level.NOTE else 1)


def entry(raw: bytes, offset: int, size: int, feed: int = 0) -> Entry:
    """One line, without its newline, as it would stand on a terminal in the end."""
    text = safe(raw)
    level = Level(level_of(raw[:_LOOK]))
    return Entry(offset, size, text, level, begins_record(raw), stamp_of(text), feed)


def note(text: str, offset: int, feed: int = 0) -> Entry:
    """A word of ours that stands before the line at `offset`."""
    return Entry(offset, 0, text, Level.NOTE, True, NO_STAMP, feed)


def safe(raw: bytes) -> str:
    """After a carriage return the newer text wins; nothing that could steer a terminal is left."""
    if len(raw) <= LONGEST and _PLAIN.fullmatch(raw):
        return raw.decode("ascii")
    raw = raw.rstrip(b"\r")
    if b"\r" in raw:
        raw = next((part for part in reversed(raw.split(b"\r")) if part), b"")
    text = raw[:_LOOK].decode(errors="replace")
    cut = len(raw) > _LOOK or len(text) > LONGEST
    text = _ESCAPES.sub("", text[:LONGEST]).expandtabs(4).translate(_CONTROLS)
    return text + "…" if cut else text


def entries(data: bytes, offset: int, feed: int = 0) -> list[Entry]:
    """The lines of a piece that begins with a line; the last one may lack its end."""
    found = []
    for raw in data.split(b"\n"):
        found.append(entry(raw, offset, len(raw) + 1, feed))
        offset += len(raw) + 1
    last = found.pop()
    if last.size > 1:
        found.append(last._replace(size=last.size - 1))
    return found


class Tail:
    """What is appended to a log, as lines. The last one, as long as no newline ended it, is `open`."""

    def __init__(self, offset: int, feed: int = 0) -> None:
        self.offset = offset
        """Of the line that is not ended yet."""
        self.feed = feed
        self._open = b""
        self._passed = 0
        """Bytes of the open line that are no longer kept."""

    @property
    def next(self) -> int:
        """Offset of the byte that follows."""
        return self.offset + self._passed + len(self._open)

    def take(self, data: bytes) -> list[Entry]:
        """The lines that these bytes end."""
        *done, rest = (self._open + data).split(b"\n")
        found = []
        for raw in done:
            size = len(raw) + 1 + self._passed
            found.append(entry(raw, self.offset, size, self.feed))
            self.offset += size
            self._passed = 0
        if len(rest) > 2 * _LOOK:
            # Without an end in sight only the part that can still be seen is worth keeping.
            kept = rest.rpartition(b"\r")[2][:_LOOK]
            self._passed += len(rest) - len(kept)
            rest = kept
        self._open = rest
        return found

    @property
    def open(self) -> Entry | None:
        if not self._open:
            return None
        return entry(self._open, self.offset, len(self._open) + self._passed, self.feed)

    def skip(self, offset: int) -> None:
        """Go on at a later place: what lay between is gone."""
        self.offset, self._open, self._passed = offset, b"", 0

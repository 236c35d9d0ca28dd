"""The header of a block: a gzip member (RFC 1952) whose extra field says how long it is, which time it covers, and what
happened in it. So a reader finds any moment, and every event, by hopping from header to header, as in BGZF.

The field has one size, so that it can be filled in once the block is whole; until then its size is 0.
"""

import struct
from dataclasses import dataclass, field
from enum import IntFlag

from qvl.recording.records import LATEST

MAGIC = b"\x1f\x8b\x08\x04"
"""gzip, deflate, with an extra field."""
SUBFIELD = b"QV"
LAYOUT = 1
SLOTS = 60
SLOT_MS = 1000
LONGEST_MS = SLOTS * SLOT_MS
"""A block covers a minute."""

_GZIP = struct.Struct("<4sIBBH")
_EXTRA = struct.Struct(f"<2sHBBIQQHH{SLOTS}s")
HEADER_SIZE = _GZIP.size + _EXTRA.size
_MOST = 0xFFFF


class Content(IntFlag):
    """What else a block has."""

    NOTHING = 0
    DOCUMENTS = 1
    LOGS = 2


class Mark(IntFlag):
    """What happened in one second of a block."""

    NOTHING = 0
    EVENT = 1
    WARNING = 2
    ERROR = 4
    EXIT = 8
    """A worker ended unasked."""
    AWAY = 16
    """The daemon could not be heard."""


@dataclass(slots=True)
class Summary:
    """What a header tells. Times are unix milliseconds."""

    begin: int
    end: int = 0
    size: int = 0
    """Bytes of the whole member; 0: it was never finished."""
    content: Content = Content.NOTHING
    events: int = 0
    exits: int = 0
    marks: bytearray = field(default_factory=lambda: bytearray(SLOTS))
    """A `Mark` for each second from `begin` on; the last one also stands for what comes later."""

    def __post_init__(self) -> None:
        self.end = max(self.end, self.begin)

    def mark(self, at: int, mark: Mark) -> None:
        self.marks[min(SLOTS - 1, max(0, at - self.begin) // SLOT_MS)] |= mark
        self.events += bool(mark & Mark.EVENT)
        self.exits += bool(mark & Mark.EXIT)

    def pack(self) -> bytes:
        extra = _EXTRA.pack(
            SUBFIELD,
            _EXTRA.size - 4,
            LAYOUT,
            self.content,
            self.size,
            self.begin,
            self.end,
            min(self.events, _MOST),
            min(self.exits, _MOST),
            bytes(self.marks),
        )
        return _GZIP.pack(MAGIC, self.begin // 1000 & 0xFFFFFFFF, 0, 255, len(extra)) + extra


def unpack(header: bytes) -> Summary | None:
    """What a header tells; None where this is none of ours."""
    if len(header) < HEADER_SIZE:
        return None
    magic, _, _, _, extra = _GZIP.unpack_from(header)
    name, length, layout, content, size, begin, end, events, exits, marks = _EXTRA.unpack_from(header, _GZIP.size)
    if (magic, extra, name, length, layout) != (MAGIC, _EXTRA.size, SUBFIELD, _EXTRA.size - 4, LAYOUT):
        return None
    if not begin <= end <= LATEST or 0 < size <= HEADER_SIZE:
        return None
    return Summary(begin, end, size, Content(content & 3), events, exits, bytearray(marks))


def mark_of(event: dict[str, object]) -> Mark:
    """How an Event frame, as a plain document, is marked."""
    severity = event.get("severity", "info")
    mark = Mark.EVENT
    if severity == "error":
        mark |= Mark.ERROR
    elif severity == "warning":
        mark |= Mark.WARNING
    if event.get("kind") == "worker.exit" and severity != "info":
        mark |= Mark.EXIT
    return mark

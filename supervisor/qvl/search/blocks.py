"""A log in blocks of whole records, forwards or backwards from an offset.

A block begins where a record does, as far as that can be seen, so that what is found in it can be told with the record
to which it belongs. At most two blocks are in memory; what rotation removes meanwhile is passed over.
"""

from collections.abc import Iterator

from qvl.model.loglines import begins_record
from qvl.search.scan import Block
from qvl.shim import logread

BLOCK = 1024 * 1024
NEAR = 64 * 1024
"""Bytes of the first block, since most of what is looked for is near; and how far a block gives way for a record."""


def forwards(directory: str, since: int, until: int) -> Iterator[Block]:
    """All that lies in [since, until)."""
    base, rest, size = since, b"", NEAR
    while base + len(rest) < until:
        at = base + len(rest)
        found, data = _read(directory, at, min(size, until - at))
        size = min(size * 2, BLOCK)
        if not data:
            break
        if found != at:
            if rest:
                yield base, rest
            base, rest = found, b""
        data = (rest + data)[: max(0, until - base)]
        cut = _last_record(data) if base + len(data) < until else len(data)
        if cut:
            yield base, data[:cut]
        base, rest = base + cut, data[cut:]
    if rest:
        yield base, rest


def backwards(directory: str, before: int) -> Iterator[Block]:
    """All that lies before an offset, the latest first."""
    end, size = min(before, logread.end(directory)), NEAR
    while end > 0:
        begin = max(0, end - size)
        size = min(size * 2, BLOCK)
        found, data = _read(directory, begin, end - begin)
        data = data[: max(0, end - found)]
        if not data:
            return
        cut = _first_record(data) if found == begin > 0 else 0
        end = found + cut
        yield end, data[cut:]
        if found > begin:
            return  # the log begins there


def _read(directory: str, offset: int, size: int) -> Block:
    """As many of `size` bytes as lie without a gap."""
    begin, data = logread.read_at(directory, offset, size)
    pieces = [data]
    end = begin + len(data)
    while data and end < begin + size:
        found, data = logread.read_at(directory, end, begin + size - end)
        if found != end:
            break
        pieces.append(data)
        end += len(data)
    return begin, b"".join(pieces)


def _last_record(data: bytes) -> int:
    """Where the last record of `data` begins; else its last line, else its end."""
    at = last = data.rfind(b"\n", 0, len(data) - 1) + 1
    while at > max(0, len(data) - NEAR):
        if begins_record(data[at : at + 64]):
            return at
        at = data.rfind(b"\n", 0, at - 1) + 1
    return last or len(data)


def _first_record(data: bytes) -> int:
    """Where the first record begins that is in `data` with its first line; else the first line, else 0."""
    at = first = data.find(b"\n") + 1
    while 0 < at < min(NEAR, len(data)):
        if begins_record(data[at : at + 64]):
            return at
        at = data.find(b"\n", at) + 1
    return first if first < len(data) else 0

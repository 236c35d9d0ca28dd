"""Reads a worker's log by absolute offset, while a shim writes and rotates it, or long after.

Used by the daemon, and by the command line where no daemon runs. Every read is a bounded pread: no file is ever held
open or read whole, and a segment that rotation removes between two steps only moves the reader on. It takes no lock and
refuses to write.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

import msgspec

from qvl.shim import wire
from qvl.shim.logfile import segment_name, segment_offsets
from qvl.shim.records import Run

BLOCK = 64 * 1024
MAX_TAIL = 8 * 1024 * 1024
"""Bytes that `tail_lines` looks at, at most: one line without an end must not fill the reader's memory."""

__all__ = ["Path", "Run", "Segment", "begin", "end", "read_at", "runs", "segments", "tail_lines"]

Path = str | os.PathLike[str]


class Segment(NamedTuple):
    """One file of the log; `offset` is the absolute offset of its first byte."""

    offset: int
    size: int
    path: str

    @property
    def end(self) -> int:
        """Absolute offset of the byte after its last one."""
        return self.offset + self.size


def segments(log_dir: Path) -> list[Segment]:
    """What is there to read, oldest first; nothing if the directory cannot be read."""
    found = []
    directory = os.fspath(log_dir)
    try:
        for offset in segment_offsets(directory):
            path = os.path.join(directory, segment_name(offset))
            try:
                found.append(Segment(offset, os.stat(path).st_size, path))
            except FileNotFoundError:
                continue  # rotated away since the listing
    except OSError:
        return []
    return found


def begin(log_dir: Path) -> int:
    """Absolute offset of the oldest byte that is left; 0 for a worker that has never run."""
    present = segments(log_dir)
    return present[0].offset if present else 0


def end(log_dir: Path) -> int:
    """Absolute offset of the next byte to be written; 0 for a worker that has never run."""
    present = segments(log_dir)
    return present[-1].end if present else 0


def read_at(log_dir: Path, offset: int, limit: int) -> tuple[int, bytes]:
    """Up to `limit` bytes from an absolute offset on, and the offset at which they really begin.

    That is a later one where the bytes asked for were rotated away, and the log's end, with no bytes, for an offset
    beyond it. Fewer bytes than the limit do not mean that the end is reached; none do.
    """
    while True:
        later = [segment for segment in segments(log_dir) if segment.end > offset]
        if not later:
            return end(log_dir), b""
        begin = max(offset, later[0].offset)
        data = _pread(later[0].path, begin - later[0].offset, limit)
        if data or limit <= 0:
            return begin, data
        offset = later[0].end  # rotated away since the listing


def tail_lines(
    log_dir: Path, n: int, before: int | None = None, start: int = 0, *, block_size: int = BLOCK
) -> tuple[int, list[bytes]]:
    """The last `n` lines that end by offset `before`, without their newlines, and the offset of the first of them.

    To page backwards, pass that offset as `before`. Nothing before `start` is returned. A line that has no end yet is
    one too. Lines end at a newline; carriage returns stay in, since only a renderer knows what they overwrite.
    """
    present = segments(log_dir)
    begin = present[-1].end if present else 0
    if before is not None:
        begin = min(begin, before)
    floor = max(begin - MAX_TAIL, start)
    blocks: list[bytes] = []
    newlines = 0
    for segment in reversed(present):
        if blocks and segment.end < begin:
            break  # bytes are missing between the two: what lies before belongs to another page
        begin = min(begin, segment.end)
        while newlines <= n and begin > max(segment.offset, floor):
            first = max(segment.offset, floor, begin - block_size)
            block = _pread(segment.path, first - segment.offset, begin - first)
            if len(block) < begin - first:
                return _last_lines(begin, b"".join(reversed(blocks)), n)  # rotated away since the listing
            blocks.append(block)
            newlines += block.count(b"\n")
            begin = first
    return _last_lines(begin, b"".join(reversed(blocks)), n)


def runs(log_dir: Path) -> list[Run]:
    """The latest starts of the worker, oldest first; some may begin before the oldest byte that is left."""
    try:
        with open(os.path.join(log_dir, wire.RUNS_NAME), "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # written by a version that says it otherwise
            found.append(msgspec.json.decode(line, type=Run))
    return found


def _last_lines(begin: int, data: bytes, n: int) -> tuple[int, list[bytes]]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()  # the end of the last line begins no other one
    surplus = max(len(lines) - max(n, 0), 0)
    return begin + sum(len(line) + 1 for line in lines[:surplus]), lines[surplus:]


def _pread(path: str, position: int, size: int) -> bytes:
    """One bounded read; nothing where the file is gone or shorter."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, size, position)
    finally:
        os.close(fd)

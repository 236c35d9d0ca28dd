"""A recording as it lies on disk: which time its blocks cover, and the lines of each.

To open it reads headers only; a block is inflated when it is asked for, a piece at a time. A file that was cut off, or
is still being written, is good up to its last complete line. It comes from anywhere: nothing in it is trusted, and no
line, however long, gets more memory than `LONGEST_LINE`.
"""

import os
import stat
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qvl.model.error import ErrorCode, QvlError
from qvl.recording.block import HEADER_SIZE, Content, Mark, Summary, mark_of, unpack
from qvl.recording.records import VERSION, Away, Document, End, Key, Log, Opening, Record, Told

LONGEST_LINE = 32 << 20
_PIECE = 64 << 10
_GZIP = 31
"""zlib's word for: with gzip's header and checksum."""
_LOG = b'{"type":"log"'
_NO_RECORD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Block:
    start: int
    """Where it begins in the file."""
    summary: Summary
    whole: bool
    """It was finished; the last one of a recording that was cut off isn't."""


class Recording:
    """Opens `path`; raises QvlError where that is no recording that this version can read. May be used by several
    threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise QvlError(
                ErrorCode.NOT_FOUND, f"{path} can't be opened: {error.strerror}", "name a file of `qvlctl record`"
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise _no_recording(path, "is no file")
            self.damage: str | None = None
            """Why what comes after the last block can't be read."""
            self.blocks = self._index()
            self.opening = self._opening()
            self.ended = self._complete()
            """Its recorder ended it: nothing is missing at its end."""
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def begin(self) -> int:
        """Unix milliseconds, as everywhere here."""
        return self.blocks[0].summary.begin

    @property
    def end(self) -> int:
        return self.blocks[-1].summary.end

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def find(self, at: int) -> int:
        """The index of the block in which `at` lies; the nearest one where it lies in none."""
        return max(0, bisect_right(self.blocks, at, key=lambda block: block.summary.begin) - 1)

    def records(self, index: int, *, logs: bool = True) -> Iterator[Record]:
        """What is in a block, in order; lines that this version doesn't understand are left out, and without `logs`
        those of logs, at little cost."""
        for line in self._lines(self.blocks[index]):
            if not logs and line.startswith(_LOG):
                continue
            if (record := self._decode(line)) is not None:
                yield record

    def key(self, index: int) -> Key | None:
        """What is needed to begin at a block; None where it was cut off before that."""
        return next((record for record in self.records(index, logs=False) if isinstance(record, Key)), None)

    def workers(self) -> list[str]:
        """Who there was in the end, by name."""
        key = self.key(len(self.blocks) - 1)
        try:
            snapshot = None if key is None else msgspec.json.decode(key.snapshot, type=_Snapshot)
        except _NO_RECORD:
            snapshot = None
        return [] if snapshot is None else [worker.name for worker in snapshot.status.workers]

    def having(self, content: Content, before: int) -> Iterator[int]:
        """The blocks with such content, from `before` (included) back."""
        return (index for index in range(before, -1, -1) if content in self.blocks[index].summary.content)

    # --- opening --------------------------------------------------------------------------------------------------

    def _index(self) -> list[Block]:
        size, start = self.size, 0
        blocks: list[Block] = []
        while start < size:
            summary = unpack(os.pread(self._file, HEADER_SIZE, start))
            if summary is None or (blocks and summary.begin < blocks[-1].summary.end):
                self.damage = f"what follows byte {start:,} is none of it"
                break
            whole = 0 < summary.size <= size - start
            block = Block(start, summary, whole)
            if not whole:
                self._measure(block)
            blocks.append(block)
            if not whole:
                break
            start += summary.size
        if not blocks:
            raise _no_recording(self.path, "is empty" if size == 0 else "is no recording")
        return blocks

    def _measure(self, block: Block) -> None:
        """Make the summary of a block that was never finished from what is in it."""
        found = block.summary
        found.end, found.size, found.events, found.exits = found.begin, 0, 0, 0
        found.content, found.marks = Content.NOTHING, bytearray(len(found.marks))
        for line in self._lines(block):
            record = self._decode(line)
            if record is None or record.at < found.begin:
                continue
            found.end = max(found.end, record.at)
            match record:
                case Told():
                    if (event := _event(record.frame)) is not None:
                        found.mark(record.at, mark_of(event))
                case Away():
                    found.mark(record.at, Mark.AWAY)
                case Document():
                    found.content |= Content.DOCUMENTS
                case Log():
                    found.content |= Content.LOGS

    def _opening(self) -> Opening:
        line = next(self._lines(self.blocks[0]), b"")
        try:
            version = msgspec.json.decode(line, type=_Version)
        except _NO_RECORD as error:
            raise _no_recording(self.path, "is no recording") from error
        if version.version > VERSION:
            raise QvlError(
                ErrorCode.UNSUPPORTED,
                f"{self.path} was made by a newer qvl: it has version {version.version}, this one reads {VERSION}",
                f"replay it with qvl {version.qvl if version.qvl.isprintable() else '?'} or newer",
            )
        opening = self._decode(line)
        if not isinstance(opening, Opening):
            raise _no_recording(self.path, "is no recording")
        return opening

    def _complete(self) -> bool:
        if self.damage is not None or not self.blocks[-1].whole:
            return False
        return any(isinstance(record, End) for record in self.records(len(self.blocks) - 1, logs=False))

    # --- lines ----------------------------------------------------------------------------------------------------

    def _decode(self, line: bytes) -> Record | None:
        try:
            return self._decoder.decode(line)
        except _NO_RECORD:
            return None

    def _lines(self, block: Block) -> Iterator[bytes]:
        """The complete lines of a block, without their ends, as far as they can be read."""
        inflate = zlib.decompressobj(_GZIP)
        rest = bytearray()
        for piece in self._pieces(block):
            while piece and not inflate.eof:
                try:
                    text = inflate.decompress(piece, _PIECE)
                except zlib.error:
                    return
                piece = inflate.unconsumed_tail
                *lines, tail = text.split(b"\n")
                for line in lines:
                    yield bytes(rest) + line
                    rest.clear()
                rest += tail
                if len(rest) > LONGEST_LINE:
                    return
        for line in inflate.flush().split(b"\n")[:-1]:
            yield bytes(rest) + line
            rest.clear()

    def _pieces(self, block: Block) -> Iterator[bytes]:
        place = block.start
        end = place + block.summary.size if block.whole else self.size
        while place < end:
            try:
                piece = os.pread(self._file, min(_PIECE, end - place), place)
            except OSError:
                return  # what a disk can't give back is as good as cut off
            if not piece:
                return
            place += len(piece)
            yield piece


class _Worker(msgspec.Struct):
    name: str


class _Status(msgspec.Struct):
    workers: list[_Worker]


class _Snapshot(msgspec.Struct):
    """Of a Snapshot frame what is asked here."""

    status: _Status


class _Version(msgspec.Struct, tag="recording"):
    version: int
    qvl: str = ""


def _event(frame: msgspec.Raw) -> dict[str, object] | None:
    """None where the frame is another; what is within a line was not looked at yet, and may be no JSON."""
    try:
        told = msgspec.json.decode(frame)
    except _NO_RECORD:
        return None
    return told if isinstance(told, dict) and told.get("type") == "event" else None


def _no_recording(path: Path, what: str) -> QvlError:
    return QvlError(ErrorCode.BAD_REQUEST, f"{path} {what}", "name a file that `qvlctl record` made")

"""The file of a recording as it grows: lines into blocks, blocks into a file that is readable at any moment.

A block is compressed as it comes and handed to the system at each `flush`, so that a recorder that is killed loses what
came since; once the block is whole, its header is filled in. Nothing but the block's summary is kept in memory.
"""

import os
import stat
import zlib
from pathlib import Path

from qvl.model.error import ErrorCode, QvlError
from qvl.recording.block import LONGEST_MS, Content, Mark, Summary
from qvl.recording.records import Record, encode

LARGEST = 4 << 20
"""Bytes of lines after which a block ends before its minute is over: what a reader inflates to get into it."""
_LEVEL = 6
_RAW_DEFLATE = -15


class Writer:
    """Appends to a new file at `path`, for its owner alone. All methods raise QvlError where it can't be written."""

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self.size = 0
        """Bytes on disk so far."""
        self._summary: Summary | None = None
        self._start = 0
        self._lines = 0
        self._file = _create(path, force=force)

    # --- blocks ---------------------------------------------------------------------------------------------------

    def due(self, at: int) -> bool:
        """Whether the next line belongs into a new block. Times are unix milliseconds, and never go back."""
        return self._summary is None or at - self._summary.begin >= LONGEST_MS or self._lines >= LARGEST

    def begin(self, at: int) -> None:
        """Begin a block; its first lines are to be what a reader needs to start there."""
        self._finish()
        self._summary = Summary(at)
        self._start = self.size
        self._lines, self._crc = 0, 0
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE)
        self._put(self._summary.pack())

    def write(self, record: Record, mark: Mark = Mark.NOTHING, content: Content = Content.NOTHING) -> None:
        assert self._summary is not None, "a line needs a block"
        line = encode(record) + b"\n"
        self._lines += len(line)
        self._crc = zlib.crc32(line, self._crc)
        self._summary.end = max(self._summary.end, record.at)
        self._summary.content |= content
        if mark:
            self._summary.mark(record.at, mark)
        self._put(self._deflate.compress(line))

    def flush(self) -> None:
        """Hand everything written so far to the system."""
        if self._summary is not None:
            self._put(self._deflate.flush(zlib.Z_SYNC_FLUSH))

    def close(self) -> None:
        try:
            self._finish()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave the file as it is: readable up to the last line that fitted."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _finish(self) -> None:
        summary, self._summary = self._summary, None
        if summary is None:
            return
        self._put(self._deflate.flush(zlib.Z_FINISH))
        self._put(self._crc.to_bytes(4, "little") + (self._lines & 0xFFFFFFFF).to_bytes(4, "little"))
        summary.size = self.size - self._start
        self._put(summary.pack(), self._start)

    # --- the file -------------------------------------------------------------------------------------------------

    def _put(self, data: bytes, place: int | None = None) -> None:
        """Write at the end, or over what is at `place`."""
        view = memoryview(data)
        at = self.size if place is None else place
        try:
            while view:
                written = os.pwrite(self._file, view, at)
                at += written
                view = view[written:]
                self.size = max(self.size, at)
        except OSError as error:
            raise QvlError(
                ErrorCode.REFUSED,
                f"{self.path} can't be written any further: {error.strerror}",
                f"what is there can be replayed: qvlctl tui --replay {self.path}" if self.size else "record elsewhere",
            ) from error


def _create(path: Path, *, force: bool) -> int:
    try:
        if force and stat.S_ISREG(os.lstat(path).st_mode):
            os.unlink(path)  # whoever replays the old one goes on doing so
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _refused(path, error) from error
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        what = "is there already" if path.is_file() else "is there already, and is no file that can be replaced"
        hint = "record to another file" + (", or replace it with --force" if path.is_file() else "")
        raise QvlError(ErrorCode.CONFLICT, f"{path} {what}", hint) from error
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> QvlError:
    hint = "name a file in a directory that is there and that you may write to"
    return QvlError(ErrorCode.REFUSED, f"{path} can't be created: {error.strerror}", hint)

"""The worker's log on disk: segments named by absolute offsets, rotation at ends of lines, losses counted.

`{offset:016d}.log` begins with the byte of that absolute offset, and offsets run on across rotations, runs and shims: a
reader needs a number to go on where it stopped, whatever was rotated meanwhile. `current.log` links to the newest.

Writing never raises. A disk that takes no more costs output, which is counted and told in the log itself once there is
room; the pipe is drained all the same, for a worker that blocks on its own output serves nobody. Nothing is synced.
"""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CURRENT = "current.log"
SUFFIX = ".log"
DIGITS = 16
FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
RETRY = 1.0
"""Seconds between two attempts to write again, and between two looks at whether someone moved our files."""

_LINE_ENDS = b"\n\r"


def segment_name(offset: int) -> str:
    """The file that begins with the byte of this absolute offset."""
    return f"{offset:0{DIGITS}d}{SUFFIX}"


def segment_offset(name: str) -> int | None:
    """The absolute offset that a file's name gives; None for a file that is no segment."""
    stem = name.removesuffix(SUFFIX)
    return int(stem) if len(stem) == DIGITS and stem.isdecimal() and stem != name else None


def segment_offsets(directory: str) -> list[int]:
    """Offsets of all segments, oldest first; OSError as it comes."""
    offsets = (segment_offset(name) for name in os.listdir(directory))
    return sorted(offset for offset in offsets if offset is not None)


class LogFile:
    """Appends to the newest segment of one directory. One writer; readers use `logread`."""

    def __init__(self, directory: str, max_size: int, keep: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_size = max_size
        self.keep = keep
        self.lost = 0
        """Bytes that could not be stored since this object was made."""
        self.due: float | None = None
        """When `mend` wants to be called, on the monotonic clock; None while all is well."""
        self._directory = directory
        self._clock = clock
        self._fd = -1
        self._start = 0
        self._size = 0
        self._last = b"\n"
        self._missed = 0
        self._trouble = ""
        self._look_at = 0.0

    @property
    def end(self) -> int:
        """Absolute offset of the next byte."""
        return self._start + self._size

    @property
    def at_line_start(self) -> bool:
        """Whether the next byte begins a line."""
        return self._last in _LINE_ENDS

    def open(self) -> None:
        """Go on, on a new line, after what earlier runs wrote. OSError, unless it is that the disk is full."""
        try:
            self._open_newest()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._note(error)
        self.end_line()

    def write(self, data: bytes) -> None:
        """Append; whatever cannot be stored is counted."""
        if self._missed and not self.mend(self._clock()):
            self._missed += len(data)
            self.lost += len(data)
            return
        done = 0
        try:
            self._look()
            while done < len(data):
                piece = memoryview(data)[done : self._cut(data, done)]
                while piece:
                    count = os.write(self._fd_to_write(), piece)
                    self._last = bytes(piece[count - 1 : count])
                    self._size += count
                    done += count
                    piece = piece[count:]
                if self._size >= self.max_size and (self.at_line_start or self._size >= 2 * self.max_size):
                    self._close()
        except OSError as error:
            self._note(error)
            self._missed += len(data) - done
            self.lost += len(data) - done

    def end_line(self) -> None:
        """Let the next byte begin a line. After a failure `mend` does that."""
        if not self.at_line_start and not self._missed:
            self.write(b"\n")

    def mend(self, now: float, *, force: bool = False) -> bool:
        """After a failure, try to say how much was lost; True if the log takes bytes again."""
        if self.due is None:
            return True
        if now < self.due and not force:
            return False
        line = f"[qvl] {self._missed} bytes of output were lost: {self._trouble}\n" if self._missed else ""
        text = (b"" if self.at_line_start or not line else b"\n") + line.encode()
        try:
            self._look()
            fd = self._fd_to_write()
            count = os.write(fd, text)
            if count < len(text):
                os.ftruncate(fd, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._note(error)
            return False
        self._size += count
        self._last = text[-1:] or self._last
        self._missed = 0
        self.due = None
        return True

    def close(self) -> None:
        """Say what was lost, if that is possible by now, and let go of the file."""
        self.mend(self._clock(), force=True)
        self._close()

    def _note(self, error: OSError) -> None:
        self._trouble = error.strerror or str(error)
        self.due = self._clock() + RETRY

    def _cut(self, data: bytes, begin: int) -> int:
        """How far to write into the present segment: all of `data`, or to the line's end at which it is full."""
        room = self.max_size - self._size
        if len(data) - begin < room:
            return len(data)
        at_least = begin + max(room - 1, 0)
        at = data.find(b"\n", at_least)
        back = data.find(b"\r", at_least, at if at >= 0 else len(data))
        if back >= 0:
            at = back + 1 if data[back + 1 : back + 2] == b"\n" else back
        hard = begin + max(2 * self.max_size - self._size, 1)
        return min(at + 1 if at >= 0 else len(data), hard)

    def _fd_to_write(self) -> int:
        """The descriptor of the present segment; begins a new one after a rotation or where the old one went away."""
        if self._fd < 0:
            self._begin_segment(self.end)
        return self._fd

    def _open_newest(self) -> None:
        _make_directory(self._directory)
        offsets = segment_offsets(self._directory)
        self._start = offsets[-1] if offsets else 0
        self._begin_segment(self._start)

    def _begin_segment(self, offset: int) -> None:
        _make_directory(self._directory)
        name = segment_name(offset)
        path = os.path.join(self._directory, name)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            size = os.fstat(fd).st_size
            last = os.pread(fd, 1, size - 1) if size else self._last
            os.fchmod(fd, FILE_MODE)  # whatever the umask is
        except OSError:
            os.close(fd)
            raise
        self._fd, self._start, self._size, self._last = fd, offset, size, last
        self._link(name)
        self._prune()

    def _link(self, name: str) -> None:
        """Point current.log to the segment. It serves people with `tail`; nothing of ours depends on it."""
        link = os.path.join(self._directory, CURRENT)
        temporary = f"{link}.{os.getpid()}"
        try:
            os.symlink(name, temporary)
            os.replace(temporary, link)
        except OSError:
            return

    def _prune(self) -> None:
        try:
            for offset in segment_offsets(self._directory)[: -self.keep - 1]:
                os.unlink(os.path.join(self._directory, segment_name(offset)))
        except OSError:
            return  # the next rotation tries again

    def _look(self) -> None:
        """Go to a new segment where someone deleted, truncated or moved ours: its offsets would no longer be true."""
        if self._fd < 0:
            return
        status = os.fstat(self._fd)
        if status.st_nlink == 0 or status.st_size < self._size:
            self._close()
            return
        self._size = status.st_size  # a note that someone appended shifts what follows
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + RETRY
        name = segment_name(self._start)
        try:
            if not os.path.samestat(os.stat(os.path.join(self._directory, name)), status):
                self._close()
            elif os.readlink(os.path.join(self._directory, CURRENT)) != name:
                self._link(name)
        except FileNotFoundError:
            self._missing(name)
        except OSError:
            self._link(name)

    def _missing(self, name: str) -> None:
        if os.path.exists(os.path.join(self._directory, name)):
            self._link(name)
        else:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _make_directory(path: str) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, DIRECTORY_MODE)

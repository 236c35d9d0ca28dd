"""The kernel's word for what happens in directories: inotify(7), which Python has no module for.

The numbers are those of <sys/inotify.h>, the same on every architecture but for the two flags, which are O_NONBLOCK and
O_CLOEXEC.
"""

import ctypes
import os
import struct
from types import TracebackType
from typing import Final

_MODIFY: Final = 0x2
_ATTRIB: Final = 0x4
_CLOSE_WRITE: Final = 0x8
_MOVED: Final = 0x40 | 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800
_Q_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x01000000

_COMINGS: Final = _MOVED | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_WRITES: Final = _MODIFY | _ATTRIB | _CLOSE_WRITE

_HEADER: Final = struct.Struct("iIII")
"""Watch, mask, cookie, length of the name with its padding."""

_BUFFER: Final = 65536

Happening = tuple[str | None, str]
"""A directory and the name in it, empty where it is the directory itself; None where the kernel has lost count."""


class Inotify:
    """What happens in some directories. Every method may raise OSError."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")
        self._folders: dict[int, str] = {}

    def fileno(self) -> int:
        return self._fd

    def watch(self, folder: str, *, writes: bool) -> None:
        """Hear of names that come and go in `folder`, and with `writes` of what is written to files in it. Again for a
        folder that was moved and made anew: the watch is of the directory, not of its name."""
        mask = _ONLYDIR | _COMINGS | (_WRITES if writes else 0)
        number = self._checked(self._libc.inotify_add_watch(self._fd, os.fsencode(folder), mask), folder)
        for other in [known for known, path in self._folders.items() if path == folder and known != number]:
            self._remove(other)
        self._folders[number] = folder

    def keep(self, folders: set[str]) -> None:
        """Forget all others."""
        for number in [known for known, path in self._folders.items() if path not in folders]:
            self._remove(number)

    def _remove(self, number: int) -> None:
        del self._folders[number]
        self._libc.inotify_rm_watch(self._fd, number)  # EINVAL: the kernel has removed it already

    def read(self) -> list[Happening]:
        """What has happened since the last time; empty where nothing has."""
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return []
        found: list[Happening] = []
        at = 0
        while at < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size + length
            if mask & _Q_OVERFLOW:
                found.append((None, ""))
            elif (folder := self._folders.get(number)) is not None:
                found.append((folder, os.fsdecode(data[at - length : at].rstrip(b"\0"))))
            if mask & _IGNORED:
                self._folders.pop(number, None)
        return found

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> "Inotify":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _checked(result: int, what: str) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), what)
        return result

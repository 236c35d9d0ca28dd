"""Writes the shim's records, now or as soon as the disk takes them: a full disk must not end a shim or its news."""

from __future__ import annotations

import time

from qvl.shim import wire

RETRY = 1.0
"""Seconds between two attempts to write what the disk refused."""


class Keeper:
    """Holds the newest content of each file that is not on disk yet."""

    def __init__(self) -> None:
        self.due: float | None = None
        """When `retry` wants to be called, on the monotonic clock; None while everything is on disk."""
        self._unsaved: dict[str, tuple[bytes, int]] = {}

    @property
    def busy(self) -> bool:
        """Whether something is not on disk yet."""
        return bool(self._unsaved)

    def save(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Replace a file's content, whatever becomes of an older content that still waits."""
        self._unsaved[path] = (data, mode)
        self._save_all()

    def forget(self, path: str) -> None:
        """Give up one file, if it is not on disk yet."""
        self._unsaved.pop(path, None)

    def drop(self) -> None:
        """Give up what is not on disk yet."""
        self._unsaved.clear()
        self.due = None

    def retry(self, now: float) -> None:
        """Try again, if it is time."""
        if self.due is not None and now >= self.due:
            self._save_all()

    def _save_all(self) -> None:
        self.due = None
        for path, (data, mode) in list(self._unsaved.items()):
            try:
                wire.write_atomic(path, data, mode)
            except FileNotFoundError:
                pass  # the directory was removed: nobody will look there
            except OSError:
                self.due = time.monotonic() + RETRY
                continue
            del self._unsaved[path]

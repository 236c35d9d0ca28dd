"""The past on disk: a file of rows for each step of time, so that a daemon that comes back, or comes back from a crash,
still knows it. A crash loses at most the last `EVERY` seconds.

    history/5.jsonl, 30.jsonl, 120.jsonl    a `Row` a line; appended to, and at KEPT rows renamed to `*.old`

16 workers and 16 cards take at most 10 MB. Nothing here keeps the loop: files are read and written in threads. What
can't be written waits, as much of it as `history.UNWRITTEN` says; a full disk costs rows, never a worker.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from qvl.daemon.history import HistoryRing
from qvl.daemon.tiers import KEPT, STEPS, Row, Tier

log = logging.getLogger(__name__)

EVERY = 30.0
"""Seconds between writes."""

LARGEST = 32 << 20
"""Bytes of a file that are read; ours stay far below, but it may be anything that lies there."""

LAST_WORD = 2.0
"""Seconds that a daemon which goes waits for its last write."""


class HistoryFile:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._rows = [0] * len(STEPS)
        self._torn = [True] * len(STEPS)
        """Whether a file may end within a line, which the next one must not be joined to."""
        self._failing = False
        self._writing = threading.Lock()
        """A write goes on in its thread when who waits for it is cancelled; the last one must not mix with it."""

    async def keep(self, history: HistoryRing) -> None:
        """Give the ring its past, then write down what comes, until cancelled."""
        history.adopt(await asyncio.to_thread(self.load))
        while True:
            await asyncio.sleep(EVERY)
            await self.write(history)

    async def close(self, history: HistoryRing) -> None:
        """Write what is left."""
        history.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD):
                await self.write(history)

    async def write(self, history: HistoryRing) -> None:
        """Append the rows that aren't on disk; those of a write that failed stay where they are."""
        for place, waiting in enumerate(history.unwritten):
            rows = list(waiting)
            if not rows:
                continue
            waiting.clear()
            if not await asyncio.to_thread(self.append, place, rows):
                waiting.extend([*rows, *waiting][-(waiting.maxlen or 0) :])

    def load(self) -> list[Tier]:
        """What the files hold, in the order in which it was written. Lines that are no rows are passed over."""
        tiers = [Tier(step) for step in STEPS]
        decoder = msgspec.json.Decoder(Row)
        for place, tier in enumerate(tiers):
            for path in (self._path(place).with_suffix(".old"), self._path(place)):
                content = b""
                with contextlib.suppress(OSError):
                    content = _end_of(path)
                lines = content.splitlines()
                for line in lines:
                    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                        tier.put(decoder.decode(line))
            self._rows[place] = len(lines)
            self._torn[place] = not content.endswith(b"\n") and bool(content)
        return tiers

    def append(self, place: int, rows: Iterable[Row]) -> bool:
        """Whether they are written."""
        with self._writing:
            return self._append(place, rows)

    def _append(self, place: int, rows: Iterable[Row]) -> bool:
        lines = [msgspec.json.encode(row) + b"\n" for row in rows]
        path = self._path(place)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            if self._rows[place] >= KEPT:
                path.replace(path.with_suffix(".old"))
                self._rows[place], self._torn[place] = 0, False
            with open(path, "ab", opener=_private) as file:
                start, self._torn[place] = b"\n" if self._torn[place] else b"", True
                file.write(start + b"".join(lines))
        except OSError as error:
            if not self._failing:
                log.warning("the history can't be written to %s: %s", path, error.strerror)
            self._failing = True
            return False
        self._failing, self._torn[place] = False, False
        self._rows[place] += len(lines)
        return True

    def _path(self, place: int) -> Path:
        return self._directory / f"{STEPS[place]}.jsonl"


def _end_of(path: Path) -> bytes:
    """The last `LARGEST` bytes."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LARGEST))
        return file.read(LARGEST)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)

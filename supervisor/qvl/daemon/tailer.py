"""Follows a worker's log while it starts and tells its steps. The daemon is not in the way of a byte: what a shim has
written stays written, and a flood is skipped, never waited for."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from qvl.core.landmarks import Sighting, read_line, shows_work
from qvl.shim import logread

PERIOD = 0.1
"""Seconds between looks."""

BATCH = 256 * 1024
"""Bytes read in one look; classification of this much takes some 10 ms."""

BACKLOG = 8 * 1024 * 1024
"""What lies further back than this is skipped: the newest lines say where a start is."""


async def follow_start(log_dir: Path, offset: int, seen: Callable[[Sighting | None], None]) -> None:
    """Call `seen` with each sighting from `offset` on, and with None when there was output that says nothing. Runs
    until cancelled, or until the engine says that it is ready."""
    rest = b""
    while True:
        end = logread.end(log_dir)
        if end - offset > BACKLOG:
            offset, rest = end - BATCH, b""
        first, data = logread.read_at(log_dir, offset, BATCH)
        if first != offset:
            rest = b""
        offset = first + len(data)
        if not data:
            await asyncio.sleep(PERIOD)
            continue
        *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
        rest = rest[-4096:]
        newest: Sighting | None = None
        for line in lines:
            sighting = read_line(line[:2000].decode(errors="replace"))
            if sighting is not None:
                newest = sighting
                seen(sighting)
                if sighting.ready:
                    return
        # Half a line is a bar that grows; what only echoes our own questions is no progress.
        if newest is None and (not lines or any(shows_work(line[:2000].decode(errors="replace")) for line in lines)):
            seen(None)
        await asyncio.sleep(0 if len(data) == BATCH else PERIOD)


def last_lines(log_dir: Path, since: int, limit: int = 256 * 1024) -> list[str]:
    """The last lines of a run that began at `since`, at most `limit` bytes of them."""
    end = logread.end(log_dir)
    first, data = logread.read_at(log_dir, max(since, end - limit), limit)
    lines = data.replace(b"\r", b"\n").split(b"\n")
    if first > since:
        lines = lines[1:]
    return [line.decode(errors="replace") for line in lines if line.strip()]


class Pulse:
    """Whether a running worker's log shows signs of work since the last look."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._offset = logread.end(log_dir)

    def beat(self) -> bool:
        end = logread.end(self._log_dir)
        if end <= self._offset:
            return False
        try:
            first, data = logread.read_at(self._log_dir, max(self._offset, end - BATCH), BATCH)
        except OSError:  # it can't be read: then it shows nothing
            return False
        self._offset = first + len(data)
        lines = data.replace(b"\r", b"\n").split(b"\n")
        return any(shows_work(line[:2000].decode(errors="replace")) for line in lines)

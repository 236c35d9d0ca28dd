"""The last lines of a worker's log, as they come. The whole log is the log screen's; here it is only seen to move."""

import asyncio
from collections.abc import Callable

from qvl.model.error import ErrorCode, QvlError

from qvl_tui.link import Link, delays
from qvl_tui.logbuffer import LogBuffer, LogLine

KEPT = 60
"""Lines that any terminal may have room for."""
_ENOUGH = 64 * 1024
"""Bytes of a piece that are looked through."""


class LogTail:
    def __init__(self, link: Link, worker: str, first: Callable[[], None]) -> None:
        """`first` is called once there is something to see; what follows is looked at when it is time."""
        self._link = link
        self._first = first
        self._worker = worker
        self._buffer = LogBuffer(KEPT)
        self._place: int | None = None
        self.told = ""
        """Why there is none, where the daemon refuses."""

    def look(self) -> tuple[LogLine, ...]:
        return tuple(self._buffer.lines)

    async def follow(self) -> None:
        """Read for ever; ends only by cancellation."""
        waits = delays()
        while True:
            try:
                async for chunk in self._link.log(self._worker, lines=KEPT, since=self._place):
                    self._place = chunk.offset + len(chunk.data)
                    empty = not self._buffer.lines
                    # More than can be seen is not worth to be looked through.
                    self._buffer.feed(chunk.data[-_ENOUGH:])
                    self.told, waits = "", delays()
                    if empty and self._buffer.lines:
                        self._first()
                    await asyncio.sleep(0)
            except QvlError as error:
                if error.code is not ErrorCode.UNREACHABLE:
                    self.told = error.message
            await asyncio.sleep(next(waits))

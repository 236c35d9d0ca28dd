"""A search through a recorded log, and the process in which it runs: a pattern that never ends would hold everything
that the interface does, its end included. The order comes by stdin, answers go to stdout, a JSON object a line."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import msgspec
from qvl.model.error import ErrorCode, QvlError
from qvl.model.log import LogEnd, LogFound, LogProgress, LogSearch
from qvl.recording.records import Log
from qvl.recording.search import search
from qvl.search.limits import TOO_COSTLY, TOO_LARGE, TooCostly, allow_more, confine

from qvl_tui.replay.shelf import Shelf
from qvl_tui.replay.tape import Tape

LONGEST = 1 << 20
"""Bytes of an answer; a match is told up to 8 KiB."""
_REFUSED = "refused"
"""The reason of an end where the pattern can't be used."""
_ANSWER = msgspec.json.Decoder(LogFound)


class Order(msgspec.Struct, frozen=True):
    """[begin, end) of the log of `worker`, as of the moment `at` (unix milliseconds)."""

    path: str
    worker: str
    at: int
    begin: int
    end: int
    search: LogSearch


async def answers(order: Order) -> AsyncGenerator[LogFound, None]:
    """Raises QvlError where the pattern can't be used. To be closed by who doesn't want all of it: that ends the
    process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-W", "ignore", "-m", __name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LONGEST,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(order))
        process.stdin.close()
        async for line in process.stdout:
            found = _ANSWER.decode(line)
            if isinstance(found, LogEnd) and found.reason == _REFUSED:
                message = f'"{order.search.pattern}" is no regular expression: {found.message}'
                raise QvlError(ErrorCode.BAD_REQUEST, message, "a backslash before a sign takes it as it is")
            yield found
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class _Paced(Tape):
    """To find a place may take many blocks; that is no fault of the pattern."""

    def logs(self, index: int) -> list[Log]:
        allow_more()
        return super().logs(index)


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    confine()
    shelf = Shelf(_Paced(Path(order.path)))

    def read(since: int, limit: int) -> tuple[int, bytes]:
        allow_more()  # what was read before has been looked through
        return shelf.page(order.worker, since, limit, order.at)

    at, found = order.begin, 0
    try:
        allow_more()
        for each in search(read, order.begin, order.end, order.search):
            if isinstance(each, LogProgress):
                at, found = each.at, each.matches
            _write(each)
    except TooCostly:
        _write(LogEnd("limit", at, found, TOO_COSTLY))
    except MemoryError:
        _write(LogEnd("limit", at, found, TOO_LARGE))
    except (re.error, RecursionError, OverflowError) as error:
        _write(LogEnd(_REFUSED, at, found, str(error) or "it is too large"))


def _write(found: LogFound) -> None:
    data = memoryview(msgspec.json.encode(found) + b"\n")
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()

"""The process of one search: its order comes by stdin, what it finds goes to stdout, a JSON object a line.

The first line says that it began, or that the pattern is none. It limits itself (`limits`).
"""

import os
import re
import sys
import time

import msgspec

from qvl.model.log import LogEnd, LogFound, LogProgress, LogSearch
from qvl.search import blocks
from qvl.search.limits import TOO_COSTLY, TOO_LARGE, TooCostly, allow_more, confine
from qvl.search.scan import Scanner
from qvl.shim import logread

PACE = 0.25
"""Seconds between two signs of life."""
REFUSED = "refused"
"""The reason of an end that comes before any beginning: the pattern can't be used."""


class Order(msgspec.Struct, frozen=True):
    directory: str
    search: LogSearch


def main() -> None:
    confine()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    search = order.search
    until = logread.end(order.directory)
    at = min(search.since or 0, until) if search.before is None else min(search.before, until)
    try:
        allow_more()
        scanner = Scanner(search, between=allow_more)
    except TooCostly:
        _write(LogEnd(REFUSED, at, 0, "it is too large"))
        return
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        _write(LogEnd(REFUSED, at, 0, str(error) or "it is too large"))
        return
    _write(LogProgress(at, 0))
    _write(_look(order.directory, search, scanner, at, until))


def _look(directory: str, search: LogSearch, scanner: Scanner, at: int, until: int) -> LogEnd:
    """Search, and say how it ended."""
    found, told = 0, time.monotonic()
    back = search.before is not None
    try:
        for block in blocks.backwards(directory, at) if back else blocks.forwards(directory, at, until):
            allow_more()
            for match in scanner.met(block, search.count - found, back=back):
                _write(match)
                found += 1
                at = match.offset if back else match.offset + match.size
            if found >= search.count:
                return LogEnd("count", at, found)
            at = block[0] if back else block[0] + len(block[1])
            if time.monotonic() - told > PACE:
                told = time.monotonic()
                _write(LogProgress(at, found))
    except TooCostly:
        return LogEnd("limit", at, found, TOO_COSTLY)
    except MemoryError:
        return LogEnd("limit", at, found, TOO_LARGE)
    return LogEnd("exhausted", at, found)


def _write(found: LogFound) -> None:
    """At once: a match that waits in a buffer is one that people wait for."""
    data = memoryview(msgspec.json.encode(found) + b"\n")
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()

"""The process of one search: its order comes by stdin, what it finds goes to stdout, a JSON object a line.

The first line says that it began, or that the pattern is none. It limits itself: memory, the processor time of one
block (that of one line, for a pattern that never ends) and of the whole search. It writes nothing but that.
"""

import os
import re
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice

import msgspec

from qvl.model.log import LogEnd, LogFound, LogMatch, LogProgress, LogSearch
from qvl.search import blocks
from qvl.search.scan import Scanner
from qvl.shim import logread

BLOCK_SECONDS = 3
"""Of processor time, for a block or `STRETCH` lines of it; that usually takes some milliseconds."""
ALL_SECONDS = 240
MEMORY = 512 * 1024 * 1024
PACE = 0.25
"""Seconds between two signs of life."""
REFUSED = "refused"
"""The reason of an end that comes before any beginning: the pattern can't be used."""


class Order(msgspec.Struct, frozen=True):
    directory: str
    search: LogSearch


class _TooCostly(Exception):
    pass


def main() -> None:
    _confine()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    search = order.search
    until = logread.end(order.directory)
    at = min(search.since or 0, until) if search.before is None else min(search.before, until)
    try:
        _allow_more()
        scanner = Scanner(search, between=_allow_more)
    except _TooCostly:
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
            _allow_more()
            matches: Iterator[LogMatch] = scanner.matches(block)
            # Backwards, those that would be too many go as they come: a block may hold half a million.
            nearest = reversed(deque(matches, search.count - found)) if back else matches
            for match in islice(nearest, search.count - found):
                _write(match)
                found += 1
                at = match.offset if back else match.offset + match.size
            if found >= search.count:
                return LogEnd("count", at, found)
            at = block[0] if back else block[0] + len(block[1])
            if time.monotonic() - told > PACE:
                told = time.monotonic()
                _write(LogProgress(at, found))
    except _TooCostly:
        return LogEnd("limit", at, found, "the pattern takes too long on a line; make it simpler, or anchor it")
    except MemoryError:
        return LogEnd("limit", at, found, "the pattern takes too much memory; make it simpler")
    return LogEnd("exhausted", at, found)


def _confine() -> None:
    """Workers come first, and nothing that a pattern does may cost the host much."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # `re` looks for signals while it works, so that the handler's exception gets it out of any line.
    signal.signal(signal.SIGXCPU, _stop)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _stop(number: int, frame: object) -> None:
    raise _TooCostly


def _allow_more() -> None:
    used = int(time.process_time()) + 1
    if used >= ALL_SECONDS:
        raise _TooCostly
    resource.setrlimit(resource.RLIMIT_CPU, (used + BLOCK_SECONDS, ALL_SECONDS + BLOCK_SECONDS + 2))


def _write(found: LogFound) -> None:
    """At once: a match that waits in a buffer is one that people wait for."""
    data = memoryview(msgspec.json.encode(found) + b"\n")
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()

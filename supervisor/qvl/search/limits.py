"""What the process of a search allows itself, since a pattern may never end: memory, the processor time of one block
(that of one line, for such a pattern) and of the whole search."""

import os
import resource
import signal
import time

BLOCK_SECONDS = 3
"""Of processor time, for a block or some of its lines; that usually takes some milliseconds."""
ALL_SECONDS = 240
MEMORY = 512 * 1024 * 1024
TOO_COSTLY = "the pattern takes too long on a line; make it simpler, or anchor it"
TOO_LARGE = "the pattern takes too much memory; make it simpler"


class TooCostly(Exception):
    pass


def confine() -> None:
    """Workers come first, and nothing that a pattern does may cost the host much."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # `re` looks for signals while it works, so that the handler's exception gets it out of any line.
    signal.signal(signal.SIGXCPU, _stop)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _stop(number: int, frame: object) -> None:
    raise TooCostly


def allow_more() -> None:
    """Time for another block. Raises TooCostly once the whole search has had its own."""
    used = int(time.process_time()) + 1
    if used >= ALL_SECONDS:
        raise TooCostly
    resource.setrlimit(resource.RLIMIT_CPU, (used + BLOCK_SECONDS, ALL_SECONDS + BLOCK_SECONDS + 2))

"""The end from outside: a signal, or a terminal that is gone. The terminal is left as it was found where there still is
one; where nobody reads what is written any more, the process doesn't stay for that."""

import asyncio
import os
import signal
import sys
import termios
import threading
from collections.abc import Callable
from types import FrameType

PATIENCE = 5.0
"""Seconds to leave in good order. A terminal that takes nothing in blocks the loop in its next write, for ever."""
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Calls `leave` on the loop once a signal asks for the end."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._timer: threading.Timer | None = None
        # Not the loop's own handlers: they would wait for a loop that is stuck.
        self._before = {number: signal.signal(number, self._asked) for number in _SIGNALS}

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self._timer is None:
            self._timer = threading.Timer(PATIENCE, os._exit, (128 + number,))
            self._timer.daemon = True
            self._timer.start()
        self._loop.call_soon_threadsafe(self._leave)

    def done(self) -> None:
        """The interface has ended; what comes after it has the signals again, and all the time it needs."""
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)


def terminal_is_gone() -> bool:
    """Whether the terminal that we read from has been hung up. No signal tells that to who was started to ignore it."""
    try:
        termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)
    except (termios.error, OSError, ValueError):
        return True
    return False

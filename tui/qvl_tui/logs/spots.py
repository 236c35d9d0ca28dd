"""Where a pattern matches in a line that is shown, within a bound of time.

An expression can be written that never ends, and Python would not let go of it. `re` looks for signals while it works:
a timer of processor time gets it out, and nothing is marked in that line.
"""

import re
import signal
import threading
from collections.abc import Sequence
from types import FrameType

SECONDS = 0.02
"""For one line; usual ones take microseconds."""
PATIENCE = 3
"""Lines after which nothing is marked any more."""
_MOST = 200


class _TooLong(Exception):
    pass


class Spots:
    def __init__(self, pattern: str, *, ignore_case: bool) -> None:
        """Raises re.error for what is no pattern."""
        self._pattern = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
        self._slow = 0

    def __call__(self, text: str) -> Sequence[tuple[int, int]]:
        """(start, end) of each match, in order; empty ones are left out."""
        if self._slow >= PATIENCE:
            return ()
        if threading.current_thread() is not threading.main_thread():
            return self._find(text)  # signals come to the main thread alone
        before = signal.signal(signal.SIGVTALRM, _stop)
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            try:
                return self._find(text)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        except _TooLong:
            self._slow += 1
            return ()
        finally:
            signal.signal(signal.SIGVTALRM, before)

    def _find(self, text: str) -> Sequence[tuple[int, int]]:
        found = []
        for match in self._pattern.finditer(text):
            if match.end() > match.start():
                found.append(match.span())
            if len(found) >= _MOST:
                break
        return found


def _stop(number: int, frame: FrameType | None) -> None:
    raise _TooLong

"""The last lines of a log, as they come: for a picture of its end. Whoever reads a log uses `qvl_tui.logs`."""

from collections import deque
from typing import NamedTuple

from qvl_tui.logs.lines import Entry, Level, Tail

__all__ = ["Level", "LogBuffer", "LogLine"]

KEPT = 5_000


class LogLine(NamedTuple):
    text: str
    level: Level = Level.PLAIN


class LogBuffer:
    def __init__(self, kept: int = KEPT) -> None:
        self.lines: deque[LogLine] = deque(maxlen=kept)
        self._tail = Tail(0)
        self._shown_open = False

    def feed(self, data: bytes) -> None:
        if self._shown_open:
            self.lines.pop()
        self.lines.extend(map(_line, self._tail.take(data)))
        last = self._tail.open
        self._shown_open = last is not None
        if last is not None:
            self.lines.append(_line(last))


def _line(entry: Entry) -> LogLine:
    return LogLine(entry.text, entry.level)

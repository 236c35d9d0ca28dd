"""A worker's output as lines that are safe to show: bounded, with progress bars in place and control characters tamed.

Bytes come in as they are written, in any pieces; the same bytes give the same lines however they were cut. The
complete log lies on the daemon's disk: what is dropped here is only out of sight.
"""

import codecs
import re
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from qvl_tui.paint import UNSAFE

KEPT = 5_000
LONGEST = 4_000
"""Characters of a line that are kept."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_=>]|$)")
_CONTROLS = dict.fromkeys(UNSAFE, "·")
_ERROR = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL|Traceback|Segmentation fault|out of memory|OutOfMemoryError)\b"
    r"|\b\w*(?:Error|Exception)(?::|$)"
)
_WARNING = re.compile(r"\bWARN(?:ING)?\b|\w*Warning:")


class Level(StrEnum):
    PLAIN = "plain"
    WARNING = "warning"
    ERROR = "error"
    NOTE = "note"
    """Our own word between the worker's lines."""


@dataclass(frozen=True, slots=True)
class LogLine:
    text: str
    level: Level = Level.PLAIN


class LogBuffer:
    def __init__(self, kept: int = KEPT) -> None:
        self.lines: deque[LogLine] = deque(maxlen=kept)
        self.dropped = 0
        """Lines that went out at the top; line `n` of all that were seen is `lines[n - dropped]`."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""
        """The last line, as long as no newline ended it: raw, since what follows may overwrite it."""
        self._shown_open = False

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def seen(self) -> int:
        """Lines so far, dropped ones included."""
        return self.dropped + len(self.lines)

    def feed(self, data: bytes) -> None:
        *done, self._open = (self._open + self._decoder.decode(data)).split("\n")
        if done or self._open:
            self._retract()
        for raw in done:
            self._append(line(raw))
        if len(self._open) > 16 * LONGEST:
            # Without an end in sight only the part that can still be seen is worth keeping.
            self._open = self._open.rpartition("\r")[2][:LONGEST]
        if self._open:
            self._append(line(self._open))
            self._shown_open = True

    def note(self, text: str) -> None:
        """A word of ours, on a line of its own; an unfinished line before it stays as it is."""
        self._open, self._shown_open = "", False
        self._append(LogLine(text, Level.NOTE))

    def find(self, level: Level, start: int, step: int) -> int | None:
        """The next index from `start` (excluded) in direction `step` whose line has this level."""
        place = start + step
        while 0 <= place < len(self.lines):
            if self.lines[place].level is level:
                return place
            place += step
        return None

    def _retract(self) -> None:
        if self._shown_open:
            self.lines.pop()
            self._shown_open = False

    def _append(self, new: LogLine) -> None:
        if len(self.lines) == self.lines.maxlen:
            self.dropped += 1
        self.lines.append(new)


def line(raw: str) -> LogLine:
    """One raw line as it would stand on a terminal in the end: after a carriage return the newer text wins."""
    text = raw.rstrip("\r")
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part), "")
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    text = _ESCAPES.sub("", text).expandtabs(4).translate(_CONTROLS)
    level = Level.ERROR if _ERROR.search(text) else Level.WARNING if _WARNING.search(text) else Level.PLAIN
    return LogLine(text, level)

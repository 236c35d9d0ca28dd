"""From the worker's two pipes to its one log: secrets taken out, the streams joined at ends of lines only.

Bytes are stored as they came, carriage returns and broken UTF-8 included. The one thing added is a newline where a
stream must interrupt the other's unfinished line. The bulk never goes through Python line by line.
"""

from __future__ import annotations

from qvl.shim.redact import Redactor, redact_named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.shim.logfile import LogFile

QUIET = 0.5
"""Seconds without a byte after which an unfinished line is shown: a prompt, or the last word before a hang."""
LONGEST_WAIT = 64 * 1024
"""Bytes of an unfinished line that are kept back at most."""


class Stream:
    """One pipe's bytes on their way into the log."""

    def __init__(self, output: Output, secrets: list[str]) -> None:
        self.due: float | None = None
        """When `settle` wants to be called, on the monotonic clock."""
        self._output = output
        self._redactor = Redactor(secrets)
        self._part = b""

    def feed(self, data: bytes, now: float) -> None:
        """Store the finished lines, keep the unfinished one for a moment."""
        data = self._redactor.feed(data)
        newline = data.rfind(b"\n")
        end = max(newline, data.rfind(b"\r", newline + 1)) + 1
        if end:
            self._output.write(self, redact_named(self._part + data[:end]))
            self._part = data[end:]
        else:
            self._part += data
        if len(self._part) > LONGEST_WAIT:
            self._flush()
        self.due = now + QUIET if self._part else None

    def settle(self, now: float) -> None:
        """Show an unfinished line that has been left alone for long enough."""
        if self.due is not None and now >= self.due:
            self._flush()
            self.due = None

    def finish(self) -> None:
        """No byte follows: store all that is left."""
        self._part += self._redactor.finish()
        self._flush()
        self.due = None

    def _flush(self) -> None:
        if self._part:
            self._output.write(self, redact_named(self._part))
            self._part = b""


class Output:
    """Where the streams meet."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._last: Stream | None = None

    def write(self, stream: Stream, data: bytes) -> None:
        """Append a stream's bytes; another stream's open line ends first."""
        if self._last is not stream:
            self._log.end_line()
        self._last = stream
        self._log.write(data)

"""A terminal to measure programs in: a pty whose output is read, timed and counted, and understood only afterwards, so
that the understanding takes nothing from the cores while a figure is taken.

It answers what programs ask of a terminal as one of today's does, synchronized output included.
"""

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import pyte

from benchmarks.lab import BenchmarkError

WIDTH, HEIGHT = 120, 40
QUIET = 0.25
"""Seconds without a byte after which a picture counts as complete."""
_PREPARED = 500
"""Bytes that a program may write to prepare the terminal, before it draws."""
_ANSWERS = (
    (rb"\x1b\[\?2026\$p", b"\x1b[?2026;2$y"),
    (rb"\x1b\[\?(\d+)\$p", b"\x1b[?%b;0$y"),
)
_UNKNOWN = re.compile(rb"\x1b\[[<>=?][\d;]*(?:\$p|u|q)")
"""What pyte does not know to leave out."""

Rows = Sequence[str]


class Terminal:
    """One program on a terminal of 120×40, from entering to leaving, which hangs up."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.command = command
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._heard: list[tuple[float, bytes]] = []
        self._understood = 0
        self._news = threading.Condition()
        self._screen = pyte.Screen(WIDTH, HEIGHT)
        self._stream = pyte.ByteStream(self._screen)
        usual = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**usual, **(environment or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the program has closed its side
            while data := os.read(self._master, 65536):
                now = time.monotonic()
                with self._news:
                    self._heard.append((now, data))
                    self._news.notify_all()
                for asked, answer in _ANSWERS:
                    for found in re.finditer(asked, data):
                        os.write(self._master, answer % found.groups() if found.groups() else answer)
                    data = re.sub(asked, b"", data)

    # --- what is written ------------------------------------------------------------------------------------------

    @property
    def written(self) -> int:
        """Bytes since the start."""
        with self._news:
            return sum(len(data) for _, data in self._heard)

    @property
    def last(self) -> float:
        """When it last wrote something."""
        with self._news:
            return self._heard[-1][0]

    def press(self, key: str) -> float:
        """Type it; when that was."""
        self.skip()
        at = time.monotonic()
        os.write(self._master, key.encode())
        return at

    def skip(self) -> None:
        """What `answered` and `seen_at` look for comes after what was written until now."""
        self.rows()

    def calm(self, quiet: float = QUIET, timeout: float = 20.0) -> None:
        """Wait until it has drawn something, and then written nothing for `quiet` seconds."""
        until = time.monotonic() + timeout
        with self._news:
            while (now := time.monotonic()) < until:
                drawn = sum(len(data) for _, data in self._heard) >= _PREPARED
                if drawn and now - self._heard[-1][0] >= quiet:
                    return
                self._news.wait(min(quiet, until - now))
        raise BenchmarkError(f"{self.command[0]} does not come to rest within {timeout:g} s")

    def answered(self, timeout: float = 5.0) -> float:
        """When the first byte came that is not understood yet."""
        with self._news:
            if not self._news.wait_for(lambda: len(self._heard) > self._understood, timeout):
                raise BenchmarkError(f"{self.command[0]} wrote nothing within {timeout:g} s")
            return self._heard[self._understood][0]

    # --- what it looks like ---------------------------------------------------------------------------------------

    def rows(self) -> Rows:
        """The screen as of now."""
        with self._news:
            new = self._heard[self._understood :]
        for _, data in new:
            self._take(data)
        return list(self._screen.display)

    def seen_at(self, predicate: Callable[[Rows], bool], what: str, timeout: float = 20.0) -> float:
        """When the screen first satisfied `predicate`, of what is not understood yet."""
        until = time.monotonic() + timeout
        while True:
            with self._news:
                left = max(until - time.monotonic(), 0.0)
                if not self._news.wait_for(lambda: len(self._heard) > self._understood, left):
                    shown = "\n".join(row.rstrip() for row in self._screen.display)
                    raise BenchmarkError(f"{self.command[0]} does not show {what} within {timeout:g} s:\n{shown}")
                at, data = self._heard[self._understood]
            self._take(data)
            if predicate(self._screen.display):
                return at

    def _take(self, data: bytes) -> None:
        self._understood += 1
        self._stream.feed(_UNKNOWN.sub(b"", data))

    # --- the end --------------------------------------------------------------------------------------------------

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(5)
        os.close(self._master)

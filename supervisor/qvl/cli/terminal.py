"""What the output may look like: colour, width, and one line of progress that is rewritten in place."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

Paint = Callable[[str, str], str]
"""(text, style) -> text; the style is a key of STYLES or empty."""

STYLES = {
    "bold": "\033[1m",
    "dim": "\033[2m",
    "good": "\033[32m",
    "busy": "\033[36m",
    "warn": "\033[33m",
    "bad": "\033[1;31m",
}
_RESET = "\033[0m"
NARROWEST = 60
"""Columns below which tables are not squeezed any further."""


def plain(text: str, style: str) -> str:
    return text


def colourful(text: str, style: str) -> str:
    return f"{STYLES[style]}{text}{_RESET}" if style and text else text


def painter(stream: TextIO, *, allowed: bool) -> Paint:
    """Colour only on a terminal that knows it, and never against NO_COLOR (https://no-color.org)."""
    capable = stream.isatty() and os.environ.get("TERM", "") != "dumb"
    return colourful if allowed and capable and not os.environ.get("NO_COLOR") else plain


def width(stream: TextIO) -> int:
    """Columns of the terminal; COLUMNS goes before it, and 80 stands for what is none."""
    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        try:
            columns = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):
            columns = 80
    return max(NARROWEST, columns) if columns > 0 else 80


class ProgressLine:
    """Progress on stderr: one line rewritten in place on a terminal, else a line for each new fact."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM", "") != "dumb"
        self._shown = ""

    @property
    def live(self) -> bool:
        return self._live

    def show(self, line: str) -> None:
        """The state of things; only a terminal shows it."""
        if self._live and line != self._shown:
            line = line[: width(self._stream) - 1]
            self._stream.write(f"\r\033[K{line}")
            self._stream.flush()
            self._shown = line

    def say(self, line: str) -> None:
        """A fact that stays."""
        self.clear()
        self._stream.write(line + "\n")
        self._stream.flush()

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
            self._shown = ""

"""Which lines of a log `--grep` and `--level` let through. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from qvl.model.loglines import INFO, begins_record, level_of


class Filter:
    """Which lines to show. A record's level holds for the lines that go on with it, and a traceback raises it."""

    def __init__(self, *, grep: re.Pattern[bytes] | None = None, level: int = INFO) -> None:
        self._grep = grep
        self._least = level
        self._level = INFO

    @property
    def open(self) -> bool:
        """Everything passes."""
        return self._grep is None and self._least == INFO

    def keeps(self, line: bytes) -> bool:
        self._level = level_of(line) if begins_record(line) else max(self._level, level_of(line))
        return self._level >= self._least and (self._grep is None or self._grep.search(line) is not None)

    def kept(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        return (line for line in lines if self.keeps(line))


def first_record(lines: list[bytes]) -> int:
    """The index of the first line that begins a record; 0 where none does."""
    return next((at for at, line in enumerate(lines) if begins_record(line)), 0)

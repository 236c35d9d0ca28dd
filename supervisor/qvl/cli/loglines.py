"""Lines of an engine's log, told apart by how bad they are. Pure.

SGLang writes `[2026-01-31 12:00:00 TP0] message` without a level, uvicorn `[…] INFO:     message` with one, and
tracebacks go on without a prefix: they belong to the record before them. Line shapes as of SGLang 0.5.9 to 0.5.23.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

INFO, WARNING, ERROR = 0, 1, 2
LEVELS = {"info": INFO, "warning": WARNING, "error": ERROR}

RECORD = re.compile(rb"\[\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[^\]]*\] ?|(?=(?:DEBUG|INFO|WARNING|ERROR|CRITICAL): )")
_NAMED = re.compile(rb"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_NAMES = {b"WARNING": WARNING, b"ERROR": ERROR, b"CRITICAL": ERROR}
_ERRORS = re.compile(
    rb"Traceback \(most recent call last\)|\b[A-Z]\w*(?:Error|Exception)\b|hit an exception|SIGQUIT"
    rb"|(?i:\b(?:error|fatal|out of memory|watchdog timeout|core dumped)\b|crashed with exit code)"
)
_WARNINGS = re.compile(rb"\b\w*Warning:|(?i:\bwarn(?:ing)?\b|\bdeprecated\b)")
_DUMP = b"server_args="
"""Begins the line with all arguments, whose names would match anything."""


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


def begins_record(line: bytes) -> bool:
    return RECORD.match(line) is not None


def level_of(line: bytes) -> int:
    """Of the line by itself."""
    prefix = RECORD.match(line)
    message = line[prefix.end() :] if prefix else line
    named = _NAMED.match(message)
    if named:
        return _NAMES.get(named[1], INFO)
    if message.startswith(_DUMP):
        return INFO
    if _ERRORS.search(message):
        return ERROR
    return WARNING if _WARNINGS.search(message) else INFO


def first_record(lines: list[bytes]) -> int:
    """The index of the first line that begins a record; 0 where none does."""
    return next((at for at, line in enumerate(lines) if begins_record(line)), 0)

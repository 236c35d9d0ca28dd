"""Lines of an engine's log, told apart by how bad they are: what `level` means to the daemon and to its clients. Pure.

SGLang writes `[2026-01-31 12:00:00 TP0] message` without a level, uvicorn `[…] INFO:     message` with one, and
tracebacks go on without a prefix: they belong to the record before them. Line shapes as of SGLang 0.5.9 to 0.5.23.
"""

from __future__ import annotations

import re

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

SUSPECTS = {
    ERROR: (
        b"traceback",
        b"error",
        b"exception",
        b"sigquit",
        b"fatal",
        b"critical",
        b"out of memory",
        b"watchdog timeout",
        b"core dumped",
        b"crashed with exit code",
    ),
    WARNING: (b"warn", b"deprecated"),
}
"""In lower case, what a line of each level holds one of. To look for these bytes is far cheaper than `level_of`."""


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

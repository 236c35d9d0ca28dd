"""What the API tells of a worker's log beside its bytes: how far it reaches, and what a search finds in it."""

import msgspec


class LogRun(msgspec.Struct, frozen=True):
    """One start of the worker, by the place in its log at which its output begins."""

    generation: int
    offset: int
    """Absolute; it may have been rotated away."""
    at: float | None = None
    """Unix seconds."""


class LogExtent(msgspec.Struct, frozen=True):
    """What there is to read: bytes [begin, end), by absolute offset."""

    begin: int
    end: int
    runs: tuple[LogRun, ...] = ()
    """Oldest first; one that begins before `begin` has lost its first lines."""


class LogMatch(msgspec.Struct, frozen=True, tag="match", tag_field="type"):
    """A line that was looked for or, where only a level was asked for, a record."""

    offset: int
    """Absolute, of its first byte."""
    size: int
    """Bytes, the last newline included."""
    text: str
    """Cut to a bound. A record's lines are parted by newlines."""
    level: str
    """`info`, `warning` or `error`, of the record."""
    record: int
    """Offset of the first line of the record to which it belongs; its own if it begins one."""
    head: str = ""
    """How the record's first line begins, where that is another line."""


class LogProgress(msgspec.Struct, frozen=True, tag="progress", tag_field="type"):
    """A sign of life of a search that takes its time: it has looked at everything up to `at`."""

    at: int
    matches: int


class LogEnd(msgspec.Struct, frozen=True, tag="end", tag_field="type"):
    """The last word of a search."""

    reason: str
    """`exhausted`: nothing is left in this direction; `count`: so many were asked for; `limit`: it cost too much."""
    at: int
    """Where to go on: as `since` or as `before`, whichever was asked with."""
    matches: int
    message: str = ""
    """For `limit`, a sentence."""


LogFound = LogMatch | LogProgress | LogEnd


class LogSearch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to look for, and where: from `since` to the end, or from `before` back to the beginning."""

    pattern: str = ""
    """A regular expression of Python's `re`, for one line at a time; empty: any line of `level`."""
    level: str = "info"
    """Only in records this bad or worse."""
    since: int | None = None
    before: int | None = None
    count: int = 100
    ignore_case: bool = False

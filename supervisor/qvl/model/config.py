"""The configuration as people read it: its files, what is wrong with them and where, and what they would change."""

import msgspec

from qvl.model.plan import Plan
from qvl.model.status import ConfigStatus


class ConfigFault(msgspec.Struct, frozen=True):
    """One thing that is wrong, or worth a warning."""

    file: str
    line: int
    """From 1; 0 where the file as a whole is meant."""
    key: str
    """Dotted path, empty where the file as a whole is meant."""
    message: str
    nearest: str = ""
    """How to write it, or what to do."""


class ConfigFile(msgspec.Struct, frozen=True):
    path: str
    text: str | None
    """Without what is secret in it: `[redacted]` stands there, on the same line. None where there is none to show."""
    problem: str | None = None
    """Why there is no text, or why it isn't quite the file's."""
    redacted: int = 0
    """How many places are hidden."""


class ConfigView(msgspec.Struct, frozen=True):
    """Answer of GET /v1/config. Everything but `status` is of the files as they were when it was asked for."""

    status: ConfigStatus
    """What runs, and why, where that isn't what the files say."""
    revision: str
    """Of the files: 12 hex digits; empty where none could be read."""
    files: tuple[ConfigFile, ...]
    """In the order in which they are read: the main file, then its drop-ins."""
    faults: tuple[ConfigFault, ...] = ()
    """With any of these the files are refused. In the order of files and lines."""
    warnings: tuple[ConfigFault, ...] = ()
    left_out: int = 0
    """Faults and warnings that there are beyond these."""
    plan: Plan | None = None
    """What they would change; None where they are refused. It can't be applied: POST /v1/plans makes one that can."""

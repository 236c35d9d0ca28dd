"""What is wrong with a configuration, and where: one line each, and all of them at once."""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

LONGEST: Final = 400
"""Characters of a message: a key or a value that is longer is cut."""


class Mark(NamedTuple):
    """Where something was written; line 0 is the file as a whole."""

    file: Path
    line: int


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong; its text is `FILE:LINE: key.path: what is wrong (nearest right spelling)`."""

    file: Path
    line: int
    """0 where the file as a whole is meant."""
    key: str
    """Dotted path, empty where the file as a whole is meant."""
    message: str
    nearest: str = ""
    """How to write it, ready to be put between parentheses."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        key = f"{self.key}: " if self.key else ""
        near = f" ({self.nearest})" if self.nearest else ""
        return f"{where}: {key}{self.message}{near}"


@dataclass(slots=True)
class Report:
    """Collects faults while a configuration is read, so that the first one doesn't hide the rest."""

    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Keys that have a fault: later checks leave what hangs on them alone."""

    def fault(self, mark: Mark, key: str, message: str, nearest: str = "") -> None:
        found = Fault(mark.file, mark.line, key, _shown(message), _shown(nearest))
        if found not in self.faults:
            self.faults.append(found)
        self.refused.add(key)

    def warn(self, mark: Mark, key: str, message: str, nearest: str = "") -> None:
        found = Fault(mark.file, mark.line, key, _shown(message), _shown(nearest))
        if found not in self.warnings:
            self.warnings.append(found)


def _shown(text: str) -> str:
    """On one line, and nothing that a terminal obeys: messages quote what stands in the file."""
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return safe if len(safe) <= LONGEST else f"{safe[:LONGEST]}…"


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean "gpus"?` for the closest of `known`, or nothing where none is close."""
    by_lower = {name.lower().replace("_", "-"): name for name in known}
    close = difflib.get_close_matches(word.lower().replace("_", "-"), by_lower, n=1)
    return f'did you mean "{by_lower[close[0]]}"?' if close else ""


def join(*parts: str) -> str:
    """A dotted path of plain names."""
    key = ""
    for part in parts:
        key = below(key, part)
    return key


def below(key: str, part: str) -> str:
    """One step further down a dotted path; a name that isn't bare is quoted, as TOML has it."""
    name = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(_shown(part), ensure_ascii=False)
    return f"{key}.{name}" if key else name

"""What is shown of lines: the lines themselves, marks where runs begin, and one line for a traceback's body. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from qvl.model.log import LogRun

from qvl_tui.logs.lines import Entry, Level

Id = tuple[int, int, int]
LEAST = 3
"""Lines of a traceback's body that are worth folding."""

_TRACEBACK = "Traceback (most recent call last)"
_PREFIX = re.compile(
    # What each line of a traceback repeats: PyTorch's rank; vLLM's process, level, time and source.
    r"(?:\([^()]* pid=\d+[^()]*\) )*(?:\[rank\d+\]: )?"
    r"(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (?:\[?[\w./-]+:\d+\] ?)?)?"
)


class Item(NamedTuple):
    entry: Entry
    """For a fold the first line that it hides; for a mark the line before which it stands."""
    hidden: tuple[Entry, ...] = ()
    mark: str = ""

    @property
    def id(self) -> Id:
        """The same whenever it is shown; a mark comes before its line, and a fold is known by its first line."""
        feed, offset, _ = self.entry.id
        return (feed, offset, -1) if self.mark else self.entry.id


class Folds:
    """Which bodies of tracebacks are shown."""

    def __init__(self) -> None:
        self.all_open = False
        self._other: set[tuple[int, int]] = set()
        """Those that are otherwise; by the place of the body's first line."""

    def shut(self, first: Entry) -> bool:
        return ((first.feed, first.offset) in self._other) == self.all_open

    def turn(self, first: Entry) -> None:
        self._other ^= {(first.feed, first.offset)}

    def turn_all(self) -> None:
        self.all_open = not self.all_open
        self._other.clear()


def items(lines: Sequence[Entry], folds: Folds, runs: Mapping[int, Sequence[LogRun]]) -> list[Item]:
    """`runs`: of each log, oldest first."""
    found: list[Item] = []
    reached: dict[int, int] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        if known := runs.get(line.feed):
            begun = sum(run.offset <= line.offset for run in known[-64:])
            if begun != reached.get(line.feed, begun) or (
                line.feed not in reached and begun and known[-64:][begun - 1].offset == line.offset
            ):
                found.append(Item(line, mark=run_mark(known[-64:][begun - 1])))
            reached[line.feed] = begun
        found.append(Item(line))
        at += 1
        if is_head(line):
            end = body_end(lines, at)
            if end - at >= LEAST:
                if folds.shut(lines[at]):
                    found.append(Item(lines[at], tuple(lines[at:end])))
                else:
                    found += [Item(each) for each in lines[at:end]]
                at = end
    return found


def is_head(line: Entry) -> bool:
    return _TRACEBACK in line.text


def body_end(lines: Sequence[Entry], at: int) -> int:
    """The index after the frames of a traceback whose first frame stands at `at`: that of its exception."""
    feed = lines[at - 1].feed
    end = at
    while end < len(lines) and lines[end].feed == feed and lines[end].level is not Level.NOTE:
        text = lines[end].text
        message = text[found.end() :] if (found := _PREFIX.match(text)) else text
        if not message.startswith(" "):
            break
        end += 1
    return end


def run_mark(run: LogRun) -> str:
    """`run 7 began 2026-03-04 12:03:11`, by the clock of who reads it."""
    began = "" if run.at is None else datetime.fromtimestamp(run.at, UTC).astimezone().strftime(" %Y-%m-%d %H:%M:%S")
    return f"run {run.generation} began{began}"


def find(shown: Sequence[Item], id: Id | None) -> int | None:
    """The index of what has this id, or hides its line; else None."""
    if id is None:
        return None
    feed, offset, _ = id
    for index, item in enumerate(shown):
        entry = item.entry
        if entry.feed != feed:
            continue
        if item.hidden:
            if entry.offset <= offset <= item.hidden[-1].offset:
                return index
        elif entry.offset == offset and item.id == id:
            return index
    return None

"""A worker's log whose lines are numbered, so that what is lost or doubled of it can be counted to the byte.

Reads the files themselves, not by `qvl.shim.logread`: what is under test must not be its own judge.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LINE = re.compile(rb"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] Simulated chatter, line (\d+)\n")
"""What a simulated engine writes with `sim-log-rate`, numbered from 0 on from the moment it is ready."""
SIZE = len(b"[2026-01-01 00:00:00] Simulated chatter, line \n")
"""Bytes of such a line, but for its number."""
REQUEST = re.compile(rb'"POST /v1/chat/completions\?load=(\d+) HTTP/1.1" 200 OK\n')
LOSS = re.compile(rb"\[qvl\] (\d+) bytes of output were lost")


class Count(NamedTuple):
    """What a part of a log holds, and what it doesn't, in bytes but for `lines`."""

    size: int = 0
    lines: int = 0
    """Numbered ones."""
    lost: int = 0
    doubled: int = 0

    def __add__(self, other: "Count") -> "Count":  # type: ignore[override]  # a sum, not a longer tuple
        return Count(*(mine + its for mine, its in zip(self, other, strict=True)))


class NumberedLog:
    """Counts what is new in a log at each look."""

    def __init__(self, folder: Path) -> None:
        self.requests: Counter[int] = Counter()
        """How often each numbered request of load.py has an access line."""
        self.total = Count()
        """Of all looks."""
        self._folder = folder
        self._offset = 0
        self._part = b""
        self._next = 0

    def look(self) -> Count:
        """What has come since the last look. AssertionError for a line that is neither whole nor anybody else's."""
        count = Count()
        for data, skipped in self._read():
            count += Count(size=len(data), lost=skipped)
            *lines, self._part = (self._part + data).splitlines(keepends=True) or [b""]
            if self._part.endswith(b"\n"):
                lines, self._part = [*lines, self._part], b""
            for line in lines:
                count += self._judge(line)
        self.total += count
        return count

    @property
    def runs(self) -> int:
        """How often the worker was started."""
        return len((self._folder / "runs").read_bytes().splitlines())

    def _judge(self, line: bytes) -> Count:
        if request := REQUEST.search(line):
            self.requests[int(request[1])] += 1
        if loss := LOSS.search(line):
            return Count(lost=int(loss[1]))
        if b"Simulated chatter" not in line:
            return Count()
        whole = LINE.fullmatch(line)
        assert whole, f"a line is torn: {line!r}"
        number = int(whole[1])
        if number < self._next:
            return Count(lines=1, doubled=len(line))
        lost = sum(SIZE + len(str(missing)) for missing in range(self._next, number))
        self._next = number + 1
        return Count(lines=1, lost=lost)

    def _read(self) -> Iterator[tuple[bytes, int]]:
        """Each file's new bytes, and how many before them are in no file: names are offsets, which count every byte."""
        for path in sorted(self._folder.glob("[0-9]*.log")):
            begin = int(path.stem)
            with path.open("rb") as file:
                file.seek(max(0, self._offset - begin))
                data = file.read()
            if data:
                yield data, max(0, begin - self._offset)
                self._offset = max(self._offset, begin) + len(data)

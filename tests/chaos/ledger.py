"""Keeps the books of numbered output: every line that a worker wrote is in its log once, or counted as lost.

The log is read by offset as it grows, and judged run by run. Two kinds of numbered lines are known: the chatter of the
simulated engine, whose numbers must go on, and the lines of the counting program, which are counted to the byte.
"""

import re
from pathlib import Path
from typing import NamedTuple

from qvl.shim import logread

CHATTER = re.compile(rb"^\[[^\]\n]*\] Simulated chatter, line (\d+)$")
COUNTED = re.compile(rb"^line (\d+) of (\d+)\.$")
LOSS = re.compile(rb"^\[qvl\] (\d+) bytes of output were lost: ")
NOTE = b"[qvl] "
_LINE_END = re.compile(rb"[\r\n]")
"""A carriage return is one too: a marker may follow what a progress bar has drawn."""


class Run(NamedTuple):
    """One run's output as far as it is in the log. `over`: another one follows it."""

    generation: int
    data: bytes
    over: bool


class Book:
    """What one worker's log said so far."""

    def __init__(self, log_dir: Path) -> None:
        self.begins: set[tuple[int, int]] = set()
        """The offset at which each run begins, and its generation."""
        self.rotated_away = False
        self._log_dir = log_dir
        self._begin: int | None = None
        self._data = bytearray()

    def read_on(self) -> None:
        """Take in what has come since; the beginnings of runs after it, so that each byte's run is known."""
        while True:
            at = (self._begin or 0) + len(self._data)
            begin, data = logread.read_at(self._log_dir, at, logread.BLOCK)
            if not data:
                break
            if self._begin is None:
                self._begin = begin
            elif begin != at:
                self.rotated_away = True
                self._begin, self._data = begin, bytearray()
            self._data += data
        for run in logread.runs(self._log_dir):
            self.begins.add((run.offset, run.generation))

    def lost_since(self, offset: int) -> int:
        """Bytes that the log itself says are missing, from an offset on."""
        lines = _LINE_END.split(bytes(self._data[max(0, offset - (self._begin or 0)) :]))
        return sum(int(found[1]) for line in lines if (found := LOSS.match(line)))

    def runs(self, *, ended: bool = False) -> list[Run]:
        """Runs whose beginning is still there, oldest first. `ended`: the last one is over too."""
        first = self._begin or 0
        begins = sorted(begin for begin in self.begins if begin[0] >= first)
        ends = [*(offset for offset, _ in begins[1:]), first + len(self._data)]
        return [
            Run(begin[1], bytes(self._data[begin[0] - first : end - first]), ended or begin != begins[-1])
            for begin, end in zip(begins, ends, strict=False)
        ]


def chatter_faults(data: bytes) -> list[str]:
    """Numbers of the simulated engine's chatter that are missing, doubled or torn in the output of one run."""
    faults = []
    due, excused = 0, False
    torn: bytes | None = None
    lines = _LINE_END.split(data)
    for line, after in zip(lines, [*lines[1:], b""], strict=True):
        if (found := CHATTER.match(line)) is not None:
            number = int(found[1])
            if number != due and LOSS.match(after) and (b"%d" % due).startswith(found[1]):
                continue  # the disk was full in the middle of the number
            if torn is not None and not excused:
                faults.append(f"torn before line {number}: {torn[-80:]!r}")
            if number != due and not (excused and number > due):
                faults.append(f"line {number} where {due} was due")
            due, excused, torn = number + 1, False, None
        elif LOSS.match(line):
            excused = True
        elif b"Simulated chatter" in line:
            torn = line
    return faults


def count_faults(data: bytes, *, cut: bool, noted: int | None) -> list[str]:
    """What doesn't add up in one run of the counting program, to the byte.

    `cut`: its shim was killed, so the end of the output is missing. `noted`: how many lines the program itself says it
    wrote; None while it runs.
    """
    faults: list[str] = []
    last = partial = lost = losses = 0
    pid = b"0"
    for line in data.split(b"\n"):
        if (found := COUNTED.match(line)) is not None:
            number, pid = int(found[1]), found[2]
            missing = _size(last + 1, number, pid) - partial
            # Where only a line's end was lost, the one that stands before the marker is in its place.
            if not 0 <= lost - missing <= losses or number <= last:
                faults.append(f"between lines {last} and {number} {missing} bytes are missing, {lost} counted as lost")
            last, partial, lost, losses = number, 0, 0, 0
        elif (loss := LOSS.match(line)) is not None:
            lost, losses = lost + int(loss[1]), losses + 1
        elif not line.startswith(NOTE):
            partial += len(line)
    if cut or noted is None:
        return faults
    # The program may die between a line and the note of it: one line more than noted is right too.
    missing = _size(last + 1, noted + 1, pid) - partial
    if not missing <= lost <= missing + losses + _size(noted + 1, noted + 2, pid):
        faults.append(f"it wrote {noted} lines; after line {last} {missing} bytes are missing, {lost} counted as lost")
    return faults


def pid_of(data: bytes) -> int | None:
    """Which process wrote this run."""
    found = next((found for line in data.split(b"\n") if (found := COUNTED.match(line))), None)
    return int(found[2]) if found is not None else None


def _size(first: int, end: int, pid: bytes) -> int:
    """Bytes of the lines from `first` up to `end`, which is not among them."""
    return sum(len(str(number)) for number in range(first, end)) + max(end - first, 0) * len(b"line  of .\n" + pid)

"""How much output a supervisor takes, and how much of it is in the log afterwards."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.lab import BenchmarkError, Lab, Running
from benchmarks.peers import Side
from benchmarks.report import Row, Section
from benchmarks.scale import Scale
from benchmarks.usage import cpu_seconds

NAME = "logs"
FLOOD_LINE = 64
FLOOD_ROUND = 1 << 20
BIG_WRITE = 1024
"""Lines in one write of the flood that is limited by the supervisor alone."""
ROTATED = 1 << 20
KEPT = 40
STILL = 1.0
"""Seconds without a new byte after which a log is complete."""
RETURNED = 3.0
"""Seconds in which a supervisor that starts its worker anew has done so."""
SPEECH_PAUSE = 0.001

Samples = dict[str, list[float]]


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    rows: list[Row] = []
    for title, lines in (("64 KiB a write", BIG_WRITE), ("a line a write", 1)):
        rates, costs, lost = _samples(sides), _samples(sides), _samples(sides)
        for side in [*sides] * scale.floods:
            rate, cost, gone = _flood(lab, side, scale, lines)
            rates[side.name].append(rate)
            costs[side.name].append(cost)
            lost[side.name].append(gone)
        rows += [
            Row(f"flood, {title}", "MB/s", rates, "more"),
            Row(f"flood, {title}: processor", "s per GB", costs),
            Row(f"flood, {title}: lost lines", "of all", lost),
        ]
    lost, doubled, cut = _samples(sides), _samples(sides), _samples(sides)
    for side in sides:
        for found, value in zip((lost, doubled, cut), _rotation(lab, side, scale), strict=True):
            found[side.name].append(value)
    rows += [
        Row("rotation: lost lines", f"of {scale.counted_lines:,}", lost),
        Row("rotation: doubled lines", f"of {scale.counted_lines:,}", doubled),
        Row("rotation: lines cut in two by it", "files", cut),
    ]
    unheard, copies = _samples(sides), _samples(sides)
    for side in sides:
        gone, left = _killed(lab, side, scale)
        unheard[side.name].append(gone)
        copies[side.name].append(left)
    rows += [
        Row("supervisor killed with -9: lost lines", f"of {scale.spoken_lines:,}", unheard),
        Row("… and back: processes of that one worker", "1 is right", copies, better=""),
    ]
    return Section(
        NAME,
        "A worker talks",
        rows,
        (
            f"Flood: numbered lines of {FLOOD_LINE} bytes as fast as the worker's stdout takes them, until "
            f"{scale.flood_bytes >> 20} MiB or {scale.flood_seconds:g} s; the rate counts until the last byte is in "
            "the file, without rotation. A supervisor that takes them slower holds its worker up for so long.",
            f"Rotation: at {ROTATED >> 20} MiB, all files kept.",
            "Killed: the worker writes a line a millisecond, the supervisor dies after a third of them; lines are "
            "counted before it is started again. A worker that treats EPIPE as its end dies of it.",
        ),
    )


def _samples(sides: Sequence[Side]) -> Samples:
    return {side.name: [] for side in sides}


def _flood(lab: Lab, side: Side, scale: Scale, lines: int) -> tuple[float, float, float]:
    """MB/s, seconds on a core per GB, and lines that are not in the log."""
    program = ("flood.py", str(scale.flood_bytes), str(scale.flood_seconds), str(lines))
    with lab.running(side, program) as running:
        running.wait_up()
        port = running.fleet.first_port
        machinery = running.machinery()
        time.sleep(0.3)
        used = cpu_seconds(machinery)
        begin = running.beacon.wait(bool, f"a flood of {side.name}'s worker", 30, word="begin")[0].at
        written = _written(running, scale.flood_seconds + 30)
        at = _all_in(running, written, scale)
        used = cpu_seconds(machinery) - used
        lost = _flood_lost(running.installation.logs(port), written)
        for path in running.installation.logs(port):
            path.unlink()  # a later flood shall not wait for this one's pages to reach the disk
        return written / 1e6 / (at - begin), used / (written / 1e9), lost


def _written(running: Running, timeout: float) -> int:
    """What the worker says that it has written, once it has; it speaks of bytes or of lines."""
    return running.beacon.wait(bool, f"output of {running.side.name}'s worker", timeout, word="done")[0].number


def _all_in(running: Running, written: int, scale: Scale) -> float:
    """Wait for a log of so many bytes, or for one that doesn't grow any more; when its last byte came."""
    port, size, grown = running.fleet.first_port, -1, time.monotonic()
    while True:
        now_size, now = running.log_size(port), time.monotonic()
        if now_size > size:
            size, grown = now_size, now
        if size >= written or now - grown > STILL * scale.patience:
            return grown
        time.sleep(0.003)


def _flood_lost(paths: Sequence[Path], written: int) -> int:
    """Lines that are missing from the flood's log, which repeats the same text."""
    text = b"".join(b"%07d %s\n" % (number, b"x" * 55) for number in range(FLOOD_ROUND // FLOOD_LINE))
    at = 0
    for piece in _pieces(paths):
        begin = at % FLOOD_ROUND
        if (text + text)[begin : begin + len(piece)] != piece:
            return written // FLOOD_LINE - _whole_lines(paths)
        at += len(piece)
    return (written - at) // FLOOD_LINE


def _whole_lines(paths: Sequence[Path]) -> int:
    whole, rest = 0, b""
    for piece in _pieces(paths):
        *lines, rest = (rest + piece).split(b"\n")
        whole += sum(len(line) == FLOOD_LINE - 1 and line.endswith(b"xxx") for line in lines)
    return whole


def _pieces(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        with open(path, "rb") as file:
            while piece := file.read(FLOOD_ROUND):
                yield piece


def _rotation(lab: Lab, side: Side, scale: Scale) -> tuple[int, int, int]:
    """Lines that are lost, lines that are there twice, and files that end within a line."""
    lines = scale.counted_lines
    with lab.running(side, ("count.py", str(lines), "0"), log_size=ROTATED, log_keep=KEPT) as running:
        running.wait_up()
        _written(running, 60)
        _still(running, scale)
        paths = running.installation.logs(running.fleet.first_port)
        if len(paths) < 2 and lines * 50 > ROTATED:
            raise BenchmarkError(f"{side.name} did not rotate")
        found = _numbers(paths)
        cut = sum(not _ends_line(path) for path in paths[:-1])
        return lines - len(set(found)), len(found) - len(set(found)), cut


def _still(running: Running, scale: Scale) -> None:
    _all_in(running, 1 << 62, scale)


def _numbers(paths: Sequence[Path]) -> list[int]:
    """The numbers of all whole lines."""
    text = b"".join(path.read_bytes() for path in paths)
    words = (line.split(b" ", 2) for line in text.split(b"\n"))
    return [int(w[1]) for w in words if len(w) == 3 and w[0] == b"line" and len(w[1]) == 7 and w[2].endswith(b"say")]


def _ends_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _killed(lab: Lab, side: Side, scale: Scale) -> tuple[int, int]:
    """Lines that are not in the log, and processes of the one worker after the supervisor's return."""
    lines = scale.spoken_lines
    with lab.running(side, ("count.py", str(lines), str(SPEECH_PAUSE))) as running:
        running.wait_up()
        time.sleep(lines * SPEECH_PAUSE / 3)
        running.daemon.kill()
        running.daemon.wait()
        _written(running, lines * SPEECH_PAUSE * 5 + 10)
        _still(running, scale)
        port = running.fleet.first_port
        lost = lines - len(set(_numbers(running.installation.logs(port))))
        running.start()
        with contextlib.suppress(BenchmarkError):  # who adopts starts nothing
            running.beacon.wait(lambda words: len(words) > 1, "another worker", RETURNED * scale.patience)
        return lost, len(running.living())

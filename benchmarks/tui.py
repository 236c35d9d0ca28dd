"""What the terminal interface takes: the time to its first picture and after a key, cores, bytes, memory.

Over SSH each byte counts, and it is left open all day, so at rest it has to be as good as not there.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from benchmarks import viewers
from benchmarks.lab import PROGRAMS, BenchmarkError, Lab
from benchmarks.peers import QVL, Side, ours
from benchmarks.report import Row, Section
from benchmarks.scale import Scale
from benchmarks.simulated_fleet import SimulatedFleet, simulated_fleet
from benchmarks.terminal import HEIGHT, WIDTH, Rows, Terminal
from benchmarks.usage import cpu_seconds, usage
from benchmarks.viewers import PEERS, Viewer

NAME = "tui"
FLOOD = 2000
"""Lines per second."""
SETTLE = 6.0
"""Seconds in which a program that was just started has calmed down, and each figure was seen to move once."""
KEY_APART = 0.25
"""Seconds between two keys while the screen never stands still."""
Samples = dict[str, list[float]]


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    del sides  # supervisors, which have no such interface
    peers = viewers.installed() if lab.others else []
    rows: list[Row] = []
    with simulated_fleet(lab, scale.tui_workers) as fleet:
        us = _viewer(fleet)
        rows += _first_picture(lab, [us, *peers], scale)
        rows += _rest(lab, fleet, [us, *peers], scale)
        with fleet.load():
            rows += _moving(lab, us, scale)
    with simulated_fleet(lab, 1, sim_log_rate=FLOOD) as fleet:
        rows += _flood(lab, _viewer(fleet), scale)
    rows += _day(lab, scale)
    return Section(
        NAME,
        f"The terminal interface, {WIDTH}×{HEIGHT}",
        rows,
        (
            f"{scale.tui_workers} simulated workers with a card each, on a pty in true colour. Bytes are those that "
            "the program writes to its terminal; processor time is that of its process.",
            f"Over {scale.tui_seconds:g} s where a figure is a rate. {viewers.BARE} is the least that a program of "
            "this library with a table of 16 rows is; btop and htop look at this host, with their defaults.",
            f"First picture: from exec until all {scale.tui_workers} workers stand on the screen with live data; of "
            "the others, until they come to rest.",
        ),
        (QVL, *PEERS),
        PEERS,
    )


def _viewer(fleet: SimulatedFleet) -> Viewer:
    names = [f" {name} " for name in fleet.workers]

    def live(rows: Rows) -> bool:
        return all(any(name in row and "● ready" in row for row in rows) for name in names)

    return Viewer(QVL, (ours("qvlctl"), "--socket", str(fleet.socket), "tui"), live)


# --- first picture, rest ------------------------------------------------------------------------------------------


def _first_picture(lab: Lab, programs: Sequence[Viewer], scale: Scale) -> list[Row]:
    took: Samples = {}
    cost: Samples = {}
    size: Samples = {}
    for turn in range(scale.tui_starts + 1):
        for program in programs:
            with program.opened(lab) as terminal:
                terminal.calm()
                if turn == 0:
                    continue  # the first one compiles and fills caches
                shown = terminal.last
                if program.is_there is not None:
                    shown = terminal.seen_at(program.is_there, "its first picture")
                    terminal.calm()
                took.setdefault(program.name, []).append((shown - terminal.began) * 1000)
                size.setdefault(program.name, []).append(terminal.written / 1000)
                cost.setdefault(program.name, []).append(cpu_seconds([terminal.pid]) * 1000)
    return [
        Row("first picture", "ms", took, note="budget 400 ms"),
        Row("processor time of the start", "ms", cost),
        Row("written until it is at rest", "kB", size),
    ]


def _rest(lab: Lab, fleet: SimulatedFleet, programs: Sequence[Viewer], scale: Scale) -> list[Row]:
    cpu: Samples = {}
    rate: Samples = {}
    wakeups: Samples = {}
    rss: Samples = {}
    pss: Samples = {}
    keys: Samples = {}
    for program in programs:
        with program.opened(lab) as terminal:
            used, written, woken = _over(terminal, scale)
            cpu[program.name], rate[program.name], wakeups[program.name] = [used], [written], [woken]
            now = usage([terminal.pid])
            rss[program.name], pss[program.name] = [now.rss], [now.pss]
            if program.name == QVL:
                keys[QVL] = [_chosen(terminal, fleet, turn) for turn in range(scale.tui_keys)]
    return [
        Row("at rest: processor", "% of a core", cpu, note="budget 1 %"),
        Row("at rest: written", "kB/s", rate, note="budget 1 kB/s"),
        Row("at rest: wakeups", "per s", wakeups),
        Row("memory, RSS", "MiB", rss, note="budget 80 MiB"),
        Row("memory, PSS", "MiB", pss),
        *_latency("key to repaint at rest", keys, 25),
    ]


def _over(terminal: Terminal, scale: Scale) -> tuple[float, float, float]:
    """Percent of a core, kB/s and wakeups per second, once the program has settled."""
    time.sleep(SETTLE * scale.patience)
    before, written, began = usage([terminal.pid]), terminal.written, time.monotonic()
    time.sleep(scale.tui_seconds)
    now, took = usage([terminal.pid]), time.monotonic() - began
    if now.rss == 0:
        raise BenchmarkError(f"{terminal.command[0]} ended while it was looked at")
    return (
        (now.cpu - before.cpu) / took * 100,
        (terminal.written - written) / took / 1000,
        (now.wakeups - before.wakeups) / took,
    )


def _latency(what: str, samples: Samples, budget: int) -> list[Row]:
    """The median is in the first row; the tail, of which a budget speaks, in the second."""
    tail = {name: [_percentile(values, 0.95)] for name, values in samples.items()}
    return [Row(what, "ms", samples), Row(f"{what}, p95", "ms", tail, note=f"budget {budget} ms")]


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _chosen(terminal: Terminal, fleet: SimulatedFleet, turn: int) -> float:
    """Milliseconds from the key until another row is marked."""
    last = len(fleet.workers) - 1
    place = turn % (2 * last) if last else 0
    key, name = ("j", fleet.workers[place + 1]) if place < last else ("k", fleet.workers[2 * last - place - 1])

    def marked(rows: Rows) -> bool:
        return any(f"› {name} " in row for row in rows)

    at = terminal.press(key)
    took = terminal.seen_at(marked, f"{name} as the chosen one after {key}") - at
    terminal.calm(0.03)
    return took * 1000


# --- load ---------------------------------------------------------------------------------------------------------


def _moving(lab: Lab, us: Viewer, scale: Scale) -> list[Row]:
    with us.opened(lab) as terminal:
        cpu, rate, _ = _over(terminal, scale)
    return [
        Row("every figure moves: processor", "% of a core", {QVL: [cpu]}, note="budget 2 %"),
        Row("every figure moves: written", "kB/s", {QVL: [rate]}, note="budget 4 kB/s"),
    ]


def _flood(lab: Lab, us: Viewer, scale: Scale) -> list[Row]:
    with us.opened(lab) as terminal:
        terminal.calm()
        terminal.press("l")
        terminal.seen_at(_says("following"), "the log")
        cpu, rate, _ = _over(terminal, scale)
        keys = [_held(terminal, turn) for turn in range(scale.tui_keys)]
    what = f"{FLOOD:,} log lines/s"
    return [
        Row(f"{what}: processor", "% of a core", {QVL: [cpu]}),
        Row(f"{what}: written", "kB/s", {QVL: [rate]}, note="budget 60 kB/s"),
        *_latency(f"{what}: key to repaint", {QVL: keys}, 50),
    ]


def _says(word: str) -> Callable[[Rows], bool]:
    return lambda rows: any(word in row for row in rows[:3])


def _held(terminal: Terminal, turn: int) -> float:
    """Milliseconds from the key until the log stands still, or goes on."""
    said = "held" if turn % 2 == 0 else "following"
    at = terminal.press(" ")
    took = terminal.seen_at(_says(said), f"{said} after Space") - at
    time.sleep(KEY_APART)
    return took * 1000


# --- a day --------------------------------------------------------------------------------------------------------


def _day(lab: Lab, scale: Scale) -> list[Row]:
    socket = lab.home() / "s"
    command = (sys.executable, str(PROGRAMS / "day.py"), str(socket), str(scale.tui_day))
    with _killed(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as (asked, said):
        _heard(said, "listens")
        with Viewer(QVL, (ours("qvlctl"), "--socket", str(socket), "tui")).opened(lab) as terminal:
            terminal.calm()
            memory, began = [usage([terminal.pid]).pss], time.monotonic()
            for part in ("half", "over"):
                asked.write(b"\n")
                asked.flush()
                _heard(said, part)
                time.sleep(SETTLE * scale.patience)
                memory.append(usage([terminal.pid]).pss)
            took = time.monotonic() - began - 2 * SETTLE * scale.patience
    before, half, after = memory
    if not after:
        raise BenchmarkError("qvlctl tui ended within its day")
    hours = f"{scale.tui_day / 3600:.3g} simulated hours"
    return [
        Row(f"{hours}: memory before, PSS", "MiB", {QVL: [before]}),
        Row(f"{hours}: memory after, PSS", "MiB", {QVL: [after]}, note="budget 80 MiB, and flat"),
        Row(f"{hours}: growth in the first half", "MiB", {QVL: [half - before]}, ""),
        Row(f"{hours}: growth in the second half", "MiB", {QVL: [after - half]}, ""),
        Row(f"{hours}: taken in within", "s", {QVL: [took]}, ""),
    ]


@contextlib.contextmanager
def _killed(process: subprocess.Popen[bytes]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Its ends of talk, until it is killed."""
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdin, process.stdout
        finally:
            process.kill()


def _heard(stream: IO[bytes], word: str) -> None:
    if (said := stream.readline().decode().strip()) != word:
        raise BenchmarkError(f"the simulated day says {said!r} for {word!r}")

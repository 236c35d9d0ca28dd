"""What a supervisor costs while nothing happens."""

import contextlib
import time
from collections.abc import Sequence

from benchmarks.lab import Lab, Running
from benchmarks.peers import Side
from benchmarks.report import Row, Section
from benchmarks.scale import Scale
from benchmarks.usage import Usage, usage

NAME = "idle"
SETTLE = 3.0
"""Seconds after the last worker's start in which every supervisor has calmed down."""


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    rows: list[Row] = []
    for workers in scale.idle_fleets:
        rows += _fleet(lab, sides, workers, scale)
    return Section(
        NAME,
        "Nothing happens",
        rows,
        (
            f"Over {scale.idle_seconds:g} s, all three at the same time, default settings. Memory that processes share "
            "(the interpreter) counts in each of them as RSS, and once among all of them as PSS.",
            "qvl keeps a process (a shim) with each worker, which holds its output and its exit status when the daemon "
            "is killed or replaced; the daemons of the others do all that themselves, and end with what they hold.",
        ),
    )


def _fleet(lab: Lab, sides: Sequence[Side], workers: int, scale: Scale) -> list[Row]:
    cpu: dict[str, list[float]] = {}
    wakeups: dict[str, list[float]] = {}
    threads: dict[str, list[float]] = {}
    daemon_rss: dict[str, list[float]] = {}
    daemon_pss: dict[str, list[float]] = {}
    total_pss: dict[str, list[float]] = {}
    shim_rss: dict[str, list[float]] = {}
    shim_pss: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        all_running = [stack.enter_context(lab.running(side, ("idle.sh",), workers=workers)) for side in sides]
        for running in all_running:
            running.wait_up()
        time.sleep(SETTLE * scale.patience)
        before = [_look(running) for running in all_running]
        began = time.monotonic()
        time.sleep(scale.idle_seconds)
        took = time.monotonic() - began
        for running, old in zip(all_running, before, strict=True):
            name, now = running.side.name, _look(running)
            first, *others = running.machinery()
            daemon = usage([first])
            cpu[name] = [(now.cpu - old.cpu) / took * 100]
            wakeups[name] = [(now.wakeups - old.wakeups) / took]
            threads[name] = [now.threads]
            daemon_rss[name], daemon_pss[name], total_pss[name] = [daemon.rss], [daemon.pss], [now.pss]
            if others:
                shims = [usage([pid]) for pid in others]
                shim_rss[name] = [shim.rss for shim in shims]
                shim_pss[name] = [shim.pss for shim in shims]
    return [
        Row(f"{workers} workers: processor", "% of a core", cpu),
        Row(f"{workers} workers: wakeups", "per s", wakeups),
        Row(f"{workers} workers: threads", "of all its processes", threads),
        Row(f"{workers} workers: daemon, RSS", "MiB", daemon_rss),
        Row(f"{workers} workers: daemon, PSS", "MiB", daemon_pss),
        Row(f"{workers} workers: a shim, RSS", "MiB", shim_rss),
        Row(f"{workers} workers: a shim, PSS", "MiB", shim_pss),
        Row(f"{workers} workers: all of it, PSS", "MiB", total_pss),
    ]


def _look(running: Running) -> Usage:
    return usage(running.machinery())

"""How long fleets take to start and to stop."""

import signal
import subprocess
import time
from collections.abc import Sequence

from benchmarks.lab import BenchmarkError, Lab
from benchmarks.peers import Side
from benchmarks.report import Row, Section
from benchmarks.scale import Scale

NAME = "startup"
STOP_TIMEOUT = 60.0
SETTLED = 1.3
"""Seconds, more than supervisord's startsecs and our own: a stop of what is still starting is another matter."""


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    rows = []
    for workers, times in scale.fleets:
        starts: dict[str, list[float]] = {side.name: [] for side in sides}
        stops: dict[str, list[float]] = {side.name: [] for side in sides}
        for _ in range(times):
            for side in sides:
                start, stop = _once(lab, side, workers, scale)
                starts[side.name].append(start)
                stops[side.name].append(stop)
        rows += [
            Row(f"start, {workers} workers", "s", starts),
            Row(f"stop, {workers} workers", "s", stops),
        ]
    return Section(
        NAME,
        "Start and stop of everything",
        rows,
        (
            "Start: from the exec of the daemon to the first line of the last worker's program. Stop: from SIGTERM to "
            "the daemon until it and all workers are gone; the workers (`/bin/sh`, then `sleep`) end at once.",
        ),
    )


def _once(lab: Lab, side: Side, workers: int, scale: Scale) -> tuple[float, float]:
    with lab.running(side, ("idle.sh",), workers=workers) as running:
        start = running.wait_up() - running.started_at
        time.sleep(SETTLED * scale.patience)
        at = time.monotonic()
        running.daemon.send_signal(signal.SIGTERM)
        try:
            running.daemon.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{side.name} did not stop within {STOP_TIMEOUT:g} s") from None
        while running.living():
            if time.monotonic() - at > STOP_TIMEOUT:
                raise BenchmarkError(f"workers of {side.name} outlived its stop")
            time.sleep(0.002)
        return start, time.monotonic() - at

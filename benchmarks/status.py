"""How long a look takes: the whole command, as people and scripts run it."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks.lab import BenchmarkError, Lab
from benchmarks.peers import Side
from benchmarks.report import Row, Section
from benchmarks.scale import Scale

NAME = "status"
WORKERS = 8
SETTLED = 1.5


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    walls: dict[str, list[float]] = {side.name: [] for side in sides}
    cpus: dict[str, list[float]] = {side.name: [] for side in sides}
    json_walls: dict[str, list[float]] = {side.name: [] for side in sides}
    floor: list[float] = []
    with contextlib.ExitStack() as stack:
        all_running = [stack.enter_context(lab.running(side, ("idle.sh",), workers=WORKERS)) for side in sides]
        for running in all_running:
            running.wait_up()
        time.sleep(SETTLED * scale.patience)
        for turn in range(scale.statuses + 1):
            floor.append(_timed((sys.executable, "-c", "pass"))[0])
            for running in all_running:
                name, installation = running.side.name, running.installation
                wall, cpu = _timed(installation.status)
                json_wall = _timed(installation.status_json)[0] if installation.status_json else None
                if turn == 0:
                    continue  # the first one compiles and fills caches
                walls[name].append(wall)
                cpus[name].append(cpu)
                if json_wall is not None:
                    json_walls[name].append(json_wall)
    return Section(
        NAME,
        f"A look at {WORKERS} workers",
        (
            Row("status", "ms", walls),
            Row("status, processor time of the command", "ms", cpus),
            Row("status as JSON", "ms", json_walls, note="supervisorctl has none"),
        ),
        (
            "`qvlctl status`, `supervisorctl status`, `circusctl status` as whole processes. A Python that does "
            f"nothing takes {sorted(floor)[len(floor) // 2]:.0f} ms here.",
        ),
    )


def _timed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Milliseconds by the clock and on a core."""
    at = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    with process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - at
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"{command[0]} exited with {process.returncode}: {said.decode(errors='replace').strip()}")
    return wall * 1000, (used.ru_utime + used.ru_stime) * 1000

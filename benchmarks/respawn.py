"""How long a worker is away that was killed with -9."""

import contextlib
import random
import time
from collections.abc import Sequence

from benchmarks.lab import Lab, Word, answers
from benchmarks.peers import CIRCUS_EAGER, Side
from benchmarks.report import Row, Section
from benchmarks.scale import Scale

NAME = "respawn"
WORKERS = 8
SETTLED = 1.3
"""Seconds after which every supervisor takes a worker for started: supervisord's startsecs is 1, as is ours."""
APART = 1.23
"""Seconds between the kills under default settings: they meet every part of circus's five seconds, and none wakes
supervisord early, which looks once a second."""


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    workers = min(WORKERS, max(2, scale.respawns))
    eager = _one_by_one(lab, sides, "idle.sh", workers, scale)
    serving = _one_by_one(lab, sides, "serve.py", workers, scale)
    default = _all(lab, sides, workers, scale)
    return Section(
        NAME,
        f"A worker is killed with -9 (one of {workers})",
        (
            Row("new process, restarted at once", "ms", eager),
            Row("serving again, restarted at once", "ms", serving),
            Row("new process, default settings", "ms", default),
        ),
        (
            "At once: qvl `backoff = 0.001`, supervisord `startsecs = 0`, circus "
            f"`check_delay = {CIRCUS_EAGER}` (it polls for ended children).",
            'By default qvl waits `backoff = "1s"` (plus up to a tenth) before it tries again, supervisord does not '
            "wait after a worker that had been up for a second, circus looks every 5 s.",
            "Before each start qvl has ended what the old process left behind, and has seen its port free.",
        ),
    )


def _one_by_one(lab: Lab, sides: Sequence[Side], program: str, workers: int, scale: Scale) -> dict[str, list[float]]:
    """Milliseconds from the kill to the new process, or to its first answer over HTTP."""
    found: dict[str, list[float]] = {side.name: [] for side in sides}
    with contextlib.ExitStack() as stack:
        all_running = [
            stack.enter_context(lab.running(side, (program,), workers=workers, eager=True)) for side in sides
        ]
        for running in all_running:
            running.wait_up()
        time.sleep(SETTLED * scale.patience)
        for turn in range(scale.respawns):
            for running in all_running:
                port = running.fleet.ports[turn % workers]
                # Apart from circus's own beat, which would otherwise be met at the same place each time.
                time.sleep(random.uniform(0, CIRCUS_EAGER))
                at = time.monotonic()
                old = running.kill_worker(port)
                back = running.successor(old)
                found[running.side.name].append(((answers(port) if program == "serve.py" else back.at) - at) * 1000)
            if turn % workers == workers - 1:
                time.sleep(SETTLED * scale.patience)
    return found


def _all(lab: Lab, sides: Sequence[Side], workers: int, scale: Scale) -> dict[str, list[float]]:
    """The same under default settings, for all at the same time: here supervisors wait, they don't work."""
    killed: dict[str, list[tuple[float, Word]]] = {side.name: [] for side in sides}
    with contextlib.ExitStack() as stack:
        all_running = [stack.enter_context(lab.running(side, ("idle.sh",), workers=workers)) for side in sides]
        for running in all_running:
            running.wait_up()
        time.sleep(SETTLED * scale.patience)
        for turn in range(workers):
            for running in all_running:
                at = time.monotonic()
                killed[running.side.name].append((at, running.kill_worker(running.fleet.ports[turn])))
            time.sleep(APART)
        return {
            running.side.name: [(running.successor(old).at - at) * 1000 for at, old in killed[running.side.name]]
            for running in all_running
        }

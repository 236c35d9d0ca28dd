"""How long a shim takes from its exec to its answer, which it gives once its worker runs."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence

from qvl.shim import proc
from qvl.shim.client import launch
from qvl.shim.records import Bootstrap

from benchmarks.lab import Lab
from benchmarks.peers import QVL, Side
from benchmarks.report import Row, Section
from benchmarks.scale import Scale
from benchmarks.usage import usage

NAME = "shim"


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    starts, memory = [], []
    for _ in range(scale.shims):
        took, rss = asyncio.run(_once(lab))
        starts.append(took)
        memory.append(rss)
    return Section(
        NAME,
        "A shim alone",
        (
            Row("from its exec to its answer, its worker running", "ms", {QVL: starts}, note="budget 40 ms"),
            Row("its RSS", "MiB", {QVL: memory}, note="budget 12 MiB"),
        ),
    )


async def _once(lab: Lab) -> tuple[float, float]:
    """Milliseconds, and MiB."""
    home = lab.home()
    bundle = home / "bundle"
    bundle.mkdir(mode=0o700)
    order = Bootstrap(
        worker="bench-0",
        generation=1,
        bundle=str(bundle),
        argv=["/bin/sleep", "1000"],
        env={"PATH": os.defpath},
        cwd="/",
        log_dir=str(home / "log"),
        max_size=1 << 20,
        keep=1,
        secrets=[],
    )
    at = time.monotonic()
    answer = await launch(order)
    took = time.monotonic() - at
    await asyncio.sleep(0.1)
    rss = usage([answer.shim_pid]).rss
    if answer.pid_start is not None:
        proc.send_signal(answer.pid, answer.pid_start, signal.SIGKILL)
    await asyncio.to_thread(_wait_gone, answer.shim_pid, answer.shim_start)
    return took * 1000, rss


def _wait_gone(pid: int, start: int) -> None:
    while proc.is_alive(pid, start):
        time.sleep(0.01)

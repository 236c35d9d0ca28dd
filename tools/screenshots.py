"""Writes docs/tui/*.svg, the real interface on a scripted fleet, and the table of keys in docs/tui.md: never by hand.

    .venv/bin/python -m tools.screenshots

The fleet is made up, the pictures are not: they are what the program draws from these figures in 120×36 cells. The same
code gives the same bytes.
"""

import asyncio
import math
import os
import random
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace
from qvl.model.api import History, ProfileInfo
from qvl.model.event import Event, Severity, Snapshot
from qvl.model.gpu import GpuSample
from qvl.model.plan import Action, KeyChange, Plan, PlanStep
from qvl.model.status import ExitStatus, PoolStatus, WorkerMetrics, WorkerStatus
from qvl.model.worker import Cause, Phase, Progress
from qvl_tui.keys import table
from qvl_tui.prefs import Preferences
from qvl_tui.store import KEPT_SAMPLES

from tests.tui.changing import link as changing
from tests.tui.changing import of_config, under_way
from tests.tui.configs import refused
from tests.tui.details import ready
from tests.tui.fleet import GIB, NOW, FakeLink, gpu, status, troubled, worker
from tests.tui.lived import lived
from tests.tui.logs.link import LogLink
from tests.tui.logs.scenes import talking
from tests.tui.support import terminal

SIZE = (120, 36)
WAITING = 5
"""The worker that waits to be started again."""
STARTING = 4
EVIDENCE = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB"
HINT = "lower mem-fraction-static or context-length, or give it a GPU that is free"
BLANK = "&#160;"
CELL = 12.2
"""Width of a cell in the SVG's units."""
TEXT = re.compile(r'(<text class="[^"]+" )x="([\d.]+)"( y="[\d.]+" )textLength="([\d.]+)"([^>]*)>([^<]*)</text>')


def wave(seed: int, base: float, swing: float) -> list[float | None]:
    """Figures as traffic makes them: a slow wave with noise upon it."""
    chance = random.Random(seed)
    return [
        max(0.0, base + swing * math.sin(place / 4 + seed) + swing * 0.3 * chance.gauss(0, 1))
        for place in range(KEPT_SAMPLES)
    ]


def history(workers: list[WorkerStatus]) -> History:
    figures: dict[str, dict[str, list[float | None]]] = {}
    cards: dict[str, dict[str, list[float | None]]] = {}
    for number, known in enumerate(workers):
        if not known.ready:
            continue
        rates = wave(number, 1500 - 70 * number, 640)
        figures[known.name] = {
            "tokens_per_s": rates,
            "running": [round(rate / 95) if rate else 0 for rate in rates],
            "queued": [0.0] * KEPT_SAMPLES,
            "kv_usage": [(rate or 0) / 4600 for rate in rates],
            "ttft_p50_s": wave(number + 50, 0.085, 0.015),
        }
        for index in known.gpus:
            cards[str(index)] = {"utilization": [min(1.0, (rate or 0) / 2300) for rate in rates]}
    idle: list[float | None] = [0.0] * KEPT_SAMPLES
    for index in (STARTING, WAITING):
        cards[str(index)] = {"utilization": idle}
    return History(2.0, [0.0] * KEPT_SAMPLES, figures, cards)


def fleet() -> list[WorkerStatus]:
    made = [_ready(number) for number in range(6)]
    since = NOW - timedelta(seconds=14)
    progress = Progress("weights", 62, 11.0)
    made[STARTING] = worker(f"qwen3-vl-{STARTING}", Phase.STARTING, progress=progress, since=since)
    made[WAITING] = worker(
        f"qwen3-vl-{WAITING}",
        Phase.BACKOFF,
        since=NOW - timedelta(seconds=4),
        restarts=2,
        max_restarts=8,
        next_start_at=NOW + timedelta(seconds=8),
        reason=f"out-of-gpu-memory: {EVIDENCE}",
        last_exit=ExitStatus(
            NOW - timedelta(seconds=4),
            None,
            9,
            Cause.OUT_OF_GPU_MEMORY,
            EVIDENCE,
            HINT,
        ),
        hint=HINT,
    )
    dense = worker("qwen3-32b-0", profile="dense-32b", gpus=(6, 7), port=8100, since=NOW - timedelta(hours=26))
    return [*made, replace(dense, endpoint="http://127.0.0.1:8100")]


def _ready(number: int) -> WorkerStatus:
    age = timedelta(days=3, hours=5 + number)
    return worker(f"qwen3-vl-{number}", since=NOW - age, restarts=1 if number == 2 else 0)


def cards(past: History) -> tuple[GpuSample, ...]:
    made = []
    for index in range(8):
        use = past.gpus[str(index)]["utilization"][-1] or 0.0
        used = {STARTING: 58, WAITING: 37}.get(index, 121 + index % 3) * GIB
        made.append(gpu(index, utilization=use, memory_used=used, temperature=36 + 32 * use, power=118 + 560 * use))
    return tuple(made)


KINDS = {"ended:": "worker.exit", "switched": "switch"}
"""Of an event by its first word."""


def told(workers: list[WorkerStatus]) -> tuple[Event, ...]:
    waits, starts = f"qwen3-vl-{WAITING}", f"qwen3-vl-{STARTING}"
    happened: tuple[tuple[int, str, str, Severity], ...] = (
        (3120, "qwen3-vl", "ann (uid 1000, pid 3247, qvlctl) asked: switch to standard", Severity.INFO),
        (3119, "qwen3-vl", "switching to profile standard", Severity.INFO),
        (2874, "qwen3-vl", "switched to profile standard", Severity.INFO),
        (640, "qwen3-vl-2", "ended: hang (signal 9): no answer to a generation within 25 s, 3 times", Severity.WARNING),
        (606, "qwen3-vl-2", "starting → running", Severity.INFO),
        (71, starts, "ann (uid 1000, pid 3247, qvlctl) asked: restart", Severity.INFO),
        (71, starts, "running → draining", Severity.INFO),
        (52, waits, f"ended: out-of-gpu-memory (signal 9): {EVIDENCE}", Severity.WARNING),
        (51, waits, f"releasing → backoff: out-of-gpu-memory: {EVIDENCE}", Severity.INFO),
        (38, starts, "draining → stopping", Severity.INFO),
        (27, waits, "backoff → starting", Severity.INFO),
        (17, starts, "stopping → releasing", Severity.INFO),
        (14, starts, "releasing → starting", Severity.INFO),
        (4, waits, f"ended: out-of-gpu-memory (signal 9): {EVIDENCE}", Severity.WARNING),
    )
    names = {known.name for known in workers}
    return tuple(
        Event(
            seq=number,
            at=NOW - timedelta(seconds=ago),
            kind=KINDS.get(message.partition(" ")[0], "worker.phase"),
            message=message,
            severity=severity,
            worker=about if about in names else None,
            pool=None if about in names else about,
        )
        for number, (ago, about, message, severity) in enumerate(happened, start=41)
    )


class Scene(LogLink):
    """The daemon of a host with eight cards, busy and not quite well."""

    def __init__(self) -> None:
        workers = fleet()
        self.past = history(workers)
        workers = [_with_figures(known, self.past) for known in workers]
        self.workers = workers
        whole = status(*workers, gpus=cards(self.past))
        pools = (
            PoolStatus("qwen3-vl", "standard", None, "http://127.0.0.1:8000", 4, 6),
            PoolStatus("qwen3-32b", "dense-32b", None, "http://127.0.0.1:8100", 1, 1),
        )
        events = told(workers)
        snapshot = Snapshot(events[-1].seq, NOW, replace(whole, pools=pools))
        super().__init__(snapshot, *events)
        self.before = lived(*(known.name for known in workers), gpus=8)

    async def history(self) -> History:
        return self.past

    async def profiles(self) -> tuple[ProfileInfo, ...]:
        model = "Qwen/Qwen3-VL-8B-Instruct"
        return (
            ProfileInfo("standard", "sglang", model, None, ("qwen3-vl",)),
            ProfileInfo("eagle3", "sglang", model, "standard", ()),
            ProfileInfo("fp8", "sglang", f"{model}-FP8", "standard", ()),
            ProfileInfo("dense-32b", "sglang", "Qwen/Qwen3-32B", None, ("qwen3-32b",)),
        )

    async def plan_switch(self, pool: str, profile: str | None) -> Plan:
        keys = (KeyChange("args.speculative-algorithm", None, "EAGLE3"), KeyChange("args.speculative-draft-model-path"))
        mine = [known.name for known in self.workers if known.pool == pool]
        return Plan("a1", tuple(PlanStep(name, Action.RESTART, keys, 34.0) for name in mine))


def _with_figures(known: WorkerStatus, past: History) -> WorkerStatus:
    if known.name not in past.workers:
        return known
    last = {figure: values[-1] or 0.0 for figure, values in past.workers[known.name].items()}
    metrics = WorkerMetrics(
        running=int(last["running"]),
        queued=0,
        tokens_per_s=last["tokens_per_s"],
        kv_usage=last["kv_usage"],
        cache_hit_rate=0.61,
        ttft_p50_s=last["ttft_p50_s"],
        ttft_p95_s=last["ttft_p50_s"] * 2.4,
    )
    return replace(known, metrics=metrics)


class Shot(NamedTuple):
    """What is pressed, and on which daemons, for one picture."""

    link: Callable[[], FakeLink]
    keys: tuple[str, ...] = ()
    others: Callable[[], tuple[FakeLink, ...]] = tuple
    prefs: Preferences = Preferences()


def away() -> tuple[FakeLink, ...]:
    """Two further hosts, one of which can't be reached."""
    gone = FakeLink(name="gpu-09")
    gone.up = False
    return FakeLink(*troubled(), name="gpu-08"), gone


def here() -> FakeLink:
    made = Scene()
    made.name = "gpu-07"
    return made


SHOTS: dict[str, Shot] = {
    "fleet": Shot(Scene, ("G", "k")),
    "worker": Shot(ready, ("2",)),
    "logs": Shot(talking, ("3", "a")),
    "metrics": Shot(Scene, ("4",), prefs=Preferences(metrics_span=86400.0)),
    "switch": Shot(lambda: changing(*under_way()), ("5",)),
    "config": Shot(lambda: of_config(refused()), ("6", "n")),
    "hosts": Shot(here, ("j", "j"), away),
}
"""By the name of the file."""


async def picture(shot: Shot) -> str:
    # Preferences change while one looks.
    async with terminal(shot.link(), SIZE, others=shot.others(), prefs=replace(shot.prefs)) as shown:
        await shown.press(*shot.keys)
        return TEXT.sub(_unpadded, shown.app.export_screenshot(title="qvlctl tui"))


def _unpadded(text: re.Match[str]) -> str:
    """The same text without blanks at its ends: some programs that draw SVG drop them, and move what is between."""
    start, left, between, length, end, content = text.groups()
    x, width = float(left), float(length)
    while content.startswith(BLANK):
        content, x, width = content.removeprefix(BLANK), x + CELL, width - CELL
    while content.endswith(BLANK):
        content, width = content.removesuffix(BLANK), width - CELL
    return f'{start}x="{x:g}"{between}textLength="{width:g}"{end}>{content}</text>' if content else ""


def with_keys(text: str) -> str:
    """The document with the table of keys that the program has."""
    head, _, rest = text.partition("<!-- keys -->\n")
    tail = rest.partition("<!-- /keys -->")[2]
    return f"{head}<!-- keys -->\n{table()}\n<!-- /keys -->{tail}"


def main() -> None:
    os.environ["TZ"] = "UTC"
    os.environ.pop("NO_COLOR", None)
    time.tzset()
    document = Path("docs", "tui.md")
    document.write_text(with_keys(document.read_text(encoding="utf-8")), encoding="utf-8")
    docs = Path("docs", "tui")
    docs.mkdir(exist_ok=True)
    for name, shot in SHOTS.items():
        docs.joinpath(f"{name}.svg").write_text(asyncio.run(picture(shot)), encoding="utf-8")


if __name__ == "__main__":
    main()

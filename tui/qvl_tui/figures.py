"""Which plots there are, and how the figures of several workers or cards become one curve. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from qvl.model.status import GatewayStatus, WorkerStatus

from qvl_tui.past import Past, Value
from qvl_tui.scale import Unit
from qvl_tui.store import Store


class Merge(StrEnum):
    """How several become one."""

    SUM = "sum"
    MEAN = "mean"
    MOST = "most"


class Curve(NamedTuple):
    label: str
    figure: str
    merge: Merge


class Plot(NamedTuple):
    title: str
    unit: Unit
    area: Curve
    line: Curve | None = None
    of_gpus: bool = False


PLOTS = (
    Plot("throughput", Unit.RATE, Curve("", "tokens_per_s", Merge.SUM)),
    Plot(
        "first token",
        Unit.TIME,
        Curve("p50", "ttft_p50_s", Merge.MEAN),
        Curve("p95", "ttft_p95_s", Merge.MOST),
    ),
    Plot("requests", Unit.COUNT, Curve("running", "running", Merge.SUM), Curve("queued", "queued", Merge.SUM)),
    Plot(
        "between tokens",
        Unit.TIME,
        Curve("p50", "itl_p50_s", Merge.MEAN),
        Curve("p95", "itl_p95_s", Merge.MOST),
    ),
    Plot("kv cache", Unit.SHARE, Curve("mean", "kv_usage", Merge.MEAN), Curve("fullest", "kv_usage", Merge.MOST)),
    Plot("cache hits", Unit.SHARE, Curve("", "cache_hit_rate", Merge.MEAN)),
    Plot(
        "gpu load",
        Unit.SHARE,
        Curve("mean", "utilization", Merge.MEAN),
        Curve("busiest", "utilization", Merge.MOST),
        True,
    ),
    Plot("gpu memory", Unit.BYTES, Curve("", "memory_used", Merge.SUM), None, True),
    Plot("gpu power", Unit.WATTS, Curve("", "power", Merge.SUM), None, True),
    Plot(
        "gpu heat",
        Unit.DEGREES,
        Curve("mean", "temperature", Merge.MEAN),
        Curve("hottest", "temperature", Merge.MOST),
        True,
    ),
    Plot("accept length", Unit.PLAIN, Curve("", "accept_length", Merge.MEAN)),
)
"""In the order of how much they are asked for: on a small screen the first ones are seen."""


class Reach(StrEnum):
    """Whose figures are shown."""

    WORKER = "worker"
    POOL = "pool"
    ALL = "all"


class Scope(NamedTuple):
    title: str
    workers: tuple[str, ...]
    gpus: tuple[str, ...]
    """Indexes of their cards, as text."""

    def subjects(self, plot: Plot) -> list[str]:
        return [f"gpu:{index}" for index in self.gpus] if plot.of_gpus else list(self.workers)


def scope(reach: Reach, store: Store, focus: WorkerStatus | None) -> Scope:
    """Whom a plot is of. A pool or all that have one worker are named by it."""
    everyone = list(store.workers.values())
    if isinstance(focus, GatewayStatus) and reach is Reach.WORKER:
        reach = Reach.POOL
    if reach is Reach.ALL or focus is None:
        return _scope(f"all {len(everyone)} workers", everyone, store, cards=None)
    if reach is Reach.POOL:
        mine = [worker for worker in everyone if worker.pool == focus.pool]
        return _scope(f"pool {focus.pool}, {len(mine)} workers", mine, store, cards=mine)
    return _scope(focus.name, [focus], store, cards=[focus])


def _scope(title: str, workers: list[WorkerStatus], store: Store, cards: list[WorkerStatus] | None) -> Scope:
    if len(workers) == 1:
        title = workers[0].name
    known = {gpu.uuid: gpu.index for gpu in store.gpus} | {gpu.index: gpu.index for gpu in store.gpus}
    if cards is None:
        indexes = sorted({gpu.index for gpu in store.gpus})
    else:
        indexes = sorted({known[gpu] for worker in cards for gpu in worker.gpus if gpu in known})
    return Scope(title, tuple(worker.name for worker in workers), tuple(str(index) for index in indexes))


def curve(past: Past, subjects: Iterable[str], wanted: Curve) -> list[Value]:
    """One value for each bucket; None where nobody's is known."""
    columns = [past.values(subject, wanted.figure) for subject in subjects]
    return [_merged(values, wanted.merge) for values in zip(*[c for c in columns if c], strict=True)]


def _merged(values: Sequence[Value], merge: Merge) -> Value:
    known = [value for value in values if value is not None]
    if not known:
        return None
    match merge:
        case Merge.SUM:
            return sum(known)
        case Merge.MEAN:
            return sum(known) / len(known)
        case Merge.MOST:
            return max(known)


def curves(plot: Plot, subjects: Sequence[str]) -> tuple[Curve, Curve | None]:
    """The two to draw. Mean and most of a single one are the same: one is enough."""
    if plot.line is not None and plot.line.figure == plot.area.figure and len(subjects) < 2:
        return plot.area._replace(label=""), None
    return plot.area, plot.line

"""The figures of the past as the daemon would tell them at a moment of the recording: from the frames before it."""

from qvl.model.api import History
from qvl.model.event import Change, Snapshot
from qvl.model.status import WorkerMetrics

from qvl_tui.replay.tape import Heard, Linked, Tape
from qvl_tui.store import KEPT_SAMPLES, LinkPhase

STEP_S = 5
"""As the daemon samples."""
LONG_S = 1800
WORKER = WorkerMetrics.__struct_fields__
GPU = ("memory_used", "utilization", "temperature", "power")

Row = dict[str, tuple[float | None, ...]]


def history(tape: Tape, at: int, span_s: int = KEPT_SAMPLES * STEP_S, step_s: int = STEP_S) -> History:
    """The last `span_s` seconds before `at` (unix milliseconds) in steps of `step_s`, in each what was known at its
    end. There is nothing of a worker that had gone, and of nobody while the daemon was away. Of a long span a picture
    of each minute is enough."""
    begin = max(at // 1000 - span_s, tape.recording.begin // 1000)
    steps = range(begin - begin % step_s + step_s, at // 1000 + 1, step_s)
    long = span_s > LONG_S
    heard = iter(tape.pictures(begin * 1000, at) if long else tape.until(at, warm=at - begin * 1000))
    coming = next(heard, None)
    known = _Known()
    workers: list[Row] = []
    gpus: list[Row] = []
    profiles: list[dict[str, str]] = []
    for step in steps:
        while coming is not None and coming.at <= step * 1000:
            known.take(coming)
            coming = next(heard, None)
        workers.append(dict(known.workers))
        gpus.append(dict(known.gpus))
        profiles.append(dict(known.profiles))
    names = sorted({name for row in profiles for name in row})
    return History(
        float(step_s),
        [float(step) for step in steps],
        _columns(workers, WORKER),
        _columns(gpus, GPU),
        {name: [row.get(name) for row in profiles] for name in names},
    )


class _Known:
    """The newest figures."""

    def __init__(self) -> None:
        self.workers: Row = {}
        self.gpus: Row = {}
        self.profiles: dict[str, str] = {}
        """Of workers that have a process."""

    def take(self, heard: Heard) -> None:
        match heard.what:
            case Snapshot(status=status):
                self.workers = {each.name: _values(each.metrics, WORKER) for each in status.workers}
                self.gpus = {str(each.index): _values(each, GPU) for each in status.gpus}
                self.profiles = {each.name: each.profile for each in status.workers if each.phase.has_process}
            case Change() as change:
                self.workers |= {each.name: _values(each.metrics, WORKER) for each in change.workers}
                gone = {each.name for each in change.workers if not each.phase.has_process} | set(change.removed)
                self.profiles |= {each.name: each.profile for each in change.workers}
                self.profiles = {name: profile for name, profile in self.profiles.items() if name not in gone}
                self.workers |= {name: _values(each, WORKER) for name, each in change.metrics.items()}
                self.workers = {name: row for name, row in self.workers.items() if name not in change.removed}
                if change.gpus is not None:
                    self.gpus = {str(each.index): _values(each, GPU) for each in change.gpus}
            case Linked(phase=LinkPhase.DOWN):
                self.workers, self.gpus, self.profiles = {}, {}, {}


def _values(of: object, figures: tuple[str, ...]) -> tuple[float | None, ...]:
    return tuple(getattr(of, figure) for figure in figures)


def _columns(rows: list[Row], figures: tuple[str, ...]) -> dict[str, dict[str, list[float | None]]]:
    names = sorted({name for row in rows for name in row})
    empty: tuple[float | None, ...] = (None,) * len(figures)
    return {
        name: {figure: [row.get(name, empty)[place] for row in rows] for place, figure in enumerate(figures)}
        for name in names
    }

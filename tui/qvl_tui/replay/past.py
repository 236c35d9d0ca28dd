"""The figures of the past as the daemon would tell them at a moment of the recording: from the frames before it."""

from qvl.model.api import History
from qvl.model.event import Change, Snapshot

from qvl_tui.replay.tape import Tape
from qvl_tui.store import KEPT_SAMPLES

STEP_MS = 5000
"""As the daemon samples."""
_WORKER = ("running", "queued", "tokens_per_s", "kv_usage", "cache_hit_rate", "ttft_p50_s", "ttft_p95_s")
_GPU = ("memory_used", "utilization", "temperature", "power")

Row = dict[str, tuple[float | None, ...]]


def history(tape: Tape, at: int, samples: int = KEPT_SAMPLES) -> History:
    """The last `samples` steps before `at` (unix milliseconds): in each what was known at its end. A worker that had
    gone, or a daemon that was away, has none."""
    begin = max(at - samples * STEP_MS, tape.recording.begin)
    steps = range(begin - begin % STEP_MS + STEP_MS, at + 1, STEP_MS)
    heard = iter(tape.until(at, warm=at - begin))
    coming = next(heard, None)
    workers: list[Row] = []
    gpus: list[Row] = []
    of_workers: Row = {}
    of_gpus: Row = {}
    for step in steps:
        while coming is not None and coming.at <= step:
            match coming.what:
                case Snapshot(status=status):
                    of_workers = {each.name: _values(each.metrics, _WORKER) for each in status.workers}
                    of_gpus = {str(each.index): _values(each, _GPU) for each in status.gpus}
                case Change() as change:
                    of_workers |= {each.name: _values(each.metrics, _WORKER) for each in change.workers}
                    of_workers |= {name: _values(each, _WORKER) for name, each in change.metrics.items()}
                    of_workers = {name: row for name, row in of_workers.items() if name not in change.removed}
                    if change.gpus is not None:
                        of_gpus = {str(each.index): _values(each, _GPU) for each in change.gpus}
            coming = next(heard, None)
        workers.append(dict(of_workers))
        gpus.append(dict(of_gpus))
    return History(STEP_MS / 1000, [step / 1000 for step in steps], _columns(workers, _WORKER), _columns(gpus, _GPU))


def _values(of: object, figures: tuple[str, ...]) -> tuple[float | None, ...]:
    return tuple(getattr(of, figure) for figure in figures)


def _columns(rows: list[Row], figures: tuple[str, ...]) -> dict[str, dict[str, list[float | None]]]:
    names = sorted({name for row in rows for name in row})
    empty: tuple[float | None, ...] = (None,) * len(figures)
    return {
        name: {figure: [row.get(name, empty)[place] for row in rows] for place, figure in enumerate(figures)}
        for name in names
    }

"""How far a transaction is, in percent: by the workers that are through, and by how far the present one is."""

from qvl.model.worker import Phase, Progress

_ON_THE_WAY_OUT = {Phase.RUNNING: 0.0, Phase.DRAINING: 0.0, Phase.STOPPING: 0.02, Phase.RELEASING: 0.05}
_BEGUN = 0.06
_READY = 0.9
"""The share of a worker that is left for its tests, once it serves."""
_TESTED = {"smoke test": 0.92, "routing": 0.97}
"""What has been reached when these steps begin."""

UNDER_WAY = 99
"""Only what is over is at 100."""


def share(step: str, phase: Phase, progress: Progress | None, *, restarted: bool) -> float:
    """Of one worker, 0 to 1. `restarted`: its process is a new one."""
    if step in _TESTED:
        return _TESTED[step]
    if not restarted:
        return _ON_THE_WAY_OUT.get(phase, _BEGUN)
    if phase is Phase.STARTING:
        percent = progress.percent if progress is not None and progress.percent is not None else 0
        return min(_READY, _BEGUN + (_READY - _BEGUN) * percent / 100)
    return _READY if phase is Phase.RUNNING else _BEGUN


def percent(done: int, total: int, present: float) -> int:
    """`present`: the share of the worker after the `done` ones."""
    if total == 0:
        return 0
    return min(UNDER_WAY, int(100 * (done + present) / total))

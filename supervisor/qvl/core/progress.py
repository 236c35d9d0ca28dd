"""How far a start has come and how long it still takes, from what the log shows and what earlier starts took."""

from collections.abc import Mapping

import msgspec

from qvl.core.landmarks import STEPS, Sighting
from qvl.model.worker import Progress

TYPICAL: dict[str, float] = {
    "launch": 0.5,
    "import": 20.0,
    "weights": 4.0,
    "kv-cache": 1.0,
    "graphs": 7.0,
    "warm-up": 3.0,
}
"""Seconds of an 8B model on an H100, for the shares of a start that was never seen before; no ETA is made of these."""


class StartTrack(msgspec.Struct, frozen=True):
    """One start under way. Times are CLOCK_MONOTONIC seconds."""

    began: float
    step: str = "launch"
    step_began: float = 0.0
    fraction: float | None = None
    took: dict[str, float] = {}
    """Seconds of the steps that are over."""
    percent: int = 0
    """The highest percent shown so far: a start never goes backwards on screen."""


def track(began: float) -> StartTrack:
    return StartTrack(began=began, step_began=began)


def advance(start: StartTrack, seen: Sighting, now: float) -> StartTrack:
    """Take in a sighting. A line of an earlier step (steps overlap) does not move the start back."""
    if STEPS.index(seen.step) < STEPS.index(start.step):
        return start
    if seen.step == start.step:
        return msgspec.structs.replace(start, fraction=seen.fraction if seen.fraction is not None else start.fraction)
    took = {**start.took, start.step: round(now - start.step_began, 3)}
    return msgspec.structs.replace(start, step=seen.step, step_began=now, fraction=seen.fraction, took=took)


def finish(start: StartTrack, now: float) -> dict[str, float]:
    """Seconds of every step of a start that got ready."""
    return {**start.took, start.step: round(now - start.step_began, 3)}


def estimate(start: StartTrack, remembered: Mapping[str, float] | None, now: float) -> tuple[StartTrack, Progress]:
    """The track with its percent moved on, and what to show. `remembered`: seconds of each step of the last good start
    of the same kind; without it there is no ETA."""
    expected = remembered or TYPICAL
    total = sum(expected.values()) or 1.0
    current = expected.get(start.step, 0.0)
    elapsed = now - start.step_began
    by_time = min(elapsed / current, 0.95) if current > 0 else 0.0
    share = max(start.fraction, by_time) if start.fraction is not None and remembered else start.fraction or by_time
    done = sum(expected.get(step, 0.0) for step in STEPS[: STEPS.index(start.step)])
    percent = max(start.percent, min(99, round(100 * (done + current * share) / total)))
    eta = round(max(0.0, total - (now - start.began)), 1) if remembered else None
    return msgspec.structs.replace(start, percent=percent), Progress(start.step, percent, eta)

"""How far a start has come and how long it still takes, from what the log shows and what earlier starts took."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from qvl.core.landmarks import STEPS, Sighting
from qvl.model.worker import Progress

TYPICAL: dict[str, float] = {
    "launch": 9.5,
    "import": 13.0,
    "weights": 2.5,
    "kv-cache": 0.2,
    "graphs": 6.8,
    "warm-up": 3.0,
}
"""Seconds of SGLang 0.5.17 with an 8B model on an H100, for the shares of a start that was never seen before; no ETA is
made of these."""

BARS = ("weights", "graphs")
"""Steps whose fractions are a progress bar's, so that they say more than the time of another start does."""

_ALMOST = 0.95
"""The share of a step that passing time alone can show."""


Seconds = Annotated[float, Meta(ge=0, le=1e11)]


class StartTrack(msgspec.Struct, frozen=True):
    """One start under way. Times are CLOCK_MONOTONIC seconds. The bounds are for what is read from a disk: another
    release may have written it."""

    began: Seconds
    step: Annotated[str, Meta(pattern=f"^({'|'.join(STEPS)})$")] = "launch"
    step_began: Seconds = 0.0
    fraction: Annotated[float, Meta(ge=0, le=1)] | None = None
    took: dict[str, float] = {}
    """Seconds of the steps that are over."""
    percent: Annotated[int, Meta(ge=0, le=100)] = 0
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
    elapsed = max(0.0, now - start.step_began)
    at = STEPS.index(start.step)
    share, left = min(elapsed / current, _ALMOST) if current > 0 else 0.0, max(0.0, current - elapsed)
    if start.fraction is not None:
        if start.step in BARS and start.fraction >= 0.01:
            share, left = start.fraction, elapsed * (1 / start.fraction - 1)
        else:
            share = max(share, start.fraction)
    done = sum(expected.get(step, 0.0) for step in STEPS[:at])
    percent = max(start.percent, min(99, round(100 * (done + current * share) / total)))
    rest = sum(expected.get(step, 0.0) for step in STEPS[at + 1 :])
    eta = round(left + rest, 1) if remembered else None
    return msgspec.structs.replace(start, percent=percent), Progress(start.step, percent, eta)

"""One start of a worker as it is remembered: how far it came, what each step took, and what led one to expect it.

It outlives its process and the daemon, since what people ask of a worker that runs for weeks, or came to nothing, is
how it started. `qvl.core.progress` has the steps themselves.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from qvl.core.landmarks import STEPS, Sighting
from qvl.core.progress import BARS, Seconds, StartTrack, advance, estimate, finish, track
from qvl.model.detail import EngineCapacity, StartDetail, StepState, StepTime
from qvl.model.status import when
from qvl.model.worker import Process, Progress


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A start that is under way or over, as it lies on disk. CLOCK_MONOTONIC times are of the boot of its process."""

    generation: int
    profile: str
    at: Seconds
    """Unix time in seconds at which its process was there."""
    log_offset: Annotated[int, Meta(ge=0, lt=1 << 62)]
    """Where it begins in the worker's log."""
    track: StartTrack
    expected: dict[str, Seconds] = {}
    """Seconds of each step of the last good start of the profile, as remembered when this one began."""
    watched: bool = True
    """A daemon was there for it from its begin; otherwise nobody knows what its single steps took."""
    over: bool = False
    ready: bool = False
    seconds: Seconds | None = None
    """From its begin until it was over; None before, and where nobody saw that."""
    capacity: EngineCapacity | None = None


def begun(process: Process, generation: int, profile: str, expected: dict[str, float] | None) -> Start:
    """The start of a process that is there since now."""
    return Start(
        generation=generation,
        profile=profile,
        at=process.started_at,
        log_offset=process.log_offset,
        track=track(process.started_mono),
        expected=expected or {},
    )


def found(process: Process, generation: int, profile: str, *, starting: bool, served: bool) -> Start:
    """The start of a process that was there before whoever remembers starts."""
    start = msgspec.structs.replace(begun(process, generation, profile, None), watched=False)
    return start if starting else msgspec.structs.replace(start, over=True, ready=served)


def taken_over(start: Start, *, starting: bool, served: bool) -> Start:
    """What an earlier daemon has left: one that got ready, or ended, while none was there, did so at a time that nobody
    knows."""
    if start.over or starting:
        return start
    return msgspec.structs.replace(start, over=True, ready=served, watched=False)


def seen(
    start: Start, sighting: Sighting | None, remembered: dict[str, float] | None, now: float
) -> tuple[Start, Progress]:
    """Take in a sighting, or only that time has passed; with what to show of it."""
    moved = start.track if sighting is None else advance(start.track, sighting, now)
    if not start.watched:  # what the log tells now may have happened long ago
        moved = msgspec.structs.replace(moved, took=start.track.took)
    moved, progress = estimate(moved, remembered, now)
    return msgspec.structs.replace(start, track=moved), progress


def ended(start: Start, now: float, *, ready: bool) -> Start:
    """It got ready, or it is over without that."""
    if start.over:
        return start
    now = max(now, start.track.step_began)
    took = finish(start.track, now) if start.watched else start.track.took
    return msgspec.structs.replace(
        start,
        track=msgspec.structs.replace(start.track, took=took),
        over=True,
        ready=ready,
        seconds=round(max(0.0, now - start.track.began), 3),
    )


def detail(start: Start, now: float) -> StartDetail:
    """As people are told it; `now` is CLOCK_MONOTONIC."""
    running = start.track
    seconds = start.seconds if start.over else round(max(0.0, now - running.began), 1)
    return StartDetail(
        at=when(start.at),
        profile=start.profile,
        steps=tuple(_step(start, step, now) for step in STEPS),
        ready=start.ready,
        over=start.over,
        fraction=running.fraction if running.step in BARS and not start.over else None,
        seconds=seconds,
        expected_s=round(sum(start.expected.values()), 3) if start.expected else None,
    )


def _step(start: Start, step: str, now: float) -> StepTime:
    running, place, at = start.track, STEPS.index(step), STEPS.index(start.track.step)
    took = running.took.get(step)
    expected = start.expected.get(step)
    if place > at:
        state = StepState.SKIPPED if start.ready else StepState.AHEAD
    elif not start.watched and took is None and (place < at or start.ready):
        state = StepState.UNKNOWN
    elif place < at:
        state = StepState.DONE if took is not None else StepState.SKIPPED
    elif start.ready:
        state = StepState.DONE
    else:
        state = StepState.NOW
        if not start.over and start.watched:
            took = round(max(0.0, now - running.step_began), 1)
    return StepTime(step, state, took, expected)

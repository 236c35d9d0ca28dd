"""Is a serving worker still well? Signals are fused, so that neither a busy one is killed nor a dead one trusted.

Progress (a counter moved, a line was logged) beats every failed check: busy is not hung. A real generation is asked for
only where nothing else tells, that is when the worker is idle, one at a time: SGLang's `/health` leaves a probe that
timed out in its scheduler, and enough of them crash it (sglang issue 35884).
"""

import msgspec

from qvl.model.spec import HealthPolicy
from qvl.model.worker import Cause, Verdict

WATCHDOG = 360.0
"""Seconds that a worker with requests in flight may show no progress: SGLang's own watchdog acts after 300 s; ours is
the one behind it."""


class Observation(msgspec.Struct, frozen=True):
    """What one round of checks saw."""

    answered: bool
    """The cheap endpoint answered."""
    progress: bool
    """A counter moved or a line was logged since the last round."""
    busy: bool
    """Requests are running or queued, as far as known."""
    deep: bool | None = None
    """The real generation's outcome; None where it was not tried."""
    detail: str = ""
    """What failed, for people."""


class Health(msgspec.Struct, frozen=True):
    """What is remembered between rounds. Times are CLOCK_MONOTONIC seconds."""

    moved_at: float
    deep_at: float
    strikes: int = 0
    ready: bool = True


class Judgement(msgspec.Struct, frozen=True):
    health: Health
    ready: bool
    why: str | None = None
    verdict: Verdict | None = None


def wants_deep(health: Health, policy: HealthPolicy, *, busy: bool, now: float) -> bool:
    """Whether this round asks for a real generation: idle and due, or following up on a strike."""
    if busy and health.strikes == 0:
        return now - health.moved_at >= policy.deep_interval and now - health.deep_at >= policy.deep_interval
    return health.strikes > 0 or now - health.deep_at >= policy.deep_interval


def judge(health: Health, policy: HealthPolicy, seen: Observation, now: float) -> Judgement:
    """Take in one round."""
    deep_at = now if seen.deep is not None else health.deep_at
    if seen.progress or seen.deep:
        ready = seen.answered or bool(seen.deep)
        return Judgement(Health(now, deep_at, ready=ready), ready, None if ready else seen.detail)
    if seen.answered and seen.deep is None:
        # After a strike a generation is asked for, so this one has none to ask for: the cheap answer is all it gives.
        return Judgement(msgspec.structs.replace(health, strikes=0, ready=True), True)
    strikes = health.strikes + 1
    health = Health(health.moved_at, deep_at, strikes, ready=False)
    silent = now - health.moved_at
    why = f"health check failed {strikes}/{policy.failures}: {seen.detail}"
    if strikes < policy.failures:
        return Judgement(health, False, why)
    if seen.busy and silent < WATCHDOG:
        return Judgement(health, False, f"busy without progress for {silent:.0f} s: {seen.detail}")
    evidence = f"no progress for {silent:.0f} s and {strikes} failed checks: {seen.detail}"
    return Judgement(health, False, why, Verdict(Cause.HANG, evidence))

"""Is a serving worker still well? Signals are fused, so that neither a busy one is killed nor a dead one trusted.

A sign of life (a counter moved, a line was logged, a generation came out) beats every failed check: busy is not hung.
A real generation is asked for only where nothing else tells, that is when the worker is idle, one at a time: SGLang's
`/health` leaves a probe that timed out in its scheduler, and enough of them crash it (sglang issue 35884).

What shows no sign of life and fails its checks is looked at closer: where its processes compute, or its cards do, the
engine's own watchdog has the first word; a process that is stopped, or that nobody runs, has nothing to be waited for.
It is then found within `deep_interval + timeout + failures × interval` of its last sign of life.
"""

import msgspec

from qvl.model.spec import HealthPolicy
from qvl.model.worker import Cause, Verdict

BUSY_CPU = 0.2
"""Share of one processor from which on a tree counts as computing: answering our own questions takes a hundredth."""


class Observation(msgspec.Struct, frozen=True):
    """What one round of checks saw."""

    answered: bool
    """The cheap endpoint answered when it was last asked."""
    progress: bool
    """A counter moved or a line was logged since the last round."""
    busy: bool
    """Requests are running or queued, as far as known."""
    deep: bool | None = None
    """The newest real generation's outcome since the last sign of life; None where none has ended."""
    stranger: str | None = None
    """Who listens on its port, where that is another process."""
    deaf: str | None = None
    """That nobody listens on its port, where that is so: it may be shutting down."""
    stopped: bool = False
    """A process of its tree is halted (state T of proc(5))."""
    working: bool = False
    """Its processes or its cards compute."""
    detail: str = ""
    """What failed, for people."""


class Health(msgspec.Struct, frozen=True):
    """What is remembered between rounds."""

    moved_at: float
    """The last sign of life, CLOCK_MONOTONIC seconds."""
    strikes: int = 0
    ready: bool = True


class Judgement(msgspec.Struct, frozen=True):
    health: Health
    ready: bool
    why: str | None = None
    verdict: Verdict | None = None


def wants_deep(health: Health, policy: HealthPolicy, *, busy: bool, now: float) -> bool:
    """Whether this round asks for a real generation: idle, and due before the next round, or after a strike."""
    return not busy and (health.strikes > 0 or now + policy.interval > health.moved_at + policy.deep_interval)


def is_suspect(health: Health, policy: HealthPolicy, *, now: float) -> bool:
    """Whether this round looks at the worker's processes: what they have computed since is needed soon."""
    return health.strikes > 0 or now + policy.interval > health.moved_at + policy.deep_interval


def judge(health: Health, policy: HealthPolicy, seen: Observation, now: float, *, watchdog: float) -> Judgement:
    """Take in one round. `watchdog`: seconds that a worker which computes may show no progress."""
    if seen.stranger is None and (seen.progress or seen.deep):
        ready = seen.answered or bool(seen.deep)
        return Judgement(Health(now, ready=ready), ready, None if ready else seen.detail)
    silent = now - health.moved_at
    long = silent >= policy.deep_interval + policy.timeout
    fails = not seen.answered or seen.deep is not None or seen.stranger is not None or seen.deaf is not None
    if not fails and not (seen.busy and long):
        return Judgement(msgspec.structs.replace(health, strikes=0, ready=True), True)
    strikes = health.strikes + 1
    health = Health(health.moved_at, strikes, ready=False)
    detail = seen.stranger or seen.deaf or seen.detail or f"no progress for {silent:.0f} s with requests in flight"
    if strikes < policy.failures:
        return Judgement(health, False, f"health check failed {strikes}/{policy.failures}: {detail}")
    if seen.deaf is not None and not long:
        # A server that ends closes its listener first, and takes seconds for the rest.
        return Judgement(health, False, detail)
    if seen.working and not seen.stopped and silent < watchdog:
        return Judgement(health, False, f"busy without progress for {silent:.0f} s: {detail}")
    return Judgement(health, False, detail, _verdict(seen, strikes, silent, detail))


def _verdict(seen: Observation, strikes: int, silent: float, detail: str) -> Verdict:
    if seen.stranger is not None:
        return Verdict(Cause.PORT_IN_USE, seen.stranger)
    halted = ", a process of it is stopped (state T)" if seen.stopped else ""
    return Verdict(Cause.HANG, f"no progress for {silent:.0f} s and {strikes} failed checks: {detail}{halted}")

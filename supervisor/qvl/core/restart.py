"""What follows from an unrequested end: again after a delay, or not at all and why.

`WAYS` is the one table of what each cause leads to; a pool's `restart.causes` overrides it row by row. The rule behind
the table: what can't be mended by doing the same thing again isn't done again.
"""

import zlib
from collections.abc import Sequence

import msgspec

from qvl.model.spec import EngineKind, RestartMode, RestartPolicy, Way
from qvl.model.worker import Cause, Exit

WAYS: dict[Cause, Way] = {
    Cause.REQUESTED: Way.RETRY,
    Cause.BAD_ARGUMENTS: Way.NEVER,
    Cause.MODEL_MISSING: Way.NEVER,
    Cause.PORT_IN_USE: Way.GATE,
    Cause.OUT_OF_GPU_MEMORY: Way.GATE,
    Cause.OUT_OF_HOST_MEMORY: Way.RETRY,
    Cause.GPU_FAULT: Way.RETRY,
    Cause.COLLECTIVE_FAULT: Way.RETRY,
    Cause.ENGINE_CRASH: Way.RETRY,
    Cause.HANG: Way.RETRY,
    Cause.START_STALLED: Way.RETRY,
    Cause.ENVIRONMENT: Way.NEVER,
    Cause.SHM_FULL: Way.RETRY,
    Cause.DISK_FULL: Way.NEVER,
    Cause.KILLED: Way.RETRY,
    Cause.EXITED: Way.RETRY,
    Cause.UNKNOWN: Way.RETRY,
}

JITTER = 0.1
"""A delay is up to this share longer, so that workers that fell together don't rise together."""


class RestartIn(msgspec.Struct, frozen=True):
    """Try again after `delay` seconds."""

    delay: float


class GiveUp(msgspec.Struct, frozen=True):
    """No further try. `final` is an end that the restart mode calls the right one."""

    reason: str
    final: bool = False
    quarantine: bool = False


Decision = RestartIn | GiveUp


def way_of(policy: RestartPolicy, cause: Cause) -> Way:
    """The pool's own way for this cause, or the table's."""
    return policy.causes.get(cause.value, WAYS[cause])


def backoff(policy: RestartPolicy, streak: int, seed: str) -> float:
    """Seconds before try number `streak` (1 is the first): doubles, capped, with a jitter that `seed` decides, so that
    the same worker in the same state waits the same time after a restart of the daemon."""
    doubled = policy.backoff * 2.0 ** min(max(streak - 1, 0), 62)
    share = zlib.crc32(f"{seed}/{streak}".encode()) / 0xFFFFFFFF
    return min(doubled * (1.0 + JITTER * share), policy.backoff_max)


def within(ends: Sequence[float], window: float, now: float) -> tuple[float, ...]:
    """The ends that still count against the budget."""
    return tuple(at for at in ends if now - at < window)


def decide(
    policy: RestartPolicy,
    engine: EngineKind,
    end: Exit,
    *,
    streak: int,
    ends: Sequence[float],
    was_ready: bool,
    repeated: bool,
    now: float,
    seed: str,
) -> Decision:
    """What follows from `end`, an end that nobody asked for and that is the last of `ends`.

    `streak` counts it; `repeated` says that the end before had the same cause, also before it was ready.
    """
    if policy.mode is RestartMode.NEVER:
        return GiveUp(f"it ended ({end.cause}) and restart.mode is never")
    if policy.mode is RestartMode.ON_FAILURE and engine is EngineKind.COMMAND and end.code == 0:
        return GiveUp("it exited with 0, which is final under restart.mode on-failure", final=True)
    match way_of(policy, end.cause):
        case Way.NEVER:
            return GiveUp(f"{end.cause}: a retry can't mend this")
        case Way.QUARANTINE:
            return GiveUp(f"{end.cause}: its GPU is set aside", quarantine=True)
        case Way.GATE if end.cause is Cause.OUT_OF_GPU_MEMORY and repeated and not was_ready:
            # The gate had shown the memory free before this try: the configuration doesn't fit.
            return GiveUp("out-of-gpu-memory twice in a row while loading, on a GPU that was free")
        case Way.RETRY | Way.GATE:
            recent = within(ends, policy.window, now)
            if len(recent) > policy.max_restarts:
                return GiveUp(
                    f"{end.cause}: ended {len(recent)} times within {policy.window:g} s,"
                    f" more than restart.max_restarts = {policy.max_restarts}"
                )
            return RestartIn(backoff(policy, streak, seed))

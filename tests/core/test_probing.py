"""Busy is never condemned, dead is found in time: rounds as the prober makes them, against servers of every ill."""

from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given
from qvl.core.probing import WATCHDOG, Health, Judgement, Observation, judge, wants_deep
from qvl.model.spec import HealthPolicy
from qvl.model.worker import Cause

POLICY = HealthPolicy(interval=5, deep_interval=30, timeout=25, failures=3)
FINE = Health(moved_at=0.0, deep_at=0.0)

WORKING = Observation(answered=True, progress=True, busy=True)
IDLE = Observation(answered=True, progress=False, busy=False)
IDLE_AND_WELL = Observation(answered=True, progress=False, busy=False, deep=True)
IDLE_AND_HUNG = Observation(answered=True, progress=False, busy=False, deep=False, detail="/health: timeout")
LONG_PREFILL = Observation(answered=True, progress=False, busy=True, deep=False, detail="/health answered 503")
MUTE = Observation(answered=False, progress=False, busy=False, detail="no answer")
MUTE_BUT_BUSY = Observation(answered=False, progress=False, busy=True, detail="no answer")
MUTE_BUT_WORKING = Observation(answered=False, progress=True, busy=True, detail="no answer")


@pytest.mark.parametrize(
    ("rounds", "ready"),
    [
        # A table as kubelet's: what was seen in a row, and whether it is ready after each.
        ([WORKING, WORKING], [True, True]),
        ([IDLE, IDLE, IDLE_AND_WELL], [True, True, True]),
        ([IDLE_AND_HUNG, IDLE_AND_HUNG], [False, False]),
        ([IDLE_AND_HUNG, IDLE_AND_WELL], [False, True]),
        ([IDLE_AND_HUNG, WORKING], [False, True]),
        ([MUTE, MUTE, WORKING, MUTE, MUTE], [False, False, True, False, False]),
        ([MUTE, MUTE, IDLE_AND_WELL, MUTE, MUTE], [False, False, True, False, False]),
        ([MUTE_BUT_WORKING] * 5, [False] * 5),
        # Without a generation to ask for, the cheap answer is all there is: three failures must be in a row.
        ([MUTE, IDLE, MUTE, IDLE, MUTE, IDLE], [False, True, False, True, False, True]),
    ],
)
def test_ready_after_each_round(rounds: list[Observation], ready: list[bool]) -> None:
    health, seen = FINE, []
    for i, observation in enumerate(rounds, 1):
        outcome = judge(health, POLICY, observation, 5.0 * i)
        health = outcome.health
        assert outcome.verdict is None
        assert outcome.ready == health.ready
        assert (outcome.why is None) == outcome.ready
        seen.append(outcome.ready)
    assert seen == ready


def test_three_failures_in_a_row_are_a_hang() -> None:
    outcomes = in_a_row([MUTE] * 3)
    assert [outcome.verdict is None for outcome in outcomes] == [True, True, False]
    assert [outcome.why for outcome in outcomes] == [f"health check failed {i}/3: no answer" for i in (1, 2, 3)]
    verdict = outcomes[-1].verdict
    assert verdict is not None
    assert (verdict.cause, verdict.evidence) == (Cause.HANG, "no progress for 15 s and 3 failed checks: no answer")


def in_a_row(rounds: list[Observation]) -> list[Judgement]:
    health, outcomes = FINE, []
    for i, observation in enumerate(rounds, 1):
        outcomes.append(judge(health, POLICY, observation, 5.0 * i))
        health = outcomes[-1].health
    return outcomes


POLICIES = st.builds(
    HealthPolicy,
    interval=st.floats(0.5, 30),
    deep_interval=st.floats(5, 120),
    timeout=st.floats(1, 60),
    failures=st.integers(1, 5),
)


def condemned_after(
    policy: HealthPolicy, see: Callable[[float, bool], Observation], limit: float, *, cost: float, busy: bool
) -> float | None:
    """Seconds until a verdict, as the prober goes about it: a round each interval, a failed generation costs `cost`."""
    health, now = FINE, 0.0
    while now <= limit:
        asked = wants_deep(health, policy, busy=busy, now=now)
        now += cost if asked else 0.0
        outcome = judge(health, policy, see(now, asked), now)
        if outcome.verdict is not None:
            return now
        health = outcome.health
        now += policy.interval
    return None


@given(POLICIES)
def test_a_hung_idle_worker_is_found_in_time(policy: HealthPolicy) -> None:
    """Its server goes on answering; each generation that is asked for times out."""

    def see(now: float, asked: bool) -> Observation:
        return IDLE_AND_HUNG if asked else IDLE

    limit = policy.deep_interval + policy.interval + policy.failures * (policy.timeout + policy.interval)
    found = condemned_after(policy, see, limit + 1, cost=policy.timeout, busy=False)
    assert found is not None
    assert policy.deep_interval <= found <= limit


@given(POLICIES)
def test_a_worker_that_refuses_at_once_is_found_within_its_failures(policy: HealthPolicy) -> None:
    found = condemned_after(policy, lambda now, asked: MUTE, 10_000, cost=0.0, busy=False)
    assert found is not None
    assert found == pytest.approx((policy.failures - 1) * policy.interval)


@given(POLICIES, st.sampled_from([LONG_PREFILL, MUTE_BUT_BUSY]))
def test_a_busy_worker_is_left_to_the_watchdog(policy: HealthPolicy, seen: Observation) -> None:
    found = condemned_after(policy, lambda now, asked: seen, 20_000, cost=policy.timeout, busy=True)
    assert found is not None
    assert found >= WATCHDOG


@given(POLICIES, st.floats(1, WATCHDOG - 1))
def test_a_busy_worker_that_moves_now_and_then_is_never_condemned(policy: HealthPolicy, every: float) -> None:
    moved = [0.0]

    def see(now: float, asked: bool) -> Observation:
        if now - moved[0] >= every:
            moved[0] = now
            return WORKING
        return LONG_PREFILL if asked else Observation(answered=True, progress=False, busy=True)

    # A round that ends just before the watchdog would is followed by one that sees the progress.
    if every + policy.interval + policy.timeout < WATCHDOG:
        assert condemned_after(policy, see, 3 * WATCHDOG, cost=policy.timeout, busy=True) is None


@given(st.lists(st.sampled_from([IDLE_AND_HUNG, MUTE, LONG_PREFILL, MUTE_BUT_BUSY, IDLE, IDLE_AND_WELL]), max_size=20))
def test_progress_forgives_all(rounds: list[Observation]) -> None:
    health = FINE
    for i, observation in enumerate(rounds):
        health = judge(health, POLICY, observation, float(i)).health
    outcome = judge(health, POLICY, WORKING, 100.0)
    assert (outcome.health.strikes, outcome.health.moved_at, outcome.ready) == (0, 100.0, True)


@pytest.mark.parametrize(
    ("strikes", "busy", "moved", "asked", "now", "wanted"),
    [
        (0, False, 0.0, 0.0, 29.0, False),  # idle, not yet
        (0, False, 0.0, 0.0, 30.0, True),
        (0, False, 30.0, 0.0, 30.0, True),  # idle again after work
        (0, True, 29.0, 0.0, 30.0, False),  # busy and moving
        (0, True, 0.0, 0.0, 30.0, True),  # busy and still for long
        (0, True, 0.0, 20.0, 30.0, False),  # one at a time
        (1, False, 0.0, 29.0, 30.0, True),  # a strike is followed up
        (1, True, 0.0, 29.0, 30.0, True),
    ],
)
def test_a_generation_is_asked_for_when_nothing_else_tells(
    strikes: int, busy: bool, moved: float, asked: float, now: float, wanted: bool
) -> None:
    health = Health(moved_at=moved, deep_at=asked, strikes=strikes)
    assert wants_deep(health, POLICY, busy=busy, now=now) is wanted

"""Busy is never condemned, dead is found in time: rounds as the prober makes them, against servers of every ill."""

from collections.abc import Callable

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from qvl.core.probing import Health, Judgement, Observation, is_suspect, judge, wants_deep
from qvl.model.spec import HealthPolicy
from qvl.model.worker import Cause

POLICY = HealthPolicy(interval=5, deep_interval=30, timeout=25, failures=3)
WATCHDOG = 360.0
FINE = Health(moved_at=0.0)

SERVING = Observation(answered=True, progress=True, busy=True)
IDLE = Observation(answered=True, progress=False, busy=False)
IDLE_AND_WELL = Observation(answered=True, progress=False, busy=False, deep=True)
IDLE_AND_HUNG = Observation(answered=True, progress=False, busy=False, deep=False, detail="/health: timeout")
BUSY = Observation(answered=True, progress=False, busy=True)
LONG_PREFILL = Observation(answered=True, progress=False, busy=True, working=True)
SPINNING = msgspec.structs.replace(IDLE_AND_HUNG, working=True)
MUTE = Observation(answered=False, progress=False, busy=False, detail="no answer")
MUTE_BUT_COMPUTING = Observation(answered=False, progress=False, busy=True, working=True, detail="no answer")
MUTE_BUT_SERVING = Observation(answered=False, progress=True, busy=True, detail="no answer")
HALTED = Observation(answered=True, progress=False, busy=False, deep=False, working=True, stopped=True, detail="mute")
DEAF = Observation(answered=False, progress=False, busy=False, deaf="nothing listens on port 1")
STRANGER = Observation(answered=True, progress=True, busy=True, deep=True, stranger="port 1 is held by pid 2 (nc, bob)")


@pytest.mark.parametrize(
    ("rounds", "ready"),
    [
        # A table as kubelet's: what was seen in a row, and whether it is ready after each.
        ([SERVING, SERVING], [True, True]),
        ([IDLE, IDLE, IDLE_AND_WELL], [True, True, True]),
        ([IDLE_AND_HUNG, IDLE_AND_HUNG], [False, False]),
        ([IDLE_AND_HUNG, IDLE_AND_WELL], [False, True]),
        ([IDLE_AND_HUNG, SERVING], [False, True]),
        ([MUTE, MUTE, SERVING, MUTE, MUTE], [False, False, True, False, False]),
        ([MUTE, MUTE, IDLE_AND_WELL, MUTE, MUTE], [False, False, True, False, False]),
        ([MUTE_BUT_SERVING] * 5, [False] * 5),
        # Without a generation to ask for, the cheap answer is all there is: three failures must be in a row.
        ([MUTE, IDLE, MUTE, IDLE, MUTE, IDLE], [False, True, False, True, False, True]),
        ([STRANGER, STRANGER, SERVING], [False, False, True]),
    ],
)
def test_ready_after_each_round(rounds: list[Observation], ready: list[bool]) -> None:
    outcomes = in_a_row(rounds)
    assert [outcome.ready for outcome in outcomes] == ready
    for outcome in outcomes:
        assert outcome.verdict is None
        assert outcome.ready == outcome.health.ready
        assert (outcome.why is None) == outcome.ready


def test_three_failures_in_a_row_are_a_hang() -> None:
    outcomes = in_a_row([MUTE] * 3)
    assert [outcome.verdict is None for outcome in outcomes] == [True, True, False]
    assert [outcome.why for outcome in outcomes[:2]] == [f"health check failed {i}/3: no answer" for i in (1, 2)]
    verdict = outcomes[-1].verdict
    assert verdict is not None
    assert (verdict.cause, verdict.evidence) == (Cause.HANG, "no progress for 15 s and 3 failed checks: no answer")


def test_a_halted_process_is_named_and_no_computing_speaks_for_it() -> None:
    verdict = in_a_row([HALTED] * 3)[-1].verdict
    assert verdict is not None
    assert verdict.cause is Cause.HANG
    assert verdict.evidence.endswith("a process of it is stopped (state T)")


def test_a_stranger_s_answers_are_not_its_own() -> None:
    verdict = in_a_row([STRANGER] * 3)[-1].verdict
    assert verdict is not None
    assert (verdict.cause, verdict.evidence) == (Cause.PORT_IN_USE, "port 1 is held by pid 2 (nc, bob)")


def in_a_row(rounds: list[Observation]) -> list[Judgement]:
    health, outcomes = FINE, []
    for i, observation in enumerate(rounds, 1):
        outcomes.append(judge(health, POLICY, observation, 5.0 * i, watchdog=WATCHDOG))
        health = outcomes[-1].health
    return outcomes


POLICIES = st.builds(
    HealthPolicy,
    interval=st.floats(0.5, 30),
    deep_interval=st.floats(5, 120),
    timeout=st.floats(1, 60),
    failures=st.integers(1, 5),
)


class Server:
    """What the prober sees of a server, round by round; a question to it that fails takes `cost` seconds."""

    def __init__(self, policy: HealthPolicy, seen: Callable[[float], Observation], cost: float) -> None:
        self.policy, self.seen, self.cost = policy, seen, cost

    def condemned_after(self, limit: float) -> float | None:
        """Seconds until a verdict: a round each interval, and one the moment that the first generation fails."""
        policy, health, now = self.policy, FINE, 0.0
        due: float | None = None
        failed = False
        while now <= limit:
            seen = self.seen(now)
            if due is None and seen.deep is not None and wants_deep(health, policy, busy=seen.busy, now=now):
                due = now + self.cost
            failed = failed or (due is not None and now >= due)
            outcome = judge(
                health, policy, msgspec.structs.replace(seen, deep=False if failed else None), now, watchdog=WATCHDOG
            )
            if outcome.verdict is not None:
                return now
            if outcome.health.moved_at != health.moved_at:
                due, failed = None, False
            health = outcome.health
            if due is not None and health.strikes == 0 and due <= now + policy.interval:
                now = max(due, now + 1e-9)
            else:
                now += policy.interval
        return None


@given(POLICIES, st.sampled_from([IDLE_AND_HUNG, HALTED]), st.floats(0, 1))
def test_a_dead_idle_worker_is_found_in_time(policy: HealthPolicy, seen: Observation, share: float) -> None:
    """Its server goes on answering; each generation that is asked for fails, sooner or later."""
    limit = policy.deep_interval + policy.timeout + policy.failures * policy.interval
    found = Server(policy, lambda now: seen, share * policy.timeout).condemned_after(limit + 1)
    assert found is not None
    assert policy.deep_interval - policy.interval <= found <= limit + 1e-6


@given(POLICIES)
def test_a_dead_busy_worker_is_found_in_time(policy: HealthPolicy) -> None:
    """Requests are in flight, so that no generation is asked for, and nothing computes."""
    limit = policy.deep_interval + policy.timeout + policy.failures * policy.interval
    found = Server(policy, lambda now: BUSY, 0).condemned_after(limit + 1)
    assert found is not None
    assert policy.deep_interval + policy.timeout <= found <= limit + 1e-6


@given(POLICIES)
def test_a_worker_that_listens_no_more_has_the_time_to_end(policy: HealthPolicy) -> None:
    limit = policy.deep_interval + policy.timeout + policy.failures * policy.interval
    found = Server(policy, lambda now: DEAF, 0).condemned_after(limit + 1)
    assert found is not None
    assert policy.deep_interval + policy.timeout <= found <= limit + 1e-6


@given(POLICIES)
def test_a_worker_that_refuses_at_once_is_found_within_its_failures(policy: HealthPolicy) -> None:
    found = Server(policy, lambda now: MUTE, 0).condemned_after(10_000)
    assert found is not None
    assert found == pytest.approx((policy.failures - 1) * policy.interval)


@given(POLICIES, st.sampled_from([LONG_PREFILL, MUTE_BUT_COMPUTING, SPINNING]))
def test_a_worker_that_computes_is_left_to_the_watchdog(policy: HealthPolicy, seen: Observation) -> None:
    found = Server(policy, lambda now: seen, policy.timeout).condemned_after(20_000)
    assert found is not None
    assert found >= WATCHDOG
    assert found <= max(WATCHDOG, policy.deep_interval + policy.timeout + policy.failures * policy.interval) + 60


@given(POLICIES, st.floats(1, WATCHDOG - 1))
def test_a_worker_that_computes_and_moves_now_and_then_is_never_condemned(policy: HealthPolicy, every: float) -> None:
    moved = [0.0]

    def see(now: float) -> Observation:
        if now - moved[0] >= every:
            moved[0] = now
            return SERVING
        return LONG_PREFILL

    # A round that ends just before the watchdog would is followed by one that sees the progress.
    if every + policy.interval < WATCHDOG:
        assert Server(policy, see, policy.timeout).condemned_after(3 * WATCHDOG) is None


@given(st.lists(st.sampled_from([IDLE_AND_HUNG, MUTE, LONG_PREFILL, BUSY, HALTED, STRANGER, IDLE]), max_size=20))
def test_progress_forgives_all(rounds: list[Observation]) -> None:
    health = FINE
    for i, observation in enumerate(rounds):
        health = judge(health, POLICY, observation, float(i), watchdog=WATCHDOG).health
    outcome = judge(health, POLICY, SERVING, 100.0, watchdog=WATCHDOG)
    assert outcome.health == Health(moved_at=100.0)
    assert outcome.ready


@pytest.mark.parametrize(
    ("strikes", "busy", "moved", "now", "wanted"),
    [
        (0, False, 0.0, 24.0, False),  # idle, not yet
        (0, False, 0.0, 26.0, True),  # due before the next round
        (0, False, 30.0, 50.0, False),  # idle again after work
        (0, True, 0.0, 300.0, False),  # busy: never
        (1, True, 0.0, 300.0, False),
        (1, False, 29.0, 30.0, True),  # a strike is followed up
    ],
)
def test_a_generation_is_asked_for_when_nothing_else_tells(
    strikes: int, busy: bool, moved: float, now: float, wanted: bool
) -> None:
    health = Health(moved_at=moved, strikes=strikes)
    assert wants_deep(health, POLICY, busy=busy, now=now) is wanted
    assert is_suspect(health, POLICY, now=now) or not wanted

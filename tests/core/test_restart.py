"""What follows from an end: the delay, the budget, the causes and the pool's own ways."""

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given
from qvl.core.restart import JITTER, WAYS, Decision, GiveUp, RestartIn, backoff, decide, way_of, within
from qvl.model.spec import EngineKind, RestartMode, RestartPolicy, Way
from qvl.model.worker import Cause, Exit

POLICY = RestartPolicy(backoff=1, backoff_max=300, max_restarts=3, window=100)
POLICIES = st.builds(
    RestartPolicy, backoff=st.floats(0.01, 60), backoff_max=st.floats(60, 3600), max_restarts=st.integers(0, 20)
)


def after(
    cause: Cause,
    policy: RestartPolicy = POLICY,
    *,
    engine: EngineKind = EngineKind.SGLANG,
    code: int | None = 1,
    streak: int = 1,
    ends: tuple[float, ...] = (1000.0,),
    was_ready: bool = False,
    repeated: bool = False,
) -> Decision:
    return decide(
        policy,
        engine,
        Exit(0.0, cause, code),
        streak=streak,
        ends=ends,
        was_ready=was_ready,
        repeated=repeated,
        now=1000.0,
        seed="chat-0/1",
    )


@given(POLICIES, st.text())
def test_a_delay_grows_up_to_its_cap(policy: RestartPolicy, seed: str) -> None:
    delays = [backoff(policy, streak, seed) for streak in range(1, 90)]
    assert all(before <= later for before, later in pairwise(delays))
    assert max(delays) == policy.backoff_max


@given(POLICIES, st.integers(1, 10_000), st.text())
def test_jitter_adds_at_most_its_share(policy: RestartPolicy, streak: int, seed: str) -> None:
    bare = min(policy.backoff * 2.0 ** min(streak - 1, 62), policy.backoff_max)
    delay = backoff(policy, streak, seed)
    assert bare <= delay <= bare * (1 + JITTER) * 1.000001
    assert delay <= policy.backoff_max
    assert delay == backoff(policy, streak, seed)


def test_workers_that_fell_together_rise_apart() -> None:
    assert len({backoff(POLICY, 1, f"chat-{i}/7") for i in range(16)}) == 16


def test_every_cause_has_a_way() -> None:
    assert set(WAYS) == set(Cause)


@pytest.mark.parametrize("cause", list(Cause))
def test_a_cause_goes_its_way(cause: Cause) -> None:
    decision = after(cause)
    if WAYS[cause] is Way.NEVER:
        assert decision == GiveUp(f"{cause}: a retry can't mend this")
    else:
        assert isinstance(decision, RestartIn)
        assert 1.0 <= decision.delay <= 1.1


@pytest.mark.parametrize("way", list(Way))
def test_a_pool_has_the_last_word_on_a_cause(way: Way) -> None:
    policy = RestartPolicy(causes={"hang": way})
    assert (way_of(policy, Cause.HANG), way_of(policy, Cause.KILLED)) == (way, Way.RETRY)
    decision = after(Cause.HANG, policy)
    match way:
        case Way.NEVER:
            assert decision == GiveUp("hang: a retry can't mend this")
        case Way.QUARANTINE:
            assert decision == GiveUp("hang: its GPU is set aside", quarantine=True)
        case Way.RETRY | Way.GATE:
            assert isinstance(decision, RestartIn)


def test_only_ends_within_the_window_count() -> None:
    assert within((0.0, 899.9, 900.0, 900.1, 1000.0), 100.0, 1000.0) == (900.1, 1000.0)


@pytest.mark.parametrize(("recent", "old", "goes_on"), [(1, 0, True), (3, 0, True), (4, 0, False), (3, 50, True)])
def test_the_budget_is_max_restarts_within_the_window(recent: int, old: int, goes_on: bool) -> None:
    ends = (*[800.0] * old, *[950.0] * (recent - 1), 1000.0)
    decision = after(Cause.KILLED, streak=recent + old, ends=ends)
    assert isinstance(decision, RestartIn) is goes_on
    if isinstance(decision, GiveUp):
        assert decision.reason == ("killed: ended 4 times within 100 s, more than restart.max_restarts = 3")


def test_a_budget_of_none_allows_no_restart() -> None:
    assert isinstance(after(Cause.KILLED, RestartPolicy(max_restarts=0)), GiveUp)


@pytest.mark.parametrize(
    ("repeated", "was_ready", "goes_on"),
    [(False, False, True), (True, False, False), (True, True, True), (False, True, True)],
)
def test_a_configuration_that_does_not_fit_is_given_up_at_its_second_try(
    repeated: bool, was_ready: bool, goes_on: bool
) -> None:
    decision = after(Cause.OUT_OF_GPU_MEMORY, repeated=repeated, was_ready=was_ready)
    assert isinstance(decision, RestartIn) is goes_on


def test_a_pool_may_insist_on_trying() -> None:
    policy = RestartPolicy(causes={"out-of-gpu-memory": Way.RETRY})
    assert isinstance(after(Cause.OUT_OF_GPU_MEMORY, policy, repeated=True), RestartIn)


def test_mode_never_gives_up_and_names_itself() -> None:
    assert after(Cause.KILLED, RestartPolicy(mode=RestartMode.NEVER)) == GiveUp(
        "it ended (killed) and restart.mode is never"
    )


@pytest.mark.parametrize(
    ("mode", "engine", "code", "final"),
    [
        (RestartMode.ON_FAILURE, EngineKind.COMMAND, 0, True),
        (RestartMode.ON_FAILURE, EngineKind.COMMAND, 1, False),
        (RestartMode.ON_FAILURE, EngineKind.COMMAND, None, False),
        (RestartMode.ON_FAILURE, EngineKind.SGLANG, 0, False),
        (RestartMode.ALWAYS, EngineKind.COMMAND, 0, False),
    ],
)
def test_exit_0_is_final_for_a_command_on_failure_only(
    mode: RestartMode, engine: EngineKind, code: int | None, final: bool
) -> None:
    decision = after(Cause.EXITED, RestartPolicy(mode=mode), engine=engine, code=code)
    assert (isinstance(decision, GiveUp) and decision.final) is final

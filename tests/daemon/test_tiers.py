"""Rings of buckets: what was put in is found again at its time, whatever the clock does."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from qvl.daemon.history import over_span
from qvl.daemon.tiers import GPU, KEPT, MOST, WORKER, Row, Tier, rule


def row(bucket: int, profile: str | None = "standard", worker: str = "chat-0", **figures: float) -> Row:
    values = tuple(figures.get(figure) for figure in WORKER)
    return Row(bucket, {worker: (profile, values)}, {"0": (None, figures.get("utilization"), None, None)})


buckets = st.lists(st.integers(0, 40) | st.integers(1000, 1010) | st.integers(KEPT - 5, KEPT + 30), min_size=1)


@settings(max_examples=40)
@given(buckets)
def test_each_bucket_holds_what_was_put_in_it_last(visited: list[int]) -> None:
    """The clock jumps at will; a bucket is lost only to one that needs its place in the ring."""
    tier, held = Tier(5), dict[int, tuple[int, float]]()
    for number, bucket in enumerate(visited):
        tier.put(row(bucket, tokens_per_s=number))
        held[bucket % KEPT] = bucket, number
    known = dict(held.values())
    for newest in {visited[-1], max(visited) + 3}:
        told = over_span(tier, 5 * KEPT, KEPT, 5.0 * newest)
        assert told.at == [5.0 * bucket for bucket in range(newest + 1 - KEPT, newest + 1)]
        expected = [known.get(bucket) for bucket in range(newest + 1 - KEPT, newest + 1)]
        if any(value is not None for value in expected):
            assert told.workers["chat-0"]["tokens_per_s"] == expected
            assert [bool(p) for p in told.profiles["chat-0"]] == [value is not None for value in expected]
        else:
            assert told.workers == {}


@given(span=st.integers(5, 86400), points=st.integers(1, KEPT), now=st.floats(0, 4e9))
def test_at_most_as_many_points_as_asked_on_steps_that_stay(span: int, points: int, now: float) -> None:
    tier = Tier(next(step for step in (5, 30, 120) if step * KEPT >= span))
    told = over_span(tier, span, points, now)
    step = told.interval_s
    assert 1 <= len(told.at) <= points
    assert len(told.at) * step >= span
    assert told.at[-1] <= now < told.at[-1] + step
    assert all(at % step == 0 for at in told.at)
    assert [b - a for a, b in zip(told.at, told.at[1:], strict=False)] == [step] * (len(told.at) - 1)


def test_a_longer_step_has_the_mean_of_rates_and_the_peak_of_what_gets_too_large() -> None:
    tier = Tier(5)
    tier.put(row(0, tokens_per_s=10, queued=0, kv_usage=0.2, ttft_p50_s=0.1, ttft_p95_s=0.3, utilization=0.5))
    tier.put(row(1, tokens_per_s=30, queued=5, kv_usage=0.9, ttft_p50_s=0.3, ttft_p95_s=0.4, utilization=0.7))
    tier.put(row(2, kv_usage=0.1))
    merged = tier.merged(0, 30)
    profile, values = merged.workers["chat-0"]
    assert profile == "standard"
    known = {figure: value for figure, value in zip(WORKER, values, strict=True) if value is not None}
    assert known == {"tokens_per_s": 20, "queued": 2.5, "kv_usage": 0.9, "ttft_p50_s": 0.2, "ttft_p95_s": 0.4}
    assert merged.gpus["0"][GPU.index("utilization")] == 0.6


@pytest.mark.parametrize("figure", [*WORKER, *GPU])
@given(values=st.lists(st.floats(0, 1e6), min_size=1))
def test_no_figure_leaves_the_range_of_its_values(figure: str, values: list[float]) -> None:
    one = rule(figure)([*values, float("nan")])
    assert min(values) * (1 - 1e-9) <= one <= max(values) * (1 + 1e-9)


def test_the_newest_profile_of_a_step_stands_for_it() -> None:
    tier = Tier(5)
    for bucket, profile in enumerate(("standard", "eagle3", None)):
        tier.put(row(bucket, profile))
    assert tier.merged(0, 30).workers["chat-0"][0] == "eagle3"


def test_who_was_not_seen_for_a_whole_ring_is_forgotten() -> None:
    tier = Tier(5)
    tier.put(row(0, worker="old-0", running=1))
    for bucket in range(1, KEPT):
        tier.put(row(bucket, running=1))
    assert "old-0" in tier.workers.known
    tier.put(row(KEPT, running=1))
    assert set(tier.workers.known) == set(tier.profiles) == {"chat-0"}


def test_names_that_come_and_go_do_not_add_up() -> None:
    tier = Tier(5)
    for bucket in range(3 * MOST):
        tier.put(row(bucket, worker=f"job-{bucket}", running=1))
    assert set(tier.workers.known) == set(tier.profiles) == {f"job-{n}" for n in range(2 * MOST, 3 * MOST)}


def test_a_row_of_another_release_may_have_fewer_or_more_figures() -> None:
    tier = Tier(5)
    tier.put(Row(0, {"chat-0": ("standard", (1.0, 2.0))}, {"0": tuple(float(n) for n in range(9))}))
    told = over_span(tier, 5, 1, 0.0)
    assert told.workers["chat-0"]["queued"] == [2.0]
    assert told.workers["chat-0"]["itl_p95_s"] == [None]
    assert told.gpus["0"]["power"] == [3.0]


def test_a_figure_beyond_all_measure_is_a_figure() -> None:
    tier = Tier(5)
    for bucket in range(6):
        tier.put(Row(bucket, {"chat-0": ("standard", (1.7e308,) * len(WORKER))}, {}))
    _, values = tier.merged(0, 30).workers["chat-0"]
    assert all(value is not None and value > 1.6e308 for value in values)

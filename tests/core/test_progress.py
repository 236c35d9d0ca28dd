"""A start's percent never falls, and its end is foretold only from an earlier start."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from qvl.core.landmarks import STEPS, Sighting, read_line
from qvl.core.progress import TYPICAL, StartTrack, advance, estimate, finish, track

from tests.core.corpus import lines

SIGHTINGS = st.builds(Sighting, st.sampled_from(STEPS), st.none() | st.floats(0, 1))
MEMORIES = st.none() | st.dictionaries(st.sampled_from(STEPS), st.floats(0, 600))


@given(st.lists(st.tuples(SIGHTINGS, st.floats(0, 100))), MEMORIES)
def test_percent_never_falls_and_is_100_only_when_ready(
    seen: list[tuple[Sighting, float]], remembered: dict[str, float] | None
) -> None:
    now, start, highest = 50.0, track(50.0), 0
    for sighting, seconds in seen:
        now += seconds
        start, shown = estimate(advance(start, sighting, now), remembered, now)
        assert shown.percent is not None
        assert highest <= shown.percent <= 99
        assert (shown.eta_s is not None) == bool(remembered)
        assert shown.eta_s is None or shown.eta_s >= 0
        highest = shown.percent


@given(st.lists(st.tuples(SIGHTINGS, st.floats(0, 100))))
def test_a_start_never_goes_back_and_its_steps_add_up(seen: list[tuple[Sighting, float]]) -> None:
    now, start = 0.0, track(0.0)
    for sighting, seconds in seen:
        now += seconds
        before, start = start, advance(start, sighting, now)
        assert STEPS.index(start.step) >= STEPS.index(before.step)
    assert sum(finish(start, now).values()) == pytest.approx(now, abs=0.01)


def walk(name: str, seconds_a_line: float, remembered: dict[str, float] | None) -> list[tuple[str, int, float | None]]:
    """Step, percent and ETA at each sighting of a recorded start."""
    now, start, shown = 0.0, track(0.0), []
    for line in lines(name):
        now += seconds_a_line
        if (sighting := read_line(line)) is not None:
            start, progress = estimate(advance(start, sighting, now), remembered, now)
            assert progress.percent is not None
            shown.append((progress.step, progress.percent, progress.eta_s))
    return shown


def test_a_real_start_that_was_never_seen_shows_percent_only() -> None:
    shown = walk("0.5.17-h100-start", 0.5, None)
    assert {eta for _, _, eta in shown} == {None}
    assert (shown[0][0], shown[-1][0]) == ("import", "warm-up")
    assert shown[-1][1] == 99


def test_a_draft_models_second_round_does_not_take_percent_away() -> None:
    percents = [percent for _, percent, _ in walk("0.5.17-h100-draft-module-missing", 0.5, None)]
    assert percents == sorted(percents)


def test_the_same_start_again_is_foretold() -> None:
    """Every line takes as long as the time before, so that what was foretold comes true."""
    now, start = 0.0, track(0.0)
    for line in lines("0.5.17-h100-start"):
        now += 0.5
        if (sighting := read_line(line)) is not None:
            start = advance(start, sighting, now)
    remembered = finish(start, now)
    assert list(remembered) == list(STEPS)
    etas = [eta for step, _, eta in walk("0.5.17-h100-start", 0.5, remembered) if step == "import"]
    assert etas[0] == pytest.approx(now - remembered["launch"], abs=1)


def test_a_bar_tells_more_than_the_time_of_another_start() -> None:
    remembered = {"weights": 100.0, "graphs": 10.0}
    start = StartTrack(began=0.0, step="weights", step_began=0.0, fraction=0.25)
    _, slow = estimate(start, remembered, 50.0)
    assert (slow.percent, slow.eta_s) == (23, 160.0)
    _, quick = estimate(start, remembered, 1.0)
    assert (quick.percent, quick.eta_s) == (23, 13.0)


def test_a_late_step_does_not_make_the_others_shorter() -> None:
    remembered = {"import": 10.0, "weights": 20.0}
    start = StartTrack(began=0.0, step="import", step_began=0.0)
    assert [estimate(start, remembered, now)[1].eta_s for now in (0.0, 4.0, 10.0, 500.0)] == [30.0, 26.0, 20.0, 20.0]


def test_a_late_line_of_an_earlier_step_changes_nothing() -> None:
    start = advance(track(0.0), Sighting("graphs", 0.5), 5.0)
    assert advance(start, Sighting("weights", 0.0), 6.0) == start
    assert advance(start, Sighting("graphs"), 6.0) == start
    assert advance(start, Sighting("graphs", 0.1), 6.0).fraction == 0.1


def test_the_typical_start_has_all_steps() -> None:
    assert tuple(TYPICAL) == STEPS

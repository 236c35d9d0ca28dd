"""What is remembered of a start tells each step as it was, and says so where nobody saw it."""

import msgspec
from qvl.core import starts
from qvl.core.landmarks import Sighting
from qvl.core.starts import Start
from qvl.model.detail import StartDetail, StepState
from qvl.model.worker import Process

PROCESS = Process(10, 1, 9, 1, "boot", started_at=1000.0, started_mono=50.0, log_offset=77)
EXPECTED = {"launch": 9.0, "import": 13.0, "weights": 2.5}


def begun() -> Start:
    return starts.begun(PROCESS, 3, "standard", EXPECTED)


def walk(start: Start, *seen: tuple[str, float | None, float]) -> Start:
    """Sightings of a step, a fraction and the time."""
    for step, fraction, now in seen:
        start, _ = starts.seen(start, Sighting(step, fraction), None, now)
    return start


def states(told: StartDetail) -> list[tuple[str, StepState, float | None]]:
    return [(step.step, step.state, step.seconds) for step in told.steps]


def test_a_start_under_way_shows_what_is_done_what_is_now_and_what_is_ahead() -> None:
    told = starts.detail(walk(begun(), ("import", 0.0, 59.0), ("weights", 0.25, 72.0)), 73.5)
    assert states(told) == [
        ("launch", StepState.DONE, 9.0),
        ("import", StepState.DONE, 13.0),
        ("weights", StepState.NOW, 1.5),
        ("kv-cache", StepState.AHEAD, None),
        ("graphs", StepState.AHEAD, None),
        ("warm-up", StepState.AHEAD, None),
    ]
    assert (told.fraction, told.seconds, told.expected_s) == (0.25, 23.5, 24.5)
    assert [step.expected_s for step in told.steps] == [9.0, 13.0, 2.5, None, None, None]
    assert not told.over


def test_steps_that_were_passed_over_are_skipped() -> None:
    start = starts.ended(walk(begun(), ("import", 0.0, 59.0), ("warm-up", 1.0, 80.0)), 81.0, ready=True)
    told = starts.detail(start, 500.0)
    assert states(told) == [
        ("launch", StepState.DONE, 9.0),
        ("import", StepState.DONE, 21.0),
        ("weights", StepState.SKIPPED, None),
        ("kv-cache", StepState.SKIPPED, None),
        ("graphs", StepState.SKIPPED, None),
        ("warm-up", StepState.DONE, 1.0),
    ]
    assert (told.ready, told.over, told.seconds, told.fraction) == (True, True, 31.0, None)


def test_an_engine_that_tells_no_steps_has_launched() -> None:
    told = starts.detail(starts.ended(begun(), 52.0, ready=True), 60.0)
    assert states(told)[0] == ("launch", StepState.DONE, 2.0)
    assert {step.state for step in told.steps[1:]} == {StepState.SKIPPED}


def test_a_start_that_came_to_nothing_shows_where_it_ended() -> None:
    told = starts.detail(starts.ended(walk(begun(), ("weights", 0.5, 60.0)), 62.0, ready=False), 900.0)
    assert states(told)[2:4] == [("weights", StepState.NOW, 2.0), ("kv-cache", StepState.AHEAD, None)]
    assert (told.over, told.ready, told.seconds) == (True, False, 12.0)


def test_what_is_over_stays_as_it_was() -> None:
    over = starts.ended(begun(), 60.0, ready=True)
    assert starts.ended(over, 99.0, ready=False) == over
    assert starts.taken_over(over, starting=False, served=True) == over


def test_a_clock_that_was_set_back_makes_no_step_shorter_than_nothing() -> None:
    start = starts.ended(walk(begun(), ("import", 0.0, 59.0)), 55.0, ready=False)
    assert start.track.took == {"launch": 9.0, "import": 0.0}


def test_a_daemon_that_takes_over_a_start_goes_on_with_it() -> None:
    start = walk(begun(), ("import", 0.0, 59.0))
    again = msgspec.json.decode(msgspec.json.encode(start), type=Start)
    assert starts.taken_over(again, starting=True, served=False) == start


def test_a_start_that_nobody_saw_has_no_times_of_steps() -> None:
    met = starts.detail(starts.found(PROCESS, 3, "standard", starting=False, served=True), 100.0)
    assert (met.over, met.ready, met.seconds) == (True, True, None)
    assert states(met)[0] == ("launch", StepState.UNKNOWN, None)

    late = starts.found(PROCESS, 3, "standard", starting=True, served=False)
    late = walk(late, ("import", 0.0, 60.0), ("weights", 0.5, 60.0))
    told = starts.detail(late, 61.0)
    assert states(told)[:3] == [
        ("launch", StepState.UNKNOWN, None),
        ("import", StepState.UNKNOWN, None),
        ("weights", StepState.NOW, None),
    ]
    assert told.seconds == 11.0
    assert starts.ended(late, 70.0, ready=True).track.took == {}


def test_of_one_that_got_ready_while_no_daemon_was_there_the_steps_before_are_known() -> None:
    left = walk(begun(), ("import", 0.0, 59.0))
    told = starts.detail(starts.taken_over(left, starting=False, served=True), 100.0)
    assert (told.over, told.ready, told.seconds) == (True, True, None)
    assert states(told)[:2] == [("launch", StepState.DONE, 9.0), ("import", StepState.UNKNOWN, None)]

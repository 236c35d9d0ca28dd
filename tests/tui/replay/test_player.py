"""Where each key leads, by the clock."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl_tui.replay.player import SPEEDS, NotThere, Player, moment

DAY = datetime(2026, 3, 4, 2, 0).astimezone().timestamp()
PLAYER = Player(DAY, DAY + 7200, DAY, since=50.0)


def test_it_stands_until_it_plays_and_goes_on_at_its_speed() -> None:
    assert PLAYER.position(80) == DAY
    playing = PLAYER.toggled(100)
    assert playing.position(130) == DAY + 30
    assert playing.toggled(130).position(500) == DAY + 30
    assert playing.paced(1, 110).position(120) == DAY + 10 + 20
    assert playing.paced(-3, 110).position(126) == DAY + 10 + 2


def test_speeds_end_at_an_eighth_and_at_64() -> None:
    assert PLAYER.paced(-99, 0).speed == 1 / 8 == SPEEDS[0]
    assert PLAYER.paced(99, 0).speed == 64 == SPEEDS[-1]


def test_it_stays_within_the_recording() -> None:
    assert PLAYER.moved(-10, 60).position(60) == DAY
    assert PLAYER.moved(1e9, 60).position(60) == DAY + 7200
    playing = PLAYER.moved(7190, 60).toggled(60)
    assert playing.position(100) == DAY + 7200
    assert playing.over(70)
    assert not playing.over(69)


def test_at_the_end_it_stands_and_begins_anew_when_it_is_to_play() -> None:
    playing = PLAYER.moved(7190, 60).toggled(60)
    assert playing.settled(65) is playing
    over = playing.settled(75)
    assert not over.playing
    assert over.position(100) == DAY + 7200
    again = over.toggled(200)
    assert again.playing
    assert again.position(205) == DAY + 5


def test_from_event_to_event() -> None:
    moments = [DAY + 10, DAY + 20, DAY + 30]
    second = PLAYER.jumped(moments, 1, 60).jumped(moments, 1, 61)
    assert second.position(70) == DAY + 20
    assert second.jumped(moments, -1, 70).position(70) == DAY + 10
    first = second.jumped(moments, -1, 70)
    assert first.jumped(moments, -1, 70) is first
    last = second.jumped(moments, 1, 70)
    assert last.jumped(moments, 1, 70) is last
    assert PLAYER.jumped([], 1, 60) is PLAYER


def test_how_long_it_is_until_something_shows() -> None:
    assert PLAYER.wait(DAY + 10, 60) is None
    playing = PLAYER.toggled(100).paced(2, 100)
    assert playing.wait(DAY + 40, 105) == 5
    assert playing.wait(DAY - 5, 105) == 0
    assert playing.wait(DAY + 7201, 105) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("03:12", 4320),
        ("3:12", 4320),
        (" 03:12:41 ", 4361),
        ("2026-03-04 03:12", 4320),
        ("2026-03-04T03:12:41", 4361),
        ("02:00", 0),
        ("04:00", 7200),
        ("+90", 690),
        ("-5m", 300),
        ("+1h", 4200),
        ("-9h", 0),
        ("+9h", 7200),
    ],
)
def test_times_as_people_type_them(text: str, seconds: float) -> None:
    assert moment(text, PLAYER.moved(600, 60), 60) == DAY + seconds


def test_the_minute_in_which_a_recording_began_is_in_it() -> None:
    late = Player(DAY + 20, DAY + 100, DAY + 20)
    assert moment("02:00", late, 0) == DAY + 20


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("12:00", "is not in the recording"),
        ("2025-03-04 03:12", "is not in the recording"),
        ("noon", "is no time"),
        ("", "is no time"),
        ("25:99", "is no time"),
        ("+soon", "is no span"),
        ("+nan", "is no span"),
        ("+", "is no span"),
    ],
)
def test_what_is_no_time_of_the_recording_is_told(text: str, told: str) -> None:
    with pytest.raises(NotThere, match=told):
        moment(text, PLAYER, 60)


def test_a_time_of_day_of_several_days_is_the_nearest() -> None:
    long = Player(DAY, DAY + 3 * 86400, DAY + 86400)
    assert moment("03:00", long, 0) == DAY + 86400 + 3600
    third = DAY + 2 * 86400 + 3600
    assert moment("03:00", long.at(DAY + 2 * 86400, 0), 0) == third


@given(
    st.lists(st.tuples(st.sampled_from(["toggle", "move", "pace", "begin"]), st.floats(-9000, 9000), st.floats(0, 100)))
)
def test_whatever_is_pressed_it_is_within_the_recording(presses: list[tuple[str, float, float]]) -> None:
    player, now = PLAYER, 50.0
    for what, by, later in presses:
        now += later
        before = player.position(now)
        match what:
            case "toggle":
                player = player.toggled(now)
            case "move":
                player = player.moved(by, now)
            case "pace":
                player = player.paced(int(by) % 3 - 1, now)
                assert player.position(now) == pytest.approx(before)
            case _:
                player = player.at(player.begin, now)
        assert player.begin <= player.position(now) <= player.end
        assert player.position(now + 1) >= player.position(now)

"""The line that says which moment shows."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.recording.block import Mark
from qvl_tui.paint import Line, Tone, length
from qvl_tui.replay.bar import replay_bar, track
from qvl_tui.replay.player import Player
from qvl_tui.replay.tape import Moment

BEGIN = datetime(2026, 3, 4, 2, 0).astimezone().timestamp()
PLAYER = Player(BEGIN, BEGIN + 7200, BEGIN + 4361)
MOMENTS = (
    Moment(BEGIN + 60, Mark.EVENT),
    Moment(BEGIN + 3000, Mark.EVENT | Mark.WARNING | Mark.EXIT),
    Moment(BEGIN + 5000, Mark.EVENT | Mark.WARNING),
    Moment(BEGIN + 6000, Mark.AWAY),
    Moment(BEGIN + 6500, Mark.EVENT | Mark.WARNING | Mark.EXIT),
    Moment(BEGIN + 7000, Mark.EVENT | Mark.ERROR),
)


def text(line: Line) -> str:
    return "".join(part for part, _ in line)


def test_moment_speed_and_what_lies_where() -> None:
    line = replay_bar(PLAYER.paced(2, 0), 0, MOMENTS, 80, cut=False)
    assert text(line) == " ⏸ 03:12:41  ×4   ┴━━━━━━━━━━━━✕━━━━━●──▲────╳─✕──▲  02:00–04:00 · 1 exit ahead "
    playing = replay_bar(PLAYER.toggled(0), 8, MOMENTS, 80, cut=True)
    assert text(playing).startswith(" ▶ 03:12:49  ×1 ")
    assert text(playing).endswith("02:00–04:00 cut off · 1 exit ahead ")


def test_every_kind_of_mark_has_its_own_glyph_and_the_gravest_shows() -> None:
    glyphs = {}
    for mark in (Mark.EVENT, Mark.WARNING, Mark.AWAY, Mark.EXIT):
        glyphs[mark] = text(track(PLAYER, BEGIN, (Moment(BEGIN + 7200, mark),), 20))[-1]
    assert len(set(glyphs.values())) == 4
    both = (Moment(BEGIN + 7199, Mark.EVENT | Mark.WARNING), Moment(BEGIN + 7200, Mark.EVENT | Mark.EXIT))
    assert track(PLAYER, BEGIN, both, 20)[-1] == ("✕", Tone.BAD)


def test_of_several_days_the_date_is_told() -> None:
    long = Player(BEGIN, BEGIN + 2 * 86400, BEGIN + 86400 + 60)
    assert text(replay_bar(long, 0, (), 100, cut=False)).startswith(" ⏸ Mar 05 02:01:00  ×1 ")
    assert "Mar 04 02:00–Mar 06 02:00" in text(replay_bar(long, 0, (), 100, cut=False))


def test_of_a_short_one_the_seconds_are_told() -> None:
    short = Player(BEGIN + 3, BEGIN + 70, BEGIN + 3)
    assert text(replay_bar(short, 0, (), 80, cut=False)).endswith("02:00:03–02:01:10 ")


@pytest.mark.parametrize("width", [0, 1, 10, 25, 40, 60, 80, 200])
def test_it_fits(width: int) -> None:
    assert length(replay_bar(PLAYER, 0, MOMENTS, width, cut=True)) <= width


@given(
    st.integers(1, 100), st.floats(0, 7200), st.lists(st.tuples(st.floats(-10, 8000), st.integers(1, 31)), max_size=9)
)
def test_a_track_has_one_place_and_its_width(width: int, place: float, marks: list[tuple[float, int]]) -> None:
    moments = [Moment(BEGIN + at, Mark(mark)) for at, mark in marks]
    line = track(PLAYER, BEGIN + place, moments, width)
    assert length(line) == width
    assert text(line).count("●") == 1


def test_a_recording_of_one_moment_has_a_track() -> None:
    one = Player(BEGIN, BEGIN, BEGIN)
    assert length(track(one, BEGIN, (Moment(BEGIN, Mark.EXIT),), 20)) == 20

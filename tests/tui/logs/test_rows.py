"""Rows of a terminal: cut or wrapped, tagged, marked, never wider than they may be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.model.log import LogRun
from qvl_tui.logs.items import Folds, items
from qvl_tui.logs.lines import entries
from qvl_tui.logs.place import Place
from qvl_tui.logs.rows import MOST_ROWS, Look, handle, item_at, row_of, rows, tall
from qvl_tui.logs.spots import Spots
from qvl_tui.logs.stamps import Stamps
from qvl_tui.logs.tags import tags
from qvl_tui.paint import Line, Tone, length

STAMPED = "[2026-03-04 12:00:42 TP0] ready\n"


def view(text: str, look: Look, height: int = 10, runs: tuple[LogRun, ...] = ()) -> tuple[Place, tuple[Line, ...]]:
    place = Place()
    place.height = height
    place.tall = lambda item: tall(item, look)
    place.show(items(entries(text.encode(), 0), Folds(), {0: runs}))
    return place, rows(place, look, [False] * height)


def texts(lines: tuple[Line, ...]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def test_a_long_line_is_cut_moved_or_wrapped() -> None:
    text = "abcdefghij" * 5
    assert texts(view(text, Look(30))[1])[0] == "  " + text[:26] + "…"
    assert texts(view(text, Look(30, shift=20))[1])[0] == "  " + text[20:46] + "…"
    assert texts(view(text, Look(30, shift=30))[1])[0] == "  " + text[30:]
    assert texts(view(text, Look(30, wrap=True))[1])[:3] == ["  " + text[:27], "  " + text[27:], ""]


def test_signs_tell_levels_without_colour() -> None:
    shown = texts(view("ERROR x\nWARNING: y\nz\n", Look(30))[1])
    assert shown[:3] == ["✕ ERROR x", "▲ WARNING: y", "  z"]


def test_times_since_the_run_began() -> None:
    look = Look(60, stamps=Stamps.RELATIVE)
    _, shown = view(STAMPED, look)
    assert texts(shown)[0].startswith("    12:00:42 [TP0]")  # not known yet
    base = entries(STAMPED.encode(), 0)[0].stamp.at
    assert base is not None
    known = replace(look, bases={(0, 0): base - 3600}, runs={0: [0, 500]})
    assert texts(view(STAMPED, known)[1])[0] == "    +1:00:00 [TP0] ready"
    assert texts(view(STAMPED, replace(look, stamps=Stamps.OFF))[1])[0] == "  [TP0] ready"


def test_what_is_looked_for_is_marked_also_over_a_wrap() -> None:
    look = Look(20, wrap=True, spots=Spots("needle", ignore_case=True))
    _, shown = view("x" * 14 + "NEEDLE" + "y" * 3, look)
    marked = [text for line in shown for text, tone in line if tone is Tone.MATCH]
    assert marked == ["NEE", "DLE"]
    cut = replace(look, wrap=False, shift=16)
    marked = [text for line in view("x" * 14 + "NEEDLE" + "y" * 3, cut)[1] for text, tone in line if tone is Tone.MATCH]
    assert marked == ["EDLE"]


def test_marks_of_runs_fill_their_line() -> None:
    _, shown = view("a\n", Look(40), runs=(LogRun(7, 0),))
    assert texts(shown)[0] == "── run 7 began " + "─" * 24


@pytest.mark.parametrize(
    ("first", "last", "height", "bar"),
    [
        (0, 1, 4, "...."),
        (0, 0.5, 4, "##.."),
        (0.5, 1, 4, "..##"),
        (0, 0.0001, 4, "#..."),
        (0.9999, 1, 4, "...#"),
        (0.99, 0.995, 4, "..#."),
        (0.2, 0.2, 1, "#"),
    ],
)
def test_the_scrollbar_tells_the_share_of_bytes(first: float, last: float, height: int, bar: str) -> None:
    assert "".join("#" if on else "." for on in handle(first, last, height)) == bar


LINES = st.lists(
    st.sampled_from(["ab", "中文字" * 20, "x" * 90, "ERROR é" * 9, "", STAMPED[:-1], "  File"]), max_size=12
)


@given(LINES, st.integers(20, 60), st.integers(1, 9), st.booleans(), st.integers(0, 70), st.sampled_from(list(Stamps)))
def test_every_row_has_the_width_of_the_view(
    lines: list[str], width: int, height: int, wrap: bool, shift: int, stamps: Stamps
) -> None:
    look = Look(
        width, wrap=wrap, shift=shift, stamps=stamps, tags={0: "vl-0"}, spots=Spots("[a-z]b|R", ignore_case=False)
    )
    place, shown = view("".join(f"{line}\n" for line in lines), look, height)
    assert [length(line) for line in shown] == [width] * height
    for index, _ in place.visible():
        row = row_of(place, index)
        assert row is not None
        if row < height and not (index == place.top and place.skip):
            assert item_at(place, row) == index


def test_one_line_does_not_fill_a_screen_for_ever() -> None:
    place, _ = view("x" * 5000, Look(20, wrap=True))
    assert tall(place.items[0], Look(20, wrap=True)) == MOST_ROWS


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (["qwen3-vl-0", "qwen3-vl-1"], ["vl-0", "vl-1"]),
        (["qwen3-vl-0", "qwen3-vl-10"], ["vl-0 ", "vl-10"]),
        (["qwen3-vl-0", "other-0"], ["qwen3-vl-0", "other-0   "]),
        (["a"], ["a"]),
        (["a-very-long-name-of-a-pool-0", "b"], ["a-very-long-n…", "b             "]),
    ],
)
def test_tags_tell_workers_apart(workers: list[str], expected: list[str]) -> None:
    assert list(tags(workers).values()) == expected


def test_a_pattern_that_never_ends_is_given_up() -> None:
    spots = Spots("(a+)+$", ignore_case=False)
    assert spots("aaa") == [(0, 3)]
    for _ in range(4):
        assert spots("a" * 40 + "!") == ()
    assert spots("aaa") == ()
    assert Spots("x*", ignore_case=False)("axxa") == [(1, 3)]

"""Curves as dots: where a value is, and nothing where none is."""

from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import given
from qvl_tui.braille import Part, draw

VALUES = st.lists(st.none() | st.floats(0, 100), max_size=60)
ROWS = st.integers(1, 12)


def dots(rows: Sequence[str]) -> list[set[int]]:
    """Of each column of dots, the levels that are set; 0 is the ground."""
    width = max((len(row) for row in rows), default=0) * 2
    columns: list[set[int]] = [set() for _ in range(width)]
    bits = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
    for y, row in enumerate(rows):
        for x, glyph in enumerate(row):
            code = ord(glyph) - 0x2800 if glyph != " " else 0
            assert 0 <= code < 256
            for side in (0, 1):
                for down in range(4):
                    if code & bits[side][down]:
                        columns[x * 2 + side].add(len(rows) * 4 - 1 - (y * 4 + down))
    return columns


def level(value: float, top: float, rows: int) -> int:
    return round(min(value / top, 1) * (rows * 4 - 1))


@given(area=VALUES, line=VALUES, rows=ROWS, top=st.floats(1, 200))
def test_a_picture_has_its_size_and_every_value_its_dot(
    area: list[float | None], line: list[float | None], rows: int, top: float
) -> None:
    made = draw(area, line, top, rows)
    width = -(-max(len(area), len(line)) // 2)
    assert [len(row.text) for row in made] == [width] * rows
    assert [len(row.parts) for row in made] == [width] * rows
    columns = dots([row.text for row in made])
    for curve in (area, line):
        for x, value in enumerate(curve):
            if value is not None:
                assert level(value, top, rows) in columns[x]


@given(line=VALUES, rows=ROWS)
def test_a_gap_stays_a_gap(line: list[float | None], rows: int) -> None:
    columns = dots([row.text for row in draw([], line, 100, rows)])
    for x, value in enumerate(line):
        assert bool(columns[x]) == (value is not None)


@given(line=VALUES, rows=ROWS)
def test_a_line_is_one_thread(line: list[float | None], rows: int) -> None:
    """From one column to the next there is no hole, and no dot that is not on the way."""
    columns = dots([row.text for row in draw([], line, 100, rows)])
    for x, value in enumerate(line):
        if value is None:
            continue
        before = line[x - 1] if x else None
        here = level(value, 100, rows)
        was = here if before is None else level(before, 100, rows)
        way = set(range(min(here, was), max(here, was) + 1))
        assert columns[x] <= way
        assert way - columns[x] <= {was}


@given(values=st.lists(st.floats(0, 100), min_size=1, max_size=60), rows=ROWS)
def test_a_curve_that_rises_is_drawn_rising(values: list[float], rows: int) -> None:
    columns = dots([row.text for row in draw([], sorted(values), 100, rows)])
    tops = [max(column) for column in columns if column]
    assert tops == sorted(tops)


def test_two_curves_differ_in_shape_and_not_only_in_tone() -> None:
    flat = [50.0] * 20
    area, line = draw(flat, [], 100, 4), draw([], flat, 100, 4)
    assert [row.text for row in area] != [row.text for row in line]
    assert area[-1].text.strip()  # shaded down to the ground
    assert not line[-1].text.strip()


def test_a_line_within_a_shade_is_told_from_it() -> None:
    made = draw([100.0] * 20, [50.0] * 20, 100, 4)
    alone = draw([100.0] * 20, [], 100, 4)
    crossed = [n for n, (with_line, without) in enumerate(zip(made, alone, strict=True)) if with_line != without]
    assert len(crossed) == 1
    assert set(made[crossed[0]].parts) == {Part.LINE}


def test_nothing_and_idle_are_not_the_same() -> None:
    assert draw([0.0, 0.0], [], 10, 2)[1].text.strip()
    assert not any(row.text.strip() for row in draw([None, None], [], 10, 2))
    assert draw([0.0, 0.0], [], 0, 2)[1].text.strip()

"""Figures as text: exact, since people compare them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl_tui import format as fmt
from qvl_tui.paint import Line, Tone, clip, cut, differences, left, length, pad, right, spread, wrap
from rich.cells import cell_len

GIB = 1024**3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (-3, "0 s"),
        (0.4, "0 s"),
        (41, "41 s"),
        (59.6, "1 m"),
        (200, "3 m 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 m"),
        (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "—"), (0.084, "84 ms"), (0.9996, "1.0 s"), (1.24, "1.2 s"), (12, "12 s")]
)
def test_latency(value: float | None, text: str) -> None:
    assert fmt.latency(value) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "—"), (512, "512 B"), (1536, "1.5 KiB"), (121 * GIB, "121 GiB"), (3 * GIB, "3.0 GiB")]
)
def test_size(count: int | None, text: str) -> None:
    assert fmt.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), (0, "0"), (3.0, "3"), (3.21, "3.2"), (840.4, "840"), (12_400, "12,400"), (1_240_000, "1.2M")],
)
def test_rate(value: float | None, text: str) -> None:
    assert fmt.rate(value) == text


def test_memory_compares_in_one_unit() -> None:
    assert fmt.used_of(121 * GIB, 141 * GIB) == "121/141 GiB"
    assert fmt.used_of(None, 141 * GIB) == "—/141 GiB"
    assert fmt.used_of(None, None) == "—"


@given(st.none() | st.floats(-1, 2), st.integers(0, 40))
def test_a_meter_is_as_wide_as_asked_and_only_full_at_full(fraction: float | None, width: int) -> None:
    filled, empty = fmt.bar(fraction, width)
    assert cell_len(filled + empty) == width
    if width and fraction is not None:
        assert (fraction > 0) == bool(filled)
        assert (fraction < 1) == (filled != "━" * width)


def test_a_meter_tells_filled_empty_and_unknown_without_colour() -> None:
    assert "".join(fmt.bar(0.42, 6)) == "━━╸───"
    assert "".join(fmt.bar(0.0, 3)) == "───"
    assert "".join(fmt.bar(None, 3)) == "╌╌╌"


values = st.lists(st.none() | st.floats(0, 1e6), max_size=60)


@given(values, st.integers(0, 40), st.none() | st.floats(0, 1e6))
def test_a_sparkline_is_as_wide_as_asked(given_values: list[float | None], width: int, top: float | None) -> None:
    assert cell_len(fmt.spark(given_values, width, top)) == width
    rows = fmt.area(given_values, width, 3, top)
    assert len(rows) == 3
    assert all(cell_len(row) == width for row in rows)


def test_a_sparkline_shows_gaps_and_the_newest_at_the_right() -> None:
    assert fmt.spark([0, None, 5, 10], 6) == "  ▁ ▅█"
    assert fmt.spark([1, 2, 3], 2, top=3.0) == "▆█"


def test_a_chart_grows_upwards() -> None:
    assert fmt.area([0, 8, 16], 3, 2) == ["  █", "▁██"]


# --- lines ----------------------------------------------------------------------------------------

texts = st.text(st.sampled_from("ab 中é—"), max_size=12)
lines = st.lists(st.tuples(texts, st.sampled_from(Tone)), max_size=5).map(tuple)


@given(lines, st.integers(1, 30))
def test_lines_are_cut_and_padded_to_the_cell(line: Line, width: int) -> None:
    assert length(clip(line, width)) <= width
    assert length(pad(line, width)) == width
    spread_out = "".join(text for text, _ in spread(line, ((">", Tone.TEXT),), width))
    assert length(spread(line, ((">", Tone.TEXT),), width)) == width
    assert width < 2 or spread_out.endswith(" >")


@given(texts, st.integers(1, 30))
def test_texts_are_cut_and_aligned_to_the_cell(text: str, width: int) -> None:
    assert cell_len(cut(text, width)) <= width
    assert cell_len(left(text, width)) == width
    assert cell_len(right(text, width)) == width


@given(texts, st.integers(2, 30))
def test_wrapping_keeps_every_word(text: str, width: int) -> None:
    wrapped = wrap(text, width)
    assert all(cell_len(part) <= width for part in wrapped)
    assert "".join("".join(wrapped).split()) == "".join(text.split())


@given(lines, lines)
def test_what_differs_lies_within_what_is_repainted(old: Line, new: Line) -> None:
    def cells(line: Line) -> list[tuple[str, Tone]]:
        return [(part, tone) for text, tone in line for char in text for part in [char] * cell_len(char)]

    before, after = cells(old), cells(new)
    spots = differences(old, new)
    covered = {x for start, width in spots for x in range(start, start + width)}
    for x in range(max(len(before), len(after))):
        if before[x : x + 1] != after[x : x + 1]:
            assert x in covered


def test_a_figure_that_moves_costs_its_own_cells_only() -> None:
    old: Line = (("worker   ", Tone.TEXT), ("  12", Tone.STRONG), ("   8000", Tone.MUTED))
    new: Line = (("worker   ", Tone.TEXT), ("  13", Tone.STRONG), ("   8000", Tone.MUTED))
    assert differences(old, new) == [(9, 4)]

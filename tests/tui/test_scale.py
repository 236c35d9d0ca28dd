"""Axes: steps that people read, labels that fit."""

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given
from qvl_tui.scale import GIB, Unit, label, scale, tick_rows, times, told

PEAKS = st.floats(0, 1e15)
ROWS = st.integers(1, 40)


@given(peak=PEAKS, unit=st.sampled_from(Unit), rows=ROWS)
def test_nothing_that_is_drawn_is_above_the_top_and_the_top_is_near(peak: float, unit: Unit, rows: int) -> None:
    made = scale(peak, unit, rows)
    if unit is Unit.SHARE:
        assert made.top == 1
        return
    assert made.top >= peak * (1 - 1e-6)
    least = {Unit.TIME: 0.001, Unit.BYTES: GIB}.get(unit, 1.0)
    assert made.top <= max(peak, least) * (4 if unit is Unit.COUNT else 2.5) + (5 if unit is Unit.COUNT else 0)
    assert made.ticks[0] == 0
    assert made.ticks[-1] == pytest.approx(made.top)


@given(steps=st.integers(1, 5), rows=ROWS)
def test_ticks_stand_in_the_plot_from_the_ground_to_the_top(steps: int, rows: int) -> None:
    places = tick_rows(steps, rows)
    assert (places[0], places[-1]) == (rows - 1, 0)
    assert sorted(places, reverse=True) == places


@given(peak=PEAKS, unit=st.sampled_from([u for u in Unit if u is not Unit.SHARE]), rows=ROWS)
def test_labels_are_even_and_apart(peak: float, unit: Unit, rows: int) -> None:
    places = tick_rows(scale(peak, unit, rows).steps, rows)
    gaps = [lower - upper for lower, upper in pairwise(places)]
    assert max(gaps) - min(gaps) <= 1
    assert len(gaps) == 1 or min(gaps) >= 2


@given(st.floats(0, 5e9), st.sampled_from(list(Unit)))
def test_a_label_fits_beside_the_axis(peak: float, unit: Unit) -> None:
    # Up to 50 TiB on the cards of a host, and 83 minutes for a token.
    peak *= GIB * 1e-5 if unit is Unit.BYTES else 1e-6 if unit is Unit.TIME else 1
    for tick in scale(peak, unit, 12).ticks:
        assert len(label(tick, unit)) <= 7


def test_a_top_is_held_while_the_values_still_fill_the_plot() -> None:
    first = scale(900, Unit.RATE, 9)
    assert first.top == 1000
    assert scale(400, Unit.RATE, 9, first.top) == first
    assert scale(300, Unit.RATE, 9, first.top).top == 300
    assert scale(1001, Unit.RATE, 9, first.top).top > 1001
    held = scale(20 * GIB, Unit.BYTES, 9, 40 * GIB)
    assert held.top == 40 * GIB


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, Unit.RATE, "—"),
        (1240.4, Unit.RATE, "1,240 tok/s"),
        (3.0, Unit.COUNT, "3"),
        (2.5, Unit.COUNT, "2.5"),
        (0.0084, Unit.TIME, "8.4 ms"),
        (0.084, Unit.TIME, "84 ms"),
        (1.25, Unit.TIME, "1.2 s"),
        (0.424, Unit.SHARE, "42%"),
        (118 * GIB, Unit.BYTES, "118 GiB"),
        (2.04 * GIB, Unit.BYTES, "2.0 GiB"),
        (1890.2, Unit.WATTS, "1,890 W"),
        (66.4, Unit.DEGREES, "66°C"),
        (2.444, Unit.PLAIN, "2.44"),
    ],
)
def test_values_are_told_with_their_unit(value: float | None, unit: Unit, words: str) -> None:
    assert told(value, unit) == words


@given(
    start=st.integers(0, 4_000_000_000),
    span=st.integers(60, 86400),
    cells=st.integers(1, 250),
    ahead=st.sampled_from([0.0, 19800.0, -12600.0]),
)
def test_moments_on_the_axis_are_round_and_apart(start: int, span: int, cells: int, ahead: float) -> None:
    found = times(start, span, cells, 9, ahead)
    assert all(start <= at < start + span for at in found)
    gaps = {round(b - a) for a, b in pairwise(found)}
    assert len(gaps) <= 1
    for gap in gaps:
        assert gap / span * cells >= 9 * 0.999
    assert all((at + ahead) % 10 == pytest.approx(0, abs=1e-3) for at in found)


def test_an_hour_is_labelled_each_ten_minutes() -> None:
    assert times(1000.0, 3600, 60, 9) == [1200.0, 1800.0, 2400.0, 3000.0, 3600.0, 4200.0]
    assert times(1000.0, 0, 60, 9) == []

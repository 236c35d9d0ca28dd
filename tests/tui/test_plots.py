"""What is merged into one curve, what is marked, and how a plot is written."""

from datetime import timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given
from qvl.model.api import History
from qvl.model.event import Event, Severity
from qvl_tui.figures import PLOTS, Curve, Merge, Reach, curve, curves, scope
from qvl_tui.marks import beside, marks, near, placed
from qvl_tui.paint import Tone, length
from qvl_tui.past import Past, past
from qvl_tui.scale import Unit, scale
from qvl_tui.store import Store
from qvl_tui.widgets.plot import AXIS, LEAST, Drawn, Picture, Window, plot_lines, room
from qvl_tui.widgets.plot_grid import grid, sheet, widths

from tests.tui.fleet import NOW, gpu, snapshot, worker


def store(*names: str, gpus: int = 4) -> Store:
    known = Store()
    known.apply(snapshot(*(worker(name) for name in names), gpus=tuple(gpu(n) for n in range(gpus))), 0.0)
    return known


def test_whose_figures_are_shown() -> None:
    known = store("chat-0", "chat-1", "embed-2", gpus=4)
    focus = known.workers["chat-1"]
    one, pool, everyone = (scope(reach, known, focus) for reach in Reach)
    assert one == ("chat-1", ("chat-1",), ("1",))
    assert pool == ("pool chat, 2 workers", ("chat-0", "chat-1"), ("0", "1"))
    assert everyone == ("all 3 workers", ("chat-0", "chat-1", "embed-2"), ("0", "1", "2", "3"))
    assert scope(Reach.POOL, known, known.workers["embed-2"]).title == "embed-2"
    assert scope(Reach.WORKER, known, None) == everyone
    assert scope(Reach.WORKER, store(gpus=0), None) == ("all 0 workers", (), ())


def test_cards_that_are_given_by_uuid_are_found() -> None:
    known = store("chat-0")
    focus = worker("chat-0", gpus=("GPU-00000002", 3, "GPU-of-nobody"))
    assert scope(Reach.WORKER, known, focus).gpus == ("2", "3")


def test_rates_add_up_and_percentiles_do_not() -> None:
    figures: dict[str, list[float | None]] = {
        "tokens_per_s": [10.0, None],
        "ttft_p95_s": [0.1, None],
        "ttft_p50_s": [0.1, None],
    }
    others: dict[str, list[float | None]] = {
        "tokens_per_s": [30.0, 5.0],
        "ttft_p95_s": [0.5, 0.2],
        "ttft_p50_s": [0.3, None],
    }
    known = past(History(5.0, [0.0, 5.0], {"a": figures, "b": others}, {}), 10)

    def merged(figure: str, merge: Merge) -> list[float | None]:
        return curve(known, ["a", "b", "nobody"], Curve("", figure, merge))

    assert merged("tokens_per_s", Merge.SUM) == [40.0, 5.0]
    assert merged("ttft_p95_s", Merge.MOST) == [0.5, 0.2]
    assert merged("ttft_p50_s", Merge.MEAN) == [0.2, None]
    assert merged("running", Merge.SUM) == []


def test_mean_and_most_of_one_are_one_curve() -> None:
    kv = next(plot for plot in PLOTS if plot.title == "kv cache")
    assert curves(kv, ["a"])[1] is None
    assert curves(kv, ["a", "b"])[1] is not None
    ttft = next(plot for plot in PLOTS if plot.title == "first token")
    assert curves(ttft, ["a"])[1] is not None


# --- marks


def happened(seq: int, ago: float, kind: str, severity: Severity = Severity.INFO, **more: object) -> Event:
    at = NOW - timedelta(seconds=ago)
    return Event(seq=seq, at=at, kind=kind, message=kind, severity=severity, **more)  # type: ignore[arg-type]


EVENTS = [
    happened(1, 90, "worker.exit", Severity.ERROR, worker="a"),
    happened(2, 80, "worker.phase", worker="a", data={"from": "stopped", "to": "releasing"}),
    happened(3, 60, "worker.phase", worker="a", data={"from": "starting", "to": "running"}),
    happened(4, 50, "worker.exit", worker="stranger"),
    happened(5, 40, "switch", pool="chat"),
    happened(6, 30, "switch", pool="other"),
    happened(7, 20, "apply"),
    happened(8, 10, "act", worker="a"),
]


def test_what_one_looks_for_when_a_curve_bends_is_marked() -> None:
    found = marks(EVENTS, ["a"], ["chat"])
    assert [(mark.event.seq, mark.glyph, mark.tone) for mark in found] == [
        (1, "✕", Tone.BAD),
        (3, "▸", Tone.MUTED),
        (5, "⇄", Tone.MUTED),
        (7, "◆", Tone.MUTED),
    ]


def test_of_several_in_one_cell_the_gravest_shows_and_all_are_told() -> None:
    found = marks(EVENTS, ["a"], ["chat"])
    start = NOW.timestamp() - 100
    assert {cell: mark.event.seq for cell, mark in placed(found, start, 100, 2).items()} == {0: 1, 1: 7}
    assert [mark.event.seq for mark in near(found, start, 50)] == [1, 3]
    assert placed(found, start + 1000, 100, 2) == {}


def test_one_goes_from_mark_to_mark() -> None:
    found = marks(EVENTS, ["a"], ["chat"])
    now = NOW.timestamp()
    shown = {"start": now - 70, "end": now}
    assert [mark.event.seq if (mark := beside(found, now - at, step, shown)) else None for at, step in (
        (0, -1), (20, -1), (60, -1), (60, 1), (0, 1),
    )] == [7, 5, None, 5, None]  # fmt: skip


# --- writing


def picture(values: list[float | None], line: list[float | None] | None = None, **more: object) -> Picture:
    known: dict[str, object] = {
        "title": "first token",
        "unit": Unit.TIME,
        "area": Drawn("p50", "ttft_p50_s", values, 0, 5),
        "line": None if line is None else Drawn("p95", "ttft_p95_s", line, 0, 5),
        "scale": lambda peak, rows: scale(peak, Unit.TIME, rows),
        "window": Window(0.0, 300.0),
        "labels": [(60.0 * n, f"12:0{n}") for n in range(5)],
    }
    return Picture(**(known | more))  # type: ignore[arg-type]


SERIES = st.lists(st.none() | st.floats(0, 1e6), max_size=80)


@given(
    values=SERIES,
    line=st.none() | SERIES,
    width=st.integers(0, 140),
    height=st.integers(1, 30),
    cursor=st.none() | st.floats(0, 299),
)
def test_a_plot_has_the_size_that_it_was_given(
    values: list[float | None], line: list[float | None] | None, width: int, height: int, cursor: float | None
) -> None:
    lines = plot_lines(picture(values, line, cursor=cursor), width, height)
    assert [length(each) for each in lines] == [width] * height


@given(st.integers(1, 60), st.integers(18, 200))
def test_a_new_value_changes_its_own_columns_alone(known: int, cells: int) -> None:
    """Over SSH each cell costs: until the window moves on, what stands stays."""
    before = [0.59 - n % 7 / 50 for n in range(known)]
    width = cells + AXIS + 1
    old = plot_lines(picture([*before]), width, 12)
    new = plot_lines(picture([*before, 0.55]), width, 12)
    for upper, lower in zip(old[1:], new[1:], strict=True):
        a, b = ("".join(text for text, _ in line) for line in (upper, lower))
        changed = [x - AXIS for x, (was, now) in enumerate(zip(a, b, strict=True)) if was != now]
        first, last = known * 5 / 300 * cells, (known + 1) * 5 / 300 * cells
        assert all(first - 1 <= cell <= last + 1 for cell in changed)


@pytest.mark.parametrize("columns", [30, 60, 61, 119, 120, 121, 240])
def test_each_column_shows_what_its_time_has(columns: int) -> None:
    drawn = Drawn("", "running", [float(n) for n in range(60)], 0, 5)
    sampled = drawn.sampled(Window(0.0, 300.0), columns)
    width = 300 / columns
    for column, value in enumerate(sampled):
        assert value is not None
        middle = (column + 0.5) * width / 5
        assert abs(value - middle) <= 1 + width / 10


def test_the_heading_reads_out_the_newest_or_the_cursor() -> None:
    values: list[float | None] = [*[0.08] * 20, None, 0.2]
    heading = plot_lines(picture(values, [0.4] * 22), 80, 9)[0]
    assert " ".join("".join(text for text, _ in heading).split()) == "first token ▒ p50 200 ms ━ p95 400 ms"
    read = plot_lines(picture(values, [0.4] * 22, cursor=50.0), 80, 9)
    assert "p50 80 ms" in "".join(text for text, _ in read[0])
    gone = plot_lines(picture(values, [0.4] * 22, cursor=100.0), 80, 9)
    assert "p50 —" in "".join(text for text, _ in gone[0])
    column = {("".join(text for text, _ in line))[AXIS + room(80) * 50 // 300] for line in read[1:7]}
    assert "│" in column


def test_the_step_that_has_just_begun_is_not_yet_unknown() -> None:
    assert Drawn("", "running", [1.0, 2.0, None], 0, 5).newest == 2.0
    assert Drawn("", "running", [1.0, None, None], 0, 5).newest is None


def test_where_nothing_is_known_a_sentence_says_so() -> None:
    text = "\n".join("".join(t for t, _ in line) for line in plot_lines(picture([], note="nobody speculates"), 80, 9))
    assert "nobody speculates" in text
    assert "—" in text


@given(width=st.integers(1, 300), height=st.integers(1, 100), count=st.integers(1, 12))
def test_a_sheet_of_plots_fits_the_screen(width: int, height: int, count: int) -> None:
    shape = grid(width, height, count)
    assert sum(widths(width, shape.columns)) == width
    assert shape.rows * min(9, height) <= height
    assert shape.pages(count) * shape.size >= count
    lines = sheet([picture([0.1] * 9)] * min(count, shape.size), width, height, shape)
    assert len(lines) <= height
    assert all(length(line) <= width for line in lines)


@pytest.mark.parametrize(("size", "shape"), [((80, 19), (1, 2)), ((120, 35), (2, 3)), ((200, 55), (3, 4))])
def test_as_many_as_can_be_read(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert grid(*size, len(PLOTS)) == shape


def test_too_small_for_a_plot_is_blank() -> None:
    assert all(not "".join(t for t, _ in line).strip() for line in plot_lines(picture([0.1]), 80, LEAST - 1))
    assert Past(5, 0, 1).values("a", "running") == ()

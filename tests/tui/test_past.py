"""The past as the daemon tells it, and how it goes on with what is heard."""

import hypothesis.strategies as st
from hypothesis import given
from qvl.model.api import History
from qvl.model.status import WorkerMetrics
from qvl.model.worker import Phase
from qvl_tui.past import GPU, PEAKS, WORKER, Past, past

from tests.tui.fleet import gpu, worker

A = "qwen3-vl-0"


def told(*rates: float | None, start: int = 100) -> Past:
    at = [float((start + n) * 5) for n in range(len(rates))]
    profiles: dict[str, list[str | None]] = {A: ["standard" if rate is not None else None for rate in rates]}
    return past(History(5.0, at, {A: {"tokens_per_s": list(rates)}}, {}, profiles), 5 * max(len(rates), 4))


def heard(known: Past, at: float, rate: float | None, **figures: float) -> None:
    metrics = WorkerMetrics(tokens_per_s=rate, **figures)  # type: ignore[arg-type]
    known.hear(at, {A: worker(A, metrics=metrics)}, {A: metrics}, ())


def rates(known: Past) -> list[float | None]:
    return list(known.values(A, "tokens_per_s"))


def test_what_is_heard_falls_into_the_step_of_its_time() -> None:
    known = told(1.0, 2.0, 3.0, 4.0)
    heard(known, 520.0, 10.0)
    assert (known.first, rates(known)) == (101, [2.0, 3.0, 4.0, 10.0])
    heard(known, 522.0, 20.0)
    heard(known, 524.9, 30.0)
    assert rates(known)[-1] == 20.0
    assert known.profiles[A][-1] == "standard"
    heard(known, 525.0, 7.0)
    assert (known.first, rates(known)) == (102, [3.0, 4.0, 20.0, 7.0])


def test_a_silence_is_a_gap() -> None:
    known = told(1.0, 2.0, 3.0, 4.0)
    heard(known, 531.0, 10.0)
    assert rates(known) == [4.0, None, None, 10.0]
    heard(known, 5310.0, 10.0)
    assert (known.first * 5, rates(known)) == (5295, [None, None, None, 10.0])


def test_the_daemons_word_on_the_step_under_way_counts() -> None:
    known = told(1.0, 2.0, 3.0, 4.0)
    heard(known, 516.0, 8.0)
    assert rates(known) == [1.0, 2.0, 3.0, 6.0]


def test_the_largest_stands_for_what_gets_too_large() -> None:
    known = told(1.0)
    for usage in (0.2, 0.9, 0.1):
        heard(known, 500.0, 1.0, kv_usage=usage)
    assert known.values(A, "kv_usage")[0] == 0.9


def test_a_process_that_is_gone_leaves_a_gap_and_no_zero() -> None:
    known = told(1.0, 2.0)
    known.hear(510.0, {A: worker(A, Phase.BACKOFF)}, {A: WorkerMetrics(tokens_per_s=5.0)}, (gpu(0),))
    assert rates(known)[-1] is None
    assert known.profiles[A][-1] is None
    assert known.values("gpu:0", "power") == [None, None, 512.0]


def test_a_clock_set_back_overwrites_nothing_older_than_is_shown() -> None:
    known = told(1.0, 2.0, 3.0, 4.0)
    heard(known, 100.0, 50.0)
    assert rates(known) == [1.0, 2.0, 3.0, 4.0]


def test_a_daemon_that_knows_nothing_is_no_reason_to_know_nothing() -> None:
    known = past(History(5.0, [], {}, {}), 300)
    heard(known, 1_800_000_000.0, 3.0)
    assert rates(known)[-1] == 3.0
    assert known.end == 360_000_001


@given(
    at=st.lists(st.integers(0, 200), unique=True, max_size=30).map(sorted),
    hears=st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 100) | st.none()), max_size=30),
)
def test_whatever_comes_all_columns_have_one_length(at: list[int], hears: list[tuple[int, float | None]]) -> None:
    history = History(5.0, [5.0 * n for n in at], {A: {"running": [1.0] * len(at)}}, {"0": {"power": [2.0] * len(at)}})
    known = past(history, 100)
    for seconds, rate in hears:
        heard(known, float(seconds), rate)
    lengths = {len(column) for column in known.series.values()} | {len(ran) for ran in known.profiles.values()}
    assert lengths <= {known.length}
    assert not hears or known.length <= max(known.kept, at[-1] - at[0] + 1 if at else 0)


def test_the_names_of_figures_are_those_of_the_wire() -> None:
    assert {*WORKER} == {*WorkerMetrics.__struct_fields__}
    assert {*GPU} <= {*gpu(0).__struct_fields__}
    assert {*WORKER, *GPU} >= PEAKS

"""Two profiles beside each other."""

from collections.abc import Mapping, Sequence

import hypothesis.strategies as st
from hypothesis import given
from qvl.model.api import History
from qvl_tui import compare
from qvl_tui.paint import Line
from qvl_tui.past import Past, past
from qvl_tui.widgets import comparison

S, E = "standard", "eagle3"


def known(ran: Mapping[str, Sequence[str | None]], **given: Sequence[float | None]) -> Past:
    steps = len(next(iter(ran.values())))
    figures: dict[str, list[float | None]] = {"running": [1.0] * steps}
    figures |= {figure: list(values) for figure, values in given.items()}
    return past(
        History(
            5.0,
            [5.0 * n for n in range(steps)],
            {name: figures for name in ran},
            {},
            {name: list(each) for name, each in ran.items()},
        ),
        steps * 5,
    )


def text(lines: tuple[Line, ...]) -> str:
    return "\n".join("".join(part for part, _ in line) for line in lines)


def test_the_last_two_that_ran_are_compared_the_earlier_one_first() -> None:
    one = known({"a": ["dense", S, S, E], "b": ["dense", S, S, S]})
    assert compare.profiles(one, ["a", "b"]) == [E, S, "dense"]
    assert compare.profiles(one, ["b"]) == [S, "dense"]
    found = compare.profiles(one, ["a", "b"])
    assert compare.pair(found, (None, None)) == (S, E)
    assert compare.pair(found, ("dense", None)) == ("dense", E)
    assert compare.pair(found, (E, E)) == (S, E)
    assert compare.pair(found, ("gone", "gone")) == (S, E)
    assert compare.pair([S], (None, None)) is None


@given(
    st.lists(st.sampled_from("abcde"), unique=True, max_size=5),
    st.none() | st.sampled_from("abcx"),
    st.none() | st.sampled_from("abcx"),
)
def test_a_pair_is_always_of_two_that_ran(found: list[str], first: str | None, second: str | None) -> None:
    pair = compare.pair(found, (first, second))
    assert (pair is None) == (len(found) < 2)
    if pair is not None:
        assert len({*pair} & {*found}) == 2


def test_only_the_time_in_which_requests_ran_counts() -> None:
    one = known(
        {"a": [S] * 4 + [E] * 2}, tokens_per_s=[0.0, 100.0, 300.0, 0.0, 500.0, None], running=[0, 1, 2, 0, 3, 3]
    )
    assert compare.measured(one, ["a"], S, "tokens_per_s") == (200.0, 300.0)
    assert compare.measured(one, ["a"], E, "tokens_per_s") == (500.0, 500.0)
    assert compare.measured(one, ["a"], "dense", "tokens_per_s") == (None, None)
    assert compare.measured(one, ["a"], E, "accept_length") == (None, None)


def test_a_stretch_begins_after_the_last_break() -> None:
    one = known({"a": [S] * 3 + [None] * 9 + [S] * 2 + [None] * 2 + [S] + [E] * 3})
    assert compare.stretch(one, ["a"], S) == range(12, 17)
    assert compare.stretch(one, ["a"], E) == range(17, 20)
    assert compare.stretch(one, ["a"], "dense") == range(0)


def test_a_difference_is_told_with_its_sign() -> None:
    told = [compare.difference(*pair) for pair in ((100, 146), (100, 88), (100, 100), (0, 5), (None, 5), (1, 20))]
    assert told == ["+46%", "−12%", "±0%", "", "", "+1,900%"]


def test_the_table_says_which_way_is_better() -> None:
    one = known({"a": [S, S, E, E]}, tokens_per_s=[100.0, 100.0, 146.0, 146.0], ttft_p50_s=[0.1, 0.1, 0.2, 0.2])
    table = text(comparison.table(one, ["a"], (S, E), 120)).splitlines()
    assert " ".join(table[1].split()) == "ran for 10 s, 1 worker 10 s, 1 worker"
    assert " ".join(table[3].split()) == "throughput 100 tok/s 100 tok/s 146 tok/s 146 tok/s +46% better"
    assert " ".join(table[4].split()) == "first token p50 100 ms 100 ms 200 ms 200 ms +100% worse"
    assert not any("accept length" in line for line in table)
    narrow = text(comparison.table(one, ["a"], (S, E), 80)).splitlines()
    assert " ".join(narrow[2].split()) == "throughput 100 tok/s 146 tok/s +46% better"
    assert max(map(len, narrow)) <= 80


def test_another_load_is_told() -> None:
    one = known({"a": [S, S, E, E]}, running=[2.0, 2.0, 6.0, 6.0])
    assert "▲ not under the same load: 2 requests ran with standard, 6 with eagle3" in text(
        (comparison.caveat(one, ["a"], (S, E)),)
    )
    same = known({"a": [S, S, E, E]})
    assert "▲" not in text((comparison.caveat(same, ["a"], (S, E)),))


def test_pairs_have_one_scale_and_each_its_own_beginning() -> None:
    one = known({"a": [S] * 6 + [E] * 3}, tokens_per_s=[10.0] * 6 + [90.0] * 3)
    first, second, *_ = comparison.pictures(one, ["a"], (S, E), 120)
    assert first.title == "standard: throughput"
    assert first.area.values == [10.0] * 6
    assert second.area.values == [90.0] * 3
    assert first.window == second.window
    assert first.window.span == 30
    assert first.scale(None, 9) == second.scale(None, 9)
    assert first.scale(None, 9).top >= 90

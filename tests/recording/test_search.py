"""A recorded log is searched like a real one: the same lines, whatever the blocks, the gaps and the direction."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qvl.model.log import LogEnd, LogMatch, LogSearch
from qvl.recording import search as searching
from qvl.recording.search import search

SPAN = searching.BLOCK


def log_of(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def found(data: bytes, wanted: LogSearch, gap: tuple[int, int] = (0, 0)) -> tuple[list[int], LogEnd]:
    """Offsets of what a search finds, and its end. `gap`: bytes that were not recorded."""

    def read(since: int, limit: int) -> tuple[int, bytes]:
        if gap[0] <= since < gap[1]:
            since = gap[1]
        stop = gap[0] if since < gap[0] else len(data)
        return since, data[since : min(stop, since + limit)]

    *met, end = search(read, 0, len(data), wanted)
    assert isinstance(end, LogEnd)
    return [each.offset for each in met if isinstance(each, LogMatch)], end


words = st.sampled_from([b"plain", b"a needle here", b"x" * 300, b"", b"[2026-03-04 12:00:00] needle"])


@settings(deadline=None, max_examples=60)
@given(st.lists(words, max_size=60), st.integers(0, 9000))
def test_both_directions_find_every_line_with_it(lines: list[bytes], at: int) -> None:
    data = log_of(lines)
    places = [match.start() for match in re.finditer(rb"(?m)^.*needle.*\n", data)]
    ahead, end = found(data, LogSearch(pattern="needle", since=0, count=1000))
    assert (ahead, end.reason) == (places, "exhausted")
    back, _ = found(data, LogSearch(pattern="needle", before=len(data), count=1000))
    assert back == places[::-1]
    line_start = data.rfind(b"\n", 0, min(at, len(data))) + 1
    before, _ = found(data, LogSearch(pattern="needle", before=line_start, count=1000))
    assert before == [place for place in reversed(places) if place < line_start]


@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 3])
def test_a_line_across_two_blocks_is_found_once(shift: int) -> None:
    data = b"x" * (SPAN + shift - 8) + b"\nthe needle is here\n" + b"y" * SPAN + b"\n"
    for wanted in (LogSearch(pattern="needle", since=0), LogSearch(pattern="needle", before=len(data))):
        assert found(data, wanted)[0] == [SPAN + shift - 7]


def test_what_was_not_recorded_is_passed_over() -> None:
    data = log_of([b"needle one", b"needle two", b"needle three"])
    assert found(data, LogSearch(pattern="needle", since=0), gap=(11, 22))[0] == [0, 22]
    assert found(data, LogSearch(pattern="needle", before=len(data)), gap=(11, 22))[0] == [22, 0]


def test_so_many_and_where_to_go_on() -> None:
    data = log_of([b"needle"] * 5)
    met, end = found(data, LogSearch(pattern="needle", since=0, count=2))
    assert (met, end.reason, end.at) == ([0, 7], "count", 14)
    met, end = found(data, LogSearch(pattern="needle", before=14, count=1))
    assert (met, end.at) == ([7], 7)


def test_a_level_without_a_pattern_finds_records() -> None:
    data = log_of([b"[2026-03-04 12:00:00] fine", b"[2026-03-04 12:00:01] ERROR: it broke", b"  more of it"])
    assert found(data, LogSearch(level="error", since=0))[0] == [27]


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(re.error):
        found(b"a\n", LogSearch(pattern="(", since=0))

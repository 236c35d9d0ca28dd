"""Several logs in one: by time, whole records, and only as far back as all are loaded."""

from hypothesis import given
from hypothesis import strategies as st
from qvl_tui.logs.lines import entries
from qvl_tui.logs.merge import behind, merged, short
from qvl_tui.logs.part import Part


def part(feed: int, text: str, *, top: bool = True, bottom: bool = True) -> Part:
    made = Part(feed)
    lines = entries(text.encode(), 0, feed)
    made.after(lines, len(text), bottom=bottom)
    made.at_top = top
    return made


def log(*seconds: int, more: str = "") -> str:
    return "".join(f"[2026-01-01 00:00:{s:02}] at {s}\n{more}" for s in seconds)


def told(*parts: Part) -> list[str]:
    return [f"{line.feed}:{line.text.split()[-1]}" for line in merged(parts)]


def test_by_time_with_what_belongs_to_a_record() -> None:
    assert told(part(0, log(1, 3)), part(1, log(2, 4, more="  frame\n"))) == [
        "0:1", "1:2", "1:frame", "0:3", "1:4", "1:frame",
    ]  # fmt: skip


def test_at_one_time_each_log_stays_together() -> None:
    assert told(part(0, log(1, 1)), part(1, log(1, 1))) == ["0:1", "0:1", "1:1", "1:1"]


def test_a_clock_that_goes_back_does_not_part_a_log() -> None:
    assert told(part(0, log(5, 2, 6)), part(1, log(3))) == ["1:3", "0:5", "0:2", "0:6"]


def test_what_is_not_loaded_of_one_is_not_told_of_the_others() -> None:
    early, late = part(0, log(1, 2, 3, 9)), part(1, log(5, 6), top=False)
    assert told(early, late) == ["1:5", "1:6", "0:9"]
    assert behind([early, late]) == [late]
    late.at_top = True
    early.at_bottom = late.at_bottom = False
    assert told(early, late) == ["0:1", "0:2", "0:3", "1:5", "1:6"]
    assert short([early, late]) == [late]


def test_one_alone_is_told_whole() -> None:
    assert told(part(0, log(5, 2), top=False, bottom=False)) == ["0:5", "0:2"]


@given(st.lists(st.lists(st.integers(0, 59), max_size=20), min_size=2, max_size=4))
def test_every_line_once_and_each_log_in_its_order(logs: list[list[int]]) -> None:
    parts = [part(number, log(*seconds)) for number, seconds in enumerate(logs)]
    found = merged(parts)
    for known in parts:
        assert [line for line in found if line.feed == known.feed] == known.lines


def test_parts_are_trimmed_at_lines() -> None:
    known = part(0, log(1, 2, 3, 4))
    size = known.lines[0].size
    known.drop_top(3)
    assert (known.low, known.high, known.at_top, len(known.lines)) == (size, 4 * size, False, 3)
    known.drop_bottom(2)
    assert (known.low, known.high, known.at_bottom, len(known.lines)) == (size, 3 * size, False, 2)

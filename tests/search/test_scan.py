"""Which lines are found, and with which record."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qvl.model.log import LogSearch
from qvl.model.loglines import LEVELS, level_of
from qvl.search.records import FOLLOWED, Records, lines
from qvl.search.scan import LONGEST, STRETCH, Scanner

TRACEBACK = (
    b"[2026-03-04 12:00:01 TP0] Scheduler hit an exception: Traceback (most recent call last):\n"
    b'  File "scheduler.py", line 1, in run\n'
    b"    loop()\n"
    b"torch.OutOfMemoryError: CUDA out of memory\n"
)
PLAIN = b"[2026-03-04 12:00:00 TP0] Decode batch. #running-req: 3\n"
LOG = PLAIN + b"[2026-03-04 12:00:00] WARNING: odd\n" + PLAIN + TRACEBACK + PLAIN
UNSTAMPED = (
    b"starting\n  indented\nTraceback (most recent call last):\n  File x\n    y\nValueError: bad\nbye\nerror again\n"
)


def found(data: bytes, pattern: str = "", level: str = "info", ignore_case: bool = False) -> list[tuple[str, str, str]]:
    """(first line of the text, level, head)"""
    scanner = Scanner(LogSearch(pattern=pattern, level=level, ignore_case=ignore_case))
    matches = list(scanner.matches((1000, data)))
    for match in matches:
        assert data[match.offset - 1000 :][: match.size].decode().rstrip("\n") == match.text
        assert 1000 <= match.record <= match.offset
    return [(match.text.split("\n")[0], match.level, match.head) for match in matches]


def test_a_pattern_finds_lines_each_with_its_record() -> None:
    head = "[2026-03-04 12:00:01 TP0] Scheduler hit an exception: Traceback (most recent call last):"
    assert found(LOG, "CUDA out") == [("torch.OutOfMemoryError: CUDA out of memory", "error", head)]
    assert found(LOG, "cuda OUT") == []
    assert found(LOG, "cuda OUT", ignore_case=True)[0][1:] == ("error", head)
    assert [text for text, _, _ in found(LOG, r"line \d, in")] == ['  File "scheduler.py", line 1, in run']
    assert len(found(LOG, r"Decode|WARN")) == 4
    assert len(found(LOG, r"^\[")) == 5
    assert found(LOG, r"3$")[0] == ("[2026-03-04 12:00:00 TP0] Decode batch. #running-req: 3", "info", "")


def test_a_level_finds_records() -> None:
    assert [level for _, level, _ in found(LOG, level="warning")] == ["warning", "error"]
    scanner = Scanner(LogSearch(level="error"))
    (match,) = scanner.matches((0, LOG))
    assert match.text.encode() + b"\n" == TRACEBACK
    assert match.size == len(TRACEBACK)


def test_a_pattern_within_a_level_counts_for_the_whole_record() -> None:
    assert [text for text, _, _ in found(LOG, "loop", "error")] == ["    loop()"]
    assert found(LOG, "Decode", "error") == []
    assert [text for text, _, _ in found(LOG, r"\(\)", "warning")] == ["    loop()"]


def test_without_stamps_a_traceback_is_told_by_its_shape() -> None:
    scanner = Scanner(LogSearch(level="error"))
    assert [match.text for match in scanner.matches((0, UNSTAMPED))] == [
        "Traceback (most recent call last):\n  File x\n    y\nValueError: bad",
        "error again",
    ]
    assert found(UNSTAMPED, "ValueError") == [("ValueError: bad", "error", "Traceback (most recent call last):")]
    assert found(UNSTAMPED, "bye") == [("bye", "info", "")]
    assert found(UNSTAMPED, "indented") == [("  indented", "info", "")]


def test_a_long_line_is_cut_and_counted_whole() -> None:
    line = b"error " + b"x" * 20_000 + b"\n"
    (match,) = Scanner(LogSearch(level="error")).matches((0, line))
    assert len(match.text) == LONGEST
    assert match.size == len(line)


@given(
    st.lists(st.sampled_from([PLAIN, b"  frame\n", b"ValueError: x\n", b"warn me\n", b"\n", b"plain\n"]), max_size=12)
)
def test_no_bad_line_is_missed(parts: list[bytes]) -> None:
    data = b"".join(parts)
    for level, least in LEVELS.items():
        if not least:
            continue
        spans = [(m.offset, m.offset + m.size) for m in Scanner(LogSearch(level=level)).matches((0, data))]
        assert spans == sorted(set(spans))
        at = 0
        for line in parts:
            if level_of(line) >= least:
                assert any(start <= at < end for start, end in spans), (parts, line)
            at += len(line)


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(Exception, match="unterminated"):
        Scanner(LogSearch(pattern="(a"))


SOME = st.lists(
    st.sampled_from(
        [PLAIN, b"  frame\n", b"Traceback (most recent call last):\n", b"ValueError: x\n", b"\n", b"plain\n"]
    ),
    max_size=5,
)


@settings(max_examples=50)
@given(SOME, st.integers(FOLLOWED - 5, FOLLOWED + 1), SOME)
def test_what_is_remembered_of_earlier_lines_changes_no_record(
    before: list[bytes], indented: int, after: list[bytes]
) -> None:
    data = b"".join(before) + b"  y\n" * indented + b"".join(after)
    records = Records(data)
    for start, end in lines(data, 0, len(data)):
        record = records.of(start, end)
        if not 100 < start < len(data) - 300:  # a look without a memory takes its time
            assert record == Records(data).of(start, end)


@pytest.mark.parametrize(("pattern", "level"), [("e", "info"), ("[er]", "error"), ("", "error")])
def test_a_block_of_many_lines_is_no_single_piece_of_work(pattern: str, level: str) -> None:
    called: list[None] = []
    scanner = Scanner(LogSearch(pattern=pattern, level=level), between=lambda: called.append(None))
    assert sum(1 for _ in scanner.matches((0, b"error\n" * 5 * STRETCH))) == 5 * STRETCH
    assert len(called) >= 5

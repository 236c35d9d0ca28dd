"""Reading by absolute offset gives what a naive reader of the whole log would, at any size and while it rotates."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qvl.shim import logread
from qvl.shim.logfile import LogFile, segment_name

from tests.shim.harness import Bench, shell


def fill(directory: Path, data: bytes, max_size: int, keep: int = 1000) -> None:
    log = LogFile(str(directory), max_size, keep)
    log.open()
    for line in data.splitlines(keepends=True):
        log.write(line)
    log.close()


def test_nothing_is_there_before_the_first_run(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert logread.segments(absent) == []
    assert logread.end(absent) == 0
    assert logread.read_at(absent, 5, 10) == (0, b"")
    assert logread.tail_lines(absent, 5) == (0, [])
    assert logread.runs(absent) == []


@settings(deadline=None)  # the disk is shared
@given(
    lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" ")), max_size=40),
    ended=st.booleans(),
    max_size=st.integers(1, 200),
    n=st.integers(1, 12),
    block=st.integers(1, 40),
)
def test_pages_backwards_are_the_whole_log(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], ended: bool, max_size: int, n: int, block: int
) -> None:
    directory = tmp_path_factory.mktemp("log")
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    fill(directory, data, max_size)
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    pages: list[bytes] = []
    before: int | None = None
    while True:
        before, page = logread.tail_lines(directory, n, before, block_size=block)
        assert len(page) <= n
        pages = page + pages
        if len(page) < n:
            break
    assert before == 0
    assert pages == expected


@settings(deadline=None)  # the disk is shared
@given(data=st.binary(max_size=300), max_size=st.integers(1, 100), limit=st.integers(1, 64))
def test_reading_forwards_gives_every_byte_once(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, max_size: int, limit: int
) -> None:
    directory = tmp_path_factory.mktemp("log")
    fill(directory, data, max_size)
    found = b""
    while True:
        begin, part = logread.read_at(directory, len(found), limit)
        assert begin == len(found)
        assert len(part) <= limit
        if not part:
            break
        found += part
    assert found == data


def test_a_reader_learns_what_was_rotated_away(tmp_path: Path) -> None:
    fill(tmp_path, b"".join(b"line %4d\n" % number for number in range(10)), max_size=20, keep=1)
    first = logread.segments(tmp_path)[0].offset
    assert first > 0
    assert logread.read_at(tmp_path, 3, 10) == (first, b"line %4d\n" % (first // 10))
    assert logread.read_at(tmp_path, 10**6, 10) == (100, b"")
    assert logread.tail_lines(tmp_path, 100)[0] == first


def test_lines_stay_within_a_run(tmp_path: Path) -> None:
    fill(tmp_path, b"old 1\nold 2\nnew 1\nnew 2\n", max_size=100)
    assert logread.tail_lines(tmp_path, 10, start=12) == (12, [b"new 1", b"new 2"])
    assert logread.tail_lines(tmp_path, 1, start=12) == (18, [b"new 2"])
    assert logread.tail_lines(tmp_path, 10, before=12) == (0, [b"old 1", b"old 2"])
    assert logread.tail_lines(tmp_path, 10, before=12, start=12) == (12, [])


def test_pages_do_not_join_what_a_hole_parts(tmp_path: Path) -> None:
    (tmp_path / segment_name(0)).write_bytes(b"one\ntw")
    (tmp_path / segment_name(100)).write_bytes(b"three\nfour\n")
    offset, lines = logread.tail_lines(tmp_path, 10)
    assert (offset, lines) == (100, [b"three", b"four"])
    assert logread.tail_lines(tmp_path, 10, before=offset) == (0, [b"one", b"tw"])


def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    (tmp_path / segment_name(0)).write_bytes(b"x" * (logread.MAX_TAIL + 1000))
    offset, lines = logread.tail_lines(tmp_path, 10)
    assert offset == 1000
    assert [len(line) for line in lines] == [logread.MAX_TAIL]


def test_runs_are_listed(bench: Bench) -> None:
    bench.log_dir.mkdir()
    old = "".join(f'{{"generation": {generation}, "offset": 0, "at": 1.5}}\n' for generation in range(1, 52))
    (bench.log_dir / "runs").write_text(old + "garbage\n")
    for generation in (52, 53):
        bench.start(bench.bootstrap(*shell(f"echo run {generation}"), generation=generation))
        bench.wait_gone()
    runs = logread.runs(bench.log_dir)
    assert [(run.generation, run.offset) for run in runs[-3:]] == [(51, 0), (52, 0), (53, 7)]
    assert len(runs) == 49  # of the last 50 lines, one is not understood
    assert logread.tail_lines(bench.log_dir, 5, start=runs[-1].offset) == (7, [b"run 53"])

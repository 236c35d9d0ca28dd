"""A log in blocks: all of it, once, each beginning where a record does."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.model.loglines import begins_record
from qvl.search.blocks import NEAR, backwards, forwards
from qvl.shim.logfile import segment_name

RECORD = b"[2026-03-04 12:00:00] hit an exception\n" + b"  frame of it\n" * 20
LOG = RECORD * 12_000
"""3.8 MB."""


@pytest.fixture
def directory(tmp_path: Path) -> str:
    for start, end in ((0, 1_000_000), (1_000_000, 1_000_039), (1_000_039, len(LOG))):
        (tmp_path / segment_name(500 + start)).write_bytes(LOG[start:end])
    return str(tmp_path)


def test_forwards(directory: str) -> None:
    found = list(forwards(directory, 0, 500 + len(LOG)))
    assert b"".join(data for _, data in found) == LOG
    assert [base for base, _ in found] == [500 + sum(len(data) for _, data in found[:n]) for n in range(len(found))]
    assert all(begins_record(data) for _, data in found)
    assert len(found) > 3


def test_backwards(directory: str) -> None:
    found = list(backwards(directory, 10**12))
    assert b"".join(data for _, data in reversed(found)) == LOG
    assert all(begins_record(data) for _, data in found)
    assert len(found[0][1]) <= NEAR


def test_a_part(directory: str) -> None:
    start, end = 500 + len(RECORD) * 7, 500 + len(RECORD) * 9
    assert b"".join(data for _, data in forwards(directory, start, end)) == RECORD * 2
    assert next(backwards(directory, end))[1] == RECORD * 9


@given(st.integers(1, 3 * NEAR), st.integers(0, 5))
def test_a_line_without_end_is_met_whole_or_in_pieces(size: int, more: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        data = b"x" * size + b"\n" + b"y\n" * more
        Path(name, segment_name(0)).write_bytes(data)
        assert b"".join(piece for _, piece in forwards(name, 0, len(data))) == data
        assert b"".join(piece for _, piece in reversed(list(backwards(name, len(data))))) == data


def test_what_rotation_took_is_passed_over(directory: str) -> None:
    blocks = forwards(directory, 0, 500 + len(LOG))
    next(blocks)
    Path(directory, segment_name(500)).unlink()
    Path(directory, segment_name(1_000_500)).unlink()
    rest = list(blocks)
    assert rest[-1][0] + len(rest[-1][1]) == 500 + len(LOG)
    for base, data in rest:
        assert data == LOG[base - 500 : base - 500 + len(data)]


def test_no_log(tmp_path: Path) -> None:
    assert list(forwards(str(tmp_path), 0, 100)) == list(backwards(str(tmp_path / "none"), 100)) == []

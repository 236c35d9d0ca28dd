"""Output as lines: the same however it was cut, harmless, bounded, and each at its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl_tui.logbuffer import LogBuffer
from qvl_tui.logs.lines import LONGEST, Entry, Level, Tail, entries

PARTS = [b"a", b"b\n", b"\r", b"\r\n", b"\n", "é".encode(), "中".encode(), b"\x1b[31mx\x1b[0m", b"\xff"]


def texts(*pieces: bytes) -> list[str]:
    buffer = LogBuffer()
    for piece in pieces:
        buffer.feed(piece)
    return [line.text for line in buffer.lines]


def taken(*pieces: bytes) -> list[Entry]:
    tail = Tail(100)
    found = [line for piece in pieces for line in tail.take(piece)]
    return [*found, tail.open] if tail.open is not None else found


@given(st.lists(st.sampled_from(PARTS)), st.lists(st.integers(1, 7), max_size=60))
def test_the_same_bytes_give_the_same_lines_however_they_are_cut(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    pieces, rest = [], data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    assert taken(*pieces, rest) == entries(data, 100)


@given(st.lists(st.sampled_from(PARTS)))
def test_lines_lie_beside_each_other(parts: list[bytes]) -> None:
    data = b"".join(parts)
    at = 100
    for line in entries(data, 100):
        assert line.offset == at
        at += line.size
    assert at == 100 + len(data)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"load  10%\rload  60%\rload 100%\n", "load 100%"),
        (b"windows\r\n", "windows"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07end\n", "red end"),
        (b"bell\x07 null\x00 back\x08\n", "bell· null· back·"),
        (b"tab\tend\n", "tab end"),
        ("right\u202eto left\n".encode(), "right·to left"),
        (b"bad \xff byte\n", "bad � byte"),
        (b"\x1b\n", ""),
    ],
)
def test_control_characters_are_harmless(raw: bytes, text: str) -> None:
    assert texts(raw) == [text]


def test_a_progress_line_is_replaced_in_place_while_it_is_written() -> None:
    assert texts(b"start\nload 10%") == ["start", "load 10%"]
    assert texts(b"start\nload 10%", b"\rload 20%") == ["start", "load 20%"]
    assert texts(b"start\nload 10%", b"\rload 20%", b"\nready\n") == ["start", "load 20%", "ready"]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Traceback (most recent call last):", Level.ERROR),
        ("torch.OutOfMemoryError: CUDA out of memory", Level.ERROR),
        ("[2026-03-04 12:00:00] ERROR: no", Level.ERROR),
        ("ValueError: x", Level.ERROR),
        ("WARNING: odd", Level.WARNING),
        ("FutureWarning: old", Level.WARNING),
        ("INFO: error_count=0 is fine", Level.PLAIN),
        ("no errors here", Level.PLAIN),
    ],
)
def test_lines_are_marked_by_how_bad_they_are(text: str, level: Level) -> None:
    assert entries(text.encode() + b"\n", 0)[0].level is level


def test_a_line_without_end_is_bounded_and_keeps_its_place() -> None:
    tail = Tail(7)
    for _ in range(50):
        assert tail.take(b"x" * 100_000) == []
    assert tail.next == 7 + 5_000_000
    assert tail.open is not None
    assert len(tail.open.text) <= LONGEST + 1
    (line,) = tail.take(b"end\n")
    assert (line.offset, line.size) == (7, 5_000_004)
    assert tail.take(b"next\n")[0].offset == 7 + 5_000_004


def test_memory_is_bounded_in_lines() -> None:
    buffer = LogBuffer(kept=10)
    for n in range(25):
        buffer.feed(b"line %d\n" % n)
    buffer.feed(b"open")
    assert [buffer.lines[0].text, buffer.lines[-1].text] == ["line 16", "open"]

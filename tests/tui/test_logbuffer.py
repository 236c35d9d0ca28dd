"""Output as lines: the same however it was cut, harmless, and bounded."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl_tui.logbuffer import LONGEST, Level, LogBuffer


def texts(*pieces: bytes, kept: int = 5_000) -> list[str]:
    buffer = LogBuffer(kept)
    for piece in pieces:
        buffer.feed(piece)
    return [line.text for line in buffer.lines]


@given(
    st.lists(
        st.sampled_from(
            [b"a", b"b\n", b"\r", b"\r\n", b"\n", "é".encode(), "中".encode(), b"\x1b[31mx\x1b[0m", b"\xff"]
        )
    ),
    st.lists(st.integers(1, 7), max_size=60),
)
def test_the_same_bytes_give_the_same_lines_however_they_are_cut(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    pieces, rest = [], data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    assert texts(*pieces, rest) == texts(data)


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
    buffer = LogBuffer()
    buffer.feed(b"start\nload 10%")
    assert [line.text for line in buffer.lines] == ["start", "load 10%"]
    buffer.feed(b"\rload 20%")
    assert [line.text for line in buffer.lines] == ["start", "load 20%"]
    buffer.feed(b"\nready\n")
    assert [line.text for line in buffer.lines] == ["start", "load 20%", "ready"]


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
    buffer = LogBuffer()
    buffer.feed(text.encode() + b"\n")
    assert buffer.lines[0].level is level


def test_memory_is_bounded_in_lines_and_in_length() -> None:
    buffer = LogBuffer(kept=10)
    for n in range(25):
        buffer.feed(b"line %d\n" % n)
    assert [buffer.lines[0].text, buffer.lines[-1].text] == ["line 15", "line 24"]
    assert buffer.dropped == 15
    assert buffer.seen == 25
    buffer.feed(b"x" * 200_000)
    buffer.feed(b"y" * 200_000)
    assert len(buffer.lines[-1].text) <= LONGEST + 1
    assert len(buffer.lines) == 10


def test_errors_are_found_both_ways() -> None:
    buffer = LogBuffer()
    buffer.feed(b"a\nERROR 1\nb\nERROR 2\nc\n")
    assert buffer.find(Level.ERROR, 5, -1) == 3
    assert buffer.find(Level.ERROR, 3, -1) == 1
    assert buffer.find(Level.ERROR, 1, -1) is None
    assert buffer.find(Level.ERROR, -1, 1) == 1


def test_a_flood_is_cheap() -> None:
    """Ten seconds of 2,000 lines/s are taken in within one."""
    buffer = LogBuffer()
    piece = b"[2026-03-04 12:00:11] Decode batch. #running-req: 3, #token: 1244, gen throughput (token/s): 1240\n" * 200
    began = time.process_time()
    for _ in range(100):
        buffer.feed(piece)
    assert time.process_time() - began < 1.0
    assert len(buffer) == 5_000

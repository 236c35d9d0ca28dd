"""That what test_survival.py counts with would count: its instruments, held against what is broken on purpose."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.systemd import load
from tests.systemd.conftest import table
from tests.systemd.load import TOKENS, Broken, text_of
from tests.systemd.numbered import Count, NumberedLog


def line(number: int) -> bytes:
    return f"[2026-01-01 00:00:00] Simulated chatter, line {number}\n".encode()


def lines(*numbers: int) -> bytes:
    return b"".join(map(line, numbers))


def write(folder: Path, *files: bytes, skipped: int = 0) -> NumberedLog:
    """Files of one log, one after the other; `skipped` bytes are missing between them."""
    offset = 0
    for content in files:
        (folder / f"{offset:016d}.log").write_bytes(content)
        offset += len(content) + skipped
    return NumberedLog(folder)


# --- the log ---


def test_a_whole_log_has_lost_nothing(tmp_path: Path) -> None:
    other = b'[2026-01-01 00:00:00] INFO:     1.2.3.4:5 - "POST /v1/chat/completions?load=7 HTTP/1.1" 200 OK\n'
    log = write(tmp_path, lines(0, 1) + other, lines(2))
    assert log.look() == Count(len(lines(0, 1, 2)) + len(other), 3)
    assert log.requests == Counter([7])


def test_a_log_is_read_on_from_where_the_last_look_ended(tmp_path: Path) -> None:
    first = lines(0, 1)
    log = write(tmp_path, first)
    log.look()
    path = next(tmp_path.iterdir())
    path.write_bytes(first + line(2)[:20])
    assert log.look() == Count(size=20)
    path.write_bytes(first + line(2))
    (tmp_path / f"{len(first + line(2)):016d}.log").write_bytes(line(3))
    assert log.look() == Count(len(line(2)) - 20 + len(line(3)), 2)


def test_missing_lines_count_by_their_bytes(tmp_path: Path) -> None:
    count = write(tmp_path, lines(0, *range(11, 20))).look()
    assert (count.lost, count.doubled) == (len(lines(*range(1, 11))), 0)


def test_lines_that_came_before_are_doubled(tmp_path: Path) -> None:
    count = write(tmp_path, lines(0, 1, 2), lines(1, 2, 3)).look()
    assert (count.lost, count.doubled) == (0, len(lines(1, 2)))


def test_bytes_that_no_file_holds_are_lost(tmp_path: Path) -> None:
    assert write(tmp_path, lines(0), lines(1), skipped=5).look().lost == 5


def test_a_loss_that_the_shim_tells_of_counts(tmp_path: Path) -> None:
    assert write(tmp_path, lines(0), b"[qvl] 1234 bytes of output were lost: no space\n").look().lost == 1234


def test_a_torn_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="torn"):
        write(tmp_path, lines(0) + b"chatter? " + line(1)).look()


# --- the load ---


def events(
    tokens: int = TOKENS, usage: int = TOKENS, reasons: tuple[str, ...] = ("length",), end: str = "[DONE]"
) -> bytes:
    """A stream as a worker sends it."""
    chunks: list[object] = [
        {"choices": [{"delta": {"content": " a" if number else "a"}, "finish_reason": None}], "usage": None}
        for number in range(tokens)
    ]
    chunks += [{"choices": [{"delta": {"content": ""}, "finish_reason": reason}], "usage": None} for reason in reasons]
    chunks += [{"choices": [], "usage": {"completion_tokens": usage}}]
    return "".join(f"data: {text}\n\n" for text in [*map(json.dumps, chunks), end]).encode()


def test_a_whole_answer_is_one() -> None:
    assert text_of(events()) == " ".join("a" * TOKENS)


@pytest.mark.parametrize(
    "content",
    [
        events(tokens=TOKENS - 1),
        events(usage=TOKENS - 1),
        events(reasons=()),
        events(reasons=("length", "length")),
        events(reasons=("abort",)),
        events(end="[DONE"),
        events()[:-1],
        events().removesuffix(b"data: [DONE]\n\n"),
    ],
)
def test_an_answer_that_lacks_something_is_none(content: bytes) -> None:
    with pytest.raises(Broken):
        text_of(content)


HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(events()), events())
LAST = b"0\r\n\r\n"


def ask(answer: bytes) -> str:
    """What load.py makes of an answer; the connection ends after it."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"ignore_eos")
        writer.write(answer)
        writer.close()

    async def run() -> str:
        async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
            text, _ = await load.ask(server.sockets[0].getsockname()[1], "prompt", 1)
            return text

    return asyncio.run(run())


def test_an_answer_in_whole_chunks_is_one() -> None:
    assert ask(HEAD + CHUNK + LAST) == text_of(events())


@pytest.mark.parametrize(
    "answer",
    [HEAD[:-2], HEAD + CHUNK[:-100], HEAD + CHUNK, HEAD + CHUNK + LAST[:-2], HEAD + CHUNK + LAST + b"more"],
    ids=["in its head", "in a chunk", "before the last chunk", "in the last chunk", "too late"],
)
def test_an_answer_that_ends_at_the_wrong_place_is_none(answer: bytes) -> None:
    with pytest.raises((Broken, OSError, EOFError)):
        ask(answer)


def test_a_refusal_is_no_answer() -> None:
    with pytest.raises(Broken, match="503"):
        ask(HEAD.replace(b"200 OK", b"503 no") + CHUNK + LAST)


# --- the table ---


def test_the_table_has_every_column_of_every_row() -> None:
    rows = [{"step": "one", "failed": "0"}, {"step": "another", "failed": "10", "took": "3 s"}]
    assert table(rows).splitlines() == ["step     failed  took", "one           0", "another      10   3 s"]

"""GET /v1/workers/{name}/log over segments as a shim leaves them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.api.control import LogSource
from qvl.shim.logfile import segment_name

from tests.api.wire import Answer, ask, connect, request_bytes
from tests.fakes import FakeControl, Served, serve
from tests.support import wait_until

TARGET = "/v1/workers/chat-0/log"
LINES = [f"line {number:04d}\n".encode() for number in range(1000)]
"""10 bytes each: the first run has lines 0-699, the second goes from 700 on. Lines 0-99 are rotated away."""
RUNS = ((1, 0), (2, 7000))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "log"
    directory.mkdir()
    for start, end in [(100, 500), (500, 800), (800, 1000)]:
        (directory / segment_name(start * 10)).write_bytes(b"".join(LINES[start:end]))
    return directory


@pytest.fixture
def served(tmp_path: Path, directory: Path) -> Iterator[Served]:
    control = FakeControl(logs={"chat-0": LogSource(directory, lambda: RUNS)})
    with serve(control, tmp_path / "supervisor.sock") as running:
        yield running


def got(served: Served, query: str) -> tuple[int, bytes]:
    answer = ask(served.view, "GET", TARGET + query)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return int(answer.headers["x-qvl-offset"]), answer.body


def lines(start: int, end: int) -> tuple[int, bytes]:
    return start * 10, b"".join(LINES[start:end])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (900, 1000)),
        ("?lines=3", (997, 1000)),
        ("?lines=0", (1000, 1000)),
        ("?lines=1000000", (700, 1000)),  # the current run, as kubectl does it
        ("?before=9970&lines=2", (995, 997)),
        ("?before=7010&lines=5", (696, 701)),  # paging back goes on into the run before
        ("?before=7000", (600, 700)),
        ("?before=1000", (100, 100)),
        ("?before=999999&lines=1", (999, 1000)),
        ("?since=9980", (998, 1000)),
        ("?since=0", (100, 1000)),  # what is left
        ("?since=2000&limit=30", (200, 203)),
        ("?since=4990&limit=20", (499, 501)),  # over the end of a segment
        ("?since=0&limit=20", (100, 102)),  # of what is left
        ("?since=9990&limit=20", (999, 1000)),
        ("?since=999999&limit=20", (1000, 1000)),
        ("?since=0&lines=2", (998, 1000)),
        ("?since=999999", (1000, 1000)),
        ("?previous=1", (600, 700)),
        ("?previous=1&lines=1000000", (100, 700)),
        ("?previous=true&before=6500&lines=1", (649, 650)),
    ],
)
def test_the_part_that_was_asked_for(served: Served, query: str, expected: tuple[int, int]) -> None:
    assert got(served, query) == lines(*expected)


def test_paging_back_meets_every_line_once(served: Served) -> None:
    offset, data = got(served, "?lines=7")
    while True:
        before, page = got(served, f"?before={offset}&lines=97")
        if not page:
            break
        assert before + len(page) == offset
        offset, data = before, page + data
    assert (offset, data) == lines(100, 1000)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("?before=5&since=5", 400, "`before`"),
        ("?before=5&follow=1", 400, "`before`"),
        ("?limit=5", 400, "`limit`"),
        ("?since=0&limit=5&follow=1", 400, "`limit`"),
        ("?since=0&limit=5&lines=1", 400, "`limit`"),
        ("?since=0&limit=0", 400, "limit"),
        ("?previous=1&follow=1", 400, "`previous`"),
        ("?lines=-1", 400, "lines"),
        ("?lines=many", 400, "lines"),
    ],
)
def test_contradictions_are_refused(served: Served, query: str, status: int, said: str) -> None:
    answer = ask(served.socket, "GET", TARGET + query)
    assert (answer.status, answer.error[0]) == (status, "bad-request")
    assert said in answer.error[1]


def test_there_may_be_no_run_before(served: Served, directory: Path) -> None:
    served.call(lambda: served.control.logs.update({"chat-0": LogSource(directory, lambda: RUNS[1:])}))
    answer = ask(served.socket, "GET", TARGET + "?previous=1")
    assert (answer.status, answer.error) == (404, ("not-found", "chat-0 has no earlier run"))


def test_a_worker_that_never_ran_has_an_empty_log(served: Served) -> None:
    answer: Answer = ask(served.socket, "GET", "/v1/workers/qwen3-vl-0/log")
    assert (answer.status, answer.headers["x-qvl-offset"], answer.body) == (200, "0", b"")


def test_following_goes_on_over_rotation_and_partial_lines(served: Served, directory: Path) -> None:
    received = bytearray()

    def arrived(expected: bytes) -> bool:
        received.extend(sock.recv(65536))
        payload = bytes(received).partition(b"\r\n\r\n")[2]
        return expected in payload.replace(b"\r\n", b"").replace(b"1\n", b"\n")

    with connect(served.socket) as sock:
        sock.sendall(request_bytes("GET", TARGET + "?lines=1&follow=1"))
        wait_until(lambda: arrived(LINES[999]), what="the last line")
        with (directory / segment_name(8000)).open("ab") as file:
            file.write(b"half a li")
            file.flush()
            wait_until(lambda: arrived(b"half a li"), what="half a line")
            file.write(b"ne\n")
        (directory / segment_name(10_012)).write_bytes(b"after rotation\xff\r\n")
        wait_until(lambda: arrived(b"after rotation\xff"), what="the next segment, bytes as they are")


def test_following_takes_up_where_rotation_left_it(served: Served, directory: Path) -> None:
    with connect(served.socket) as sock:
        sock.sendall(request_bytes("GET", TARGET + "?since=10000&follow=1"))
        wait_until(lambda: served.server.streams == 1, what="it has begun")
        for segment in directory.iterdir():
            segment.unlink()
        (directory / segment_name(20_000)).write_bytes(b"much later\n")
        received = bytearray()

        def arrived() -> bool:
            received.extend(sock.recv(65536))
            return b"much later\n" in received

        wait_until(arrived, what="the new bytes")


def test_a_long_log_comes_whole(served: Served, directory: Path) -> None:
    data = os.urandom(3_000_000)
    (directory / segment_name(10_000)).write_bytes(data)
    assert got(served, "?since=10000") == (10_000, data)

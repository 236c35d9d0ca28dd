"""GET /v1/workers/{name}/log/search and /log/extent, over real files, by a real process."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from qvl.api.control import LogSource
from qvl.api.search import AT_ONCE
from qvl.model.log import LogEnd, LogExtent, LogFound, LogMatch, LogRun
from qvl.shim.logfile import segment_name

from tests.api.wire import ask, connect, read_all, request_bytes
from tests.fakes import FakeControl, Served, serve
from tests.support import wait_until

TARGET = "/v1/workers/chat-0/log/search"
LINES = b"".join(b"[2026-03-04 12:00:%02d] line %04d\n" % (n % 60, n) for n in range(1000))
WIDE = 32
"""Bytes of a line."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "log"
    directory.mkdir()
    for start, end in ((0, 500), (500, 1000)):
        (directory / segment_name(1000 + start * WIDE)).write_bytes(LINES[start * WIDE : end * WIDE])
    return directory


@pytest.fixture
def served(tmp_path: Path, directory: Path) -> Iterator[Served]:
    with serve(FakeControl(logs={"chat-0": LogSource(directory, lambda: ())}), tmp_path / "supervisor.sock") as running:
        yield running


def search(served: Served, query: str) -> tuple[list[LogMatch], LogEnd]:
    # The process of a search gives way to all others, so on a busy machine it takes its time.
    answer = ask(served.view, "GET", f"{TARGET}?{query}", timeout=60)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/x-ndjson"
    found = [msgspec.json.decode(line, type=LogFound) for line in answer.body.splitlines()]
    end = found[-1]
    assert isinstance(end, LogEnd)
    return [match for match in found if isinstance(match, LogMatch)], end


def numbers(matches: list[LogMatch]) -> list[int]:
    return [(match.offset - 1000) // WIDE for match in matches]


def test_forwards_and_backwards(served: Served) -> None:
    matches, end = search(served, "pattern=line.*7$&since=0&count=3")
    assert numbers(matches) == [7, 17, 27]
    assert (end.reason, end.at, end.matches) == ("count", 1000 + 28 * WIDE, 3)
    matches, end = search(served, f"pattern=7$&since={end.at}&count=10000")
    assert numbers(matches) == list(range(37, 1000, 10))
    assert (end.reason, end.at) == ("exhausted", 1000 + len(LINES))
    matches, end = search(served, "pattern=7$&count=3")
    assert numbers(matches) == [997, 987, 977]
    assert (end.reason, end.at) == ("count", 1000 + 977 * WIDE)
    matches, end = search(served, f"pattern=7$&before={1000 + 17 * WIDE}")
    assert numbers(matches) == [7]
    assert end.reason == "exhausted"


def test_the_time_of_each_record_is_in_its_text(served: Served) -> None:
    matches, _ = search(served, "pattern=0042&since=0")
    assert matches[0].text == "[2026-03-04 12:00:42] line 0042"
    assert (matches[0].level, matches[0].size, matches[0].head) == ("info", WIDE, "")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("pattern=(a", "'(a' is not a regular expression: missing ), unterminated subpattern at position 0"),
        ("pattern=a&since=1&before=2", "`since` does not go with `before`"),
        ("since=0", "nothing to look for"),
        ("pattern=a&level=awful", "the query is not valid"),
        ("pattern=a&count=0", "the query is not valid"),
        ("pattern=" + "a" * 1001, "the query is not valid"),
        ("pattern=a&nonsense=1", "the query is not valid"),
    ],
)
def test_refusals(served: Served, query: str, message: str) -> None:
    answer = ask(served.view, "GET", f"{TARGET}?{query}")
    assert answer.status == 400
    code, said = answer.error
    assert code == "bad-request"
    assert message in said
    assert answer.json["error"]["hint"]  # type: ignore[index]


def test_a_pattern_that_never_ends_ends(served: Served, directory: Path) -> None:
    (directory / segment_name(1000 + len(LINES))).write_bytes(b"a" * 60 + b"!\n")
    with connect(served.socket, timeout=100) as sock:
        sock.sendall(request_bytes("GET", f"{TARGET}?pattern={quote('(a+)+$')}"))
        wait_until(lambda: served.server.streams == 1, what="the search to begin")
        assert ask(served.view, "GET", "/v1/status").status == 200  # nobody else waits for it
        received = bytearray()
        while b'"type":"end"' not in received:
            received += sock.recv(65536)
    assert b'"reason":"limit"' in received
    assert b"takes too long on a line" in received
    wait_until(lambda: served.server.streams == 0, what="its end")


def test_short_lines_without_stamps_cost_no_more_than_they_may(served: Served, directory: Path) -> None:
    """As other engines write them. None of them is what is looked for, but each has to be looked at."""
    count = 120_000
    (directory / segment_name(1000 + len(LINES))).write_bytes(b"step 1\n" * count)
    _, end = search(served, "pattern=st.p&level=error&count=5")
    assert (end.reason, end.message) == ("exhausted", "")
    matches, end = search(served, "pattern=st.p&count=5")
    assert (len(matches), end.at) == (5, 1000 + len(LINES) + 7 * (count - 5))


def test_a_client_that_leaves_takes_its_search_along(served: Served, directory: Path) -> None:
    (directory / segment_name(1000 + len(LINES))).write_bytes(b"a" * 60 + b"!\n")
    for _ in range(AT_ONCE + 2):  # the places of those that left are free again
        with connect(served.socket) as sock:
            sock.sendall(request_bytes("GET", f"{TARGET}?pattern={quote('(a+)+$')}"))
            wait_until(lambda: served.server.streams == 1, what="the search to begin")
        wait_until(lambda: served.server.streams == 0, what="its end")
    wait_until(lambda: not _children(), what="no process of a search to be left")
    assert numbers(search(served, "pattern=0999")[0]) == [999]


def _children() -> list[str]:
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            command = Path("/proc", pid, "cmdline").read_bytes().decode()
            parent = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if "qvl.search" in command and parent == str(os.getpid()):
            found.append(pid)
    return found


def test_more_than_there_are_places_for_wait_their_turn(served: Served, directory: Path) -> None:
    (directory / segment_name(1000 + len(LINES))).write_bytes(b"a" * 60 + b"!\n")
    busy = [connect(served.socket) for _ in range(AT_ONCE)]
    for sock in busy:
        sock.sendall(request_bytes("GET", f"{TARGET}?pattern={quote('(a+)+$')}"))
    wait_until(lambda: served.server.streams == AT_ONCE, what="as many as may")
    with connect(served.socket) as late:
        late.sendall(request_bytes("GET", f"{TARGET}?pattern=0999", None, "connection: close"))
        assert ask(served.view, "GET", "/v1/status").status == 200  # it was asked later, and is answered
        assert served.server.streams == AT_ONCE
        busy.pop().close()
        assert b'"reason":"exhausted"' in read_all(late)
    for sock in busy:
        sock.close()
    wait_until(lambda: served.server.streams == 0, what="their end")


def test_rotation_under_a_search(served: Served, directory: Path) -> None:
    (directory / segment_name(1000)).unlink()
    matches, end = search(served, "pattern=5$&since=0&count=2")
    assert numbers(matches) == [505, 515]
    matches, end = search(served, "pattern=0007")
    assert matches == []
    assert end.reason == "exhausted"


def test_a_worker_that_never_ran(served: Served) -> None:
    answer = ask(served.view, "GET", "/v1/workers/qwen3-vl-0/log/search?pattern=a")
    assert answer.status == 200
    assert b'"reason":"exhausted"' in answer.body
    assert ask(served.view, "GET", "/v1/workers/nobody/log/search?pattern=a").status == 404


def test_extent(served: Served, directory: Path) -> None:
    (directory / "runs").write_bytes(
        b'{"generation":1,"offset":0,"at":10.5}\n{"generation":2,"offset":1640,"at":20}\nnot one\n'
    )
    answer = ask(served.view, "GET", "/v1/workers/chat-0/log/extent")
    assert msgspec.json.decode(answer.body, type=LogExtent) == LogExtent(
        1000, 1000 + len(LINES), (LogRun(1, 0, 10.5), LogRun(2, 1640, 20.0))
    )
    empty = ask(served.view, "GET", "/v1/workers/qwen3-vl-0/log/extent")
    assert msgspec.json.decode(empty.body, type=LogExtent) == LogExtent(0, 0)

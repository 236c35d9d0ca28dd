"""The hand-written HTTP against what a server may send, over a real pair of sockets."""

import errno
import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.client import http
from qvl.client.http import Response
from qvl.client.sync import Client, quoted, refusal, unreachable
from qvl.model.error import ErrorCode, QvlError

from tests.fakes import FakeControl, serve


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def answer(pair: tuple[socket.socket, socket.socket], raw: bytes, *, end: bool = True) -> Response:
    ours, theirs = pair
    theirs.sendall(raw)
    if end:
        theirs.shutdown(socket.SHUT_WR)
    return Response(ours)


def test_a_body_of_known_length(pair: tuple[socket.socket, socket.socket]) -> None:
    response = answer(pair, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Qvl-Offset: 7\r\n\r\nhello", end=False)
    assert (response.status, response.body(), response.headers["x-qvl-offset"]) == (200, b"hello", "7")


def test_a_body_without_a_length_ends_with_the_connection(pair: tuple[socket.socket, socket.socket]) -> None:
    assert answer(pair, b"HTTP/1.1 200 OK\r\n\r\nhello").body() == b"hello"


def test_an_empty_body(pair: tuple[socket.socket, socket.socket]) -> None:
    assert answer(pair, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", end=False).body() == b""


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def test_chunks(pair: tuple[socket.socket, socket.socket]) -> None:
    response = answer(pair, CHUNKED + b"5\r\nhello\r\n7;ext=1\r\n\r\nworld\r\n0\r\n\r\n", end=False)
    assert response.body() == b"hello\r\nworld"
    assert response.piece() == b""


def test_lines_across_chunks(pair: tuple[socket.socket, socket.socket]) -> None:
    response = answer(pair, CHUNKED + b"4\r\none\n\r\n2\r\ntw\r\n2\r\no\n\r\n4\r\nrest\r\n0\r\n\r\n", end=False)
    assert [response.line() for _ in range(4)] == [b"one\n", b"two\n", b"rest", b""]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0",
    ],
)
def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    pair: tuple[socket.socket, socket.socket], raw: bytes
) -> None:
    with pytest.raises(EOFError):
        answer(pair, raw).body()


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\nhalf: a head"])
def test_a_head_that_breaks_off(pair: tuple[socket.socket, socket.socket], raw: bytes) -> None:
    with pytest.raises(EOFError):
        answer(pair, raw)


def test_a_timeout_loses_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    """Whatever byte the stream halts at."""
    raw = CHUNKED + b"6\r\none\ntw\r\n2\r\no\n\r\n0\r\n\r\n"
    response = answer(pair, CHUNKED, end=False)
    lines = []
    for byte in raw[len(CHUNKED) :]:
        pair[1].sendall(bytes([byte]))
        try:
            while line := response.line(0.001):
                lines.append(line)
        except TimeoutError:
            pass
    assert lines == [b"one\n", b"two\n"]
    assert response.line() == b""


def test_names_are_quoted_for_a_path() -> None:
    assert quoted("qwen3-vl-0@standard") == "qwen3-vl-0@standard"
    assert quoted("a/b ?ü") == "a%2Fb%20%3F%C3%BC"


@pytest.mark.parametrize(
    ("number", "sentence", "hint"),
    [
        (errno.ENOENT, "there is no socket /s", "systemctl start"),
        (errno.ECONNREFUSED, "nobody listens at /s", "journalctl"),
        (errno.EACCES, "may not connect to /s", "operator group"),
        (errno.ENOTSOCK, "cannot connect to /s", "doctor"),
    ],
)
def test_each_way_not_to_reach_the_daemon_has_its_sentence(number: int, sentence: str, hint: str) -> None:
    error = unreachable("/s", OSError(number, os.strerror(number)))
    assert error.code.exit_code == 3
    assert sentence in error.message
    assert hint in (error.hint or "")


def test_a_socket_path_beyond_the_kernels_limit(tmp_path: Path) -> None:
    path = str(tmp_path / ("x" * 120))
    with pytest.raises(QvlError, match="at most 107 bytes") as caught:
        Client(path).status()
    assert caught.value.code is ErrorCode.UNREACHABLE


def test_a_refusal_that_is_none_of_ours_is_quoted() -> None:
    error = refusal(502, b"<html>bad gateway")
    assert (error.code, "502" in error.message, "bad gateway" in error.message) == (ErrorCode.INTERNAL, True, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else for a moment")
def test_reads_fall_back_to_the_view_socket() -> None:
    """As somebody who may look and not act: the kernel itself refuses the connection."""
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,  # tmp_path lies below a directory that only root may enter
        serve(FakeControl(), Path(folder) / "s.sock") as served,
    ):
        os.chmod(folder, 0o755)
        served.view.chmod(0o666)
        client = Client(str(served.socket))
        assert as_nobody(lambda: client.status()["supervisor"]["pid"]) == 4242
        refused = as_nobody(lambda: refused_act(client))
        assert "may not connect" in str(refused)


def refused_act(client: Client) -> str:
    try:
        client.act("stop", "all", pool=True)
    except QvlError as error:
        return error.message
    return "was done"


def as_nobody(work: object) -> object:
    """What `work` gives back in a child that has no rights."""
    assert callable(work)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setegid(65534)
            os.seteuid(65534)
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    result: object = json.loads(data)
    return result


def test_a_daemon_that_hangs_up_mid_answer(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def one() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")

        thread = threading.Thread(target=one)
        thread.start()
        with pytest.raises(QvlError, match="broke off") as caught:
            Client(str(path)).status()
        thread.join()
    assert caught.value.code is ErrorCode.UNREACHABLE


def test_connect_leaves_no_socket_behind_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        http.connect(str(tmp_path / "none"))  # a leak is a ResourceWarning, and those fail

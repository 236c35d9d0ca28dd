"""Requests and answers over the real sockets, from well-behaved and other clients."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.api.control import Role
from qvl.api.operation import MAX_BODY
from qvl.api.protocol import MAX_VIEWERS
from qvl.model.error import ErrorCode, QvlError

from tests.api.wire import ask, connect, parse, read_all, request_bytes
from tests.fakes import FakeControl, Served, serve
from tests.support import wait_until


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(FakeControl(), tmp_path / "supervisor.sock") as running:
        yield running


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Served]:
    """A server whose patience is short."""
    with serve(FakeControl(), tmp_path / "supervisor.sock", patience=0.6) as running:
        yield running


def test_status(served: Served) -> None:
    answer = ask(served.socket, "GET", "/v1/status")
    assert answer.status == 200
    assert answer.json["version"] == 1
    workers = answer.json["workers"]
    assert isinstance(workers, list)
    assert [worker["phase"] for worker in workers] == ["running", "starting", "backoff", "failed"]


@pytest.mark.parametrize(
    "target",
    [
        "/v1/history",
        "/v1/history?last=120",
        "/v1/history?span=86400&points=720",
        "/v1/profiles",
        "/v1/profiles/eagle3",
        "/v1/profiles/eagle3?pool=chat",
        "/v1/workers/chat-0",
        "/v1/workers/chat-0/resolved",
        "/v1/config",
        "/v1/version",
    ],
)
def test_reads(served: Served, target: str) -> None:
    for path in (served.socket, served.view):
        assert ask(path, "GET", target).status == 200


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("span=4", "span"),
        ("span=86401", "span"),
        ("span=60&points=0", "points"),
        ("span=60&points=721", "points"),
        ("span=60&last=3", "`span` not with `last`"),
        ("points=60", "`points` goes with `span`"),
        ("last=0", "last"),
    ],
)
def test_a_history_that_nobody_could_want_is_refused(served: Served, query: str, says: str) -> None:
    answer = ask(served.view, "GET", f"/v1/history?{query}")
    assert answer.status == 400
    assert says in answer.body.decode()
    assert served.control.spans == []


@pytest.mark.parametrize(
    ("method", "target", "body", "act"),
    [
        ("POST", "/v1/workers/chat-0/start", None, ("start", "chat-0", False, None)),
        ("POST", "/v1/workers/qwen3-vl-0%40eagle3/stop", None, None),
        ("POST", "/v1/pools/all/restart", None, ("restart", "all", True, None)),
        ("POST", "/v1/pools/chat/switch", b'{"profile": "eagle3"}', ("switch", "chat", True, "eagle3")),
        ("POST", "/v1/pools/chat/switch", b'{"profile": "eagle3", "dry_run": true}', None),
        ("DELETE", "/v1/pools/chat/switch", None, ("reset", "chat", True, None)),
        ("DELETE", "/v1/pools/chat/switch?cancel=1", None, ("cancel", "chat", True, None)),
        ("POST", "/v1/plans", None, None),
        ("POST", "/v1/plans", b'{"path": "/etc/other.toml"}', None),
        ("POST", "/v1/plans/p1/apply", None, ("apply", "p1", False, None)),
        ("POST", "/v1/daemon/restart", b"", ("restart-daemon", "", False, None)),
    ],
)
def test_acts(
    served: Served, method: str, target: str, body: bytes | None, act: tuple[str, str, bool, str | None] | None
) -> None:
    answer = ask(served.socket, method, target, body)
    made = served.call(lambda: list(served.control.acts))
    if act is None:
        assert made == []
        assert answer.status == (404 if "%40" in target else 200)
        return
    assert answer.status == 202
    assert set(answer.json) == {"seq", "message", "workers"}
    assert [(one.what, one.name, one.pool, one.profile) for one in made] == [act]
    assert made[0].actor.role is Role.OPERATOR
    assert (made[0].actor.uid, made[0].actor.pid) == (os.geteuid(), os.getpid())
    assert made[0].actor.user == ask(served.socket, "GET", "/v1/whoami").json["user"] != ""


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "code"),
    [
        ("GET", "/", None, 404, "not-found"),
        ("GET", "/v1/status/", None, 404, "not-found"),
        ("GET", "/v1/workers/nobody/log", None, 404, "not-found"),
        ("GET", "/v1/profiles/none", None, 404, "not-found"),
        ("GET", "/v1/workers/nobody", None, 404, "not-found"),
        ("GET", "/v1/workers/chat-0?all=1", None, 400, "bad-request"),
        ("POST", "/v1/workers/chat-0", None, 405, "bad-request"),
        ("GET", "/v1/workers/nobody/resolved", None, 404, "not-found"),
        ("POST", "/v1/workers/chat-0/pause", None, 404, "not-found"),
        ("POST", "/v1/workers/a%2Fb/start", None, 404, "not-found"),
        ("POST", "/v1/plans/p2/apply", None, 404, "not-found"),
        ("POST", "/v1/plans/stale/apply", None, 409, "stale-plan"),
        ("POST", "/v1/status", None, 405, "bad-request"),
        ("PUT", "/v1/pools/chat/switch", b"{}", 405, "bad-request"),
        ("BREW", "/v1/status", None, 405, "bad-request"),
        ("GET", "/v1/status?verbose=1", None, 400, "bad-request"),
        ("GET", "/v1/events?since=-1", None, 400, "bad-request"),
        ("GET", "/v1/events?since=soon", None, 400, "bad-request"),
        ("GET", "/v1/events?follow=perhaps", None, 400, "bad-request"),
        ("POST", "/v1/pools/chat/switch", None, 400, "bad-request"),
        ("POST", "/v1/pools/chat/switch", b"{", 400, "bad-request"),
        ("POST", "/v1/pools/chat/switch", b"\xff\xfe", 400, "bad-request"),
        ("POST", "/v1/pools/chat/switch", b"[]", 400, "bad-request"),
        ("POST", "/v1/pools/chat/switch", b'{"profile": 1}', 400, "bad-request"),
        ("POST", "/v1/pools/chat/switch", b'{"profile": "eagle3", "force": true}', 400, "bad-request"),
        ("POST", "/v1/pools/chat/switch", b"[" * 100_000, 400, "bad-request"),
        ("POST", "/v1/plans", b'{"path": "relative.toml"}', 400, "bad-request"),
    ],
)
def test_refusals_have_one_body(
    served: Served, method: str, target: str, body: bytes | None, status: int, code: str
) -> None:
    answer = ask(served.socket, method, target, body)
    assert (answer.status, answer.error[0]) == (status, code)
    assert served.call(lambda: served.control.acts) == []


def test_a_refused_method_tells_the_right_ones(served: Served) -> None:
    answer = ask(served.socket, "PUT", "/v1/pools/chat/switch")
    assert {name.strip() for name in answer.headers["allow"].split(",")} == {"POST", "DELETE"}


def test_the_daemons_own_refusal_comes_through(served: Served) -> None:
    refusal = QvlError(ErrorCode.REFUSED, "pool chat is being switched", "qvlctl switch --cancel")
    served.call(lambda: setattr(served.control, "refusal", refusal))
    answer = ask(served.socket, "POST", "/v1/pools/chat/stop")
    assert answer.status == 422
    assert answer.json == {
        "error": {"code": "refused", "message": "pool chat is being switched", "hint": "qvlctl switch --cancel"}
    }


def test_a_bug_is_an_error_body_and_not_the_end(served: Served) -> None:
    served.call(lambda: setattr(served.control, "state", object()))  # not to be encoded
    answer = ask(served.socket, "GET", "/v1/status")
    assert answer.status == 500
    assert answer.error == ("internal", "the daemon stumbled: TypeError")
    assert ask(served.socket, "GET", "/v1/version").status == 200


def test_head_says_what_get_would(served: Served) -> None:
    head, got = (ask(served.socket, method, "/v1/status") for method in ("HEAD", "GET"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers == got.headers
    assert ask(served.socket, "HEAD", "/v1/events").status == 200


def test_one_connection_serves_many_requests(served: Served) -> None:
    with connect(served.socket) as sock:
        sock.sendall(
            request_bytes("GET", "/v1/version") * 3 + request_bytes("GET", "/v1/version", None, "connection: close")
        )
        raw = read_all(sock)
    assert raw.count(b"HTTP/1.1 200 OK") == 4


def test_a_large_body_is_refused(served: Served) -> None:
    for size in (MAX_BODY, MAX_BODY + 1):
        answer = ask(served.socket, "POST", "/v1/plans", b" " * size)
        assert answer.status == (200 if size == MAX_BODY else 400)
    assert "larger than" in answer.error[1]


def test_half_a_request_is_no_order(hasty: Served) -> None:
    """A client that dies while it sends has ordered nothing, whatever the path says."""
    with connect(hasty.socket) as sock:
        sock.sendall(request_bytes("POST", "/v1/pools/all/stop", None, "content-length: 10") + b"{")
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)
    wait_until(lambda: hasty.server.connections == 0, what="the connection is forgotten")
    assert hasty.call(lambda: hasty.control.acts) == []


def test_the_view_socket_only_answers_reads(served: Served) -> None:
    assert ask(served.view, "GET", "/v1/whoami").json["role"] == "viewer"
    for method, target in [("POST", "/v1/pools/all/stop"), ("DELETE", "/v1/pools/chat/switch"), ("POST", "/v1/none")]:
        answer = ask(served.view, method, target, b"x" * 10)
        assert answer.status == 403
        assert answer.error[0] == "forbidden"
        assert answer.error[1].startswith("the view socket answers reads only")
    assert served.call(lambda: served.control.acts) == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client
        b"hello\r\n\r\n",
        b"GET /v1/status HTTP/one\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n\r\n",  # no host
        b"GET /v1/status HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 20_000,
        b"POST /v1/plans HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/plans HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ],
)
def test_garbage_gets_one_answer_and_the_door(served: Served, garbage: bytes) -> None:
    with connect(served.socket) as sock:
        with contextlib.suppress(BrokenPipeError):  # in the middle of a flood
            sock.sendall(garbage)
        answer = parse(read_all(sock))
    assert (answer.status, answer.error[0]) == (400, "bad-request")
    assert ask(served.socket, "GET", "/v1/version").status == 200


def test_garbage_within_a_body_ends_the_connection_alone(served: Served) -> None:
    with connect(served.socket) as sock:
        head = request_bytes("POST", "/v1/plans", None, "transfer-encoding: chunked")
        sock.sendall(head + b"not a chunk size\r\n")
        assert read_all(sock) == b""
    assert ask(served.socket, "GET", "/v1/version").status == 200


def test_an_upgrade_is_not_taken(served: Served) -> None:
    with connect(served.socket) as sock:
        sock.sendall(request_bytes("GET", "/v1/version", None, "connection: upgrade, close", "upgrade: websocket"))
        assert parse(read_all(sock)).status == 200


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /v1/sta",
        b"POST /v1/plans HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{",
        request_bytes("GET", "/v1/version") + b"GET",
    ],
    ids=["nothing", "half a head", "half a body", "half a second request"],
)
def test_who_never_finishes_a_request_is_cut_off(hasty: Served, beginning: bytes) -> None:
    with connect(hasty.socket) as sock:
        sock.sendall(beginning)
        assert read_all(sock).count(b"HTTP/1.1") == beginning.count(b"version")
    wait_until(lambda: hasty.server.connections == 0, what="the connection is forgotten")


def test_who_dribbles_a_request_is_cut_off(hasty: Served) -> None:
    def cut() -> bool:
        try:
            sock.send(b"x")
            return sock.recv(1) == b""
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True

    with connect(hasty.socket) as sock:
        sock.sendall(b"GET /v1/")
        sock.setblocking(False)
        wait_until(cut, what="a request of one byte each 10 ms is cut off")


def test_a_working_client_may_take_its_time(hasty: Served) -> None:
    """Patience is for a client's turn: what the daemon takes for an act is not held against it."""

    gate = hasty.call(asyncio.Event)
    hasty.call(lambda: setattr(hasty.control, "gate", gate))
    with connect(hasty.socket) as sock, connect(hasty.socket) as other:
        sock.sendall(request_bytes("POST", "/v1/pools/chat/stop", None, "connection: close"))
        assert read_all(other) == b"", "the one that says nothing is cut off meanwhile"
        hasty.call(gate.set)
        assert parse(read_all(sock)).status == 202


def test_a_kept_connection_may_grow_old(hasty: Served) -> None:
    """Each request has its own patience: together they take several times as much."""
    with connect(hasty.socket) as sock:
        for _ in range(15):
            sock.sendall(request_bytes("GET", "/v1/version"))
            answer = bytearray()
            while not answer.endswith(b"}"):
                piece = sock.recv(65536)
                assert piece, "cut off"
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200 OK")
            time.sleep(0.13)  # the age itself; out of step with the server's looks


def test_many_clients_at_once(served: Served) -> None:
    sockets = [connect(served.socket) for _ in range(200)]
    try:
        for sock in sockets:
            sock.sendall(request_bytes("GET", "/v1/status", None, "connection: close"))
        assert [parse(read_all(sock)).status for sock in sockets] == [200] * 200
    finally:
        for sock in sockets:
            sock.close()
    wait_until(lambda: served.server.connections == 0, what="all are forgotten")


def test_a_client_may_end_its_own_side_first(served: Served) -> None:
    """As `nc -N` does."""
    with connect(served.socket) as sock:
        sock.sendall(request_bytes("GET", "/v1/status"))
        sock.shutdown(socket.SHUT_WR)
        assert parse(read_all(sock)).json["version"] == 1
    with connect(served.socket) as sock:
        sock.sendall(b"GET /v1/sta")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b"", "half a request is none"


def test_viewers_can_not_keep_operators_out(served: Served) -> None:
    viewers = [connect(served.view) for _ in range(MAX_VIEWERS)]
    try:
        wait_until(lambda: served.server.connections == MAX_VIEWERS, what="all are taken")
        with connect(served.view) as one_more:
            answer = parse(read_all(one_more))
        assert answer.status == 503
        assert answer.error == ("unreachable", f"too many connections ({MAX_VIEWERS})")
        assert ask(served.socket, "POST", "/v1/pools/chat/stop").status == 202
    finally:
        for viewer in viewers:
            viewer.close()
    wait_until(lambda: served.server.connections == 0, what="all are forgotten")
    assert ask(served.view, "GET", "/v1/status").status == 200

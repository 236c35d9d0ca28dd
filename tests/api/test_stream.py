"""Event streams, and clients that read slowly, late or never."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.api.control import LogSource
from qvl.api.server import ApiServer
from qvl.api.stream import StreamResponse, Streams, Write
from qvl.shim.logfile import segment_name
from starlette.types import Message

from tests.api.wire import ask, connect, dechunk, parse, read_all, request_bytes
from tests.fakes import FakeControl, Served, serve
from tests.support import wait_until


class Stream:
    """The lines of an event stream, one at a time."""

    def __init__(self, path: Path, target: str) -> None:
        self.sock = connect(path)
        self.sock.sendall(request_bytes("GET", target))
        self.file = self.sock.makefile("rb")
        assert self.file.readline() == b"HTTP/1.1 200 OK\r\n"
        while self.file.readline() != b"\r\n":
            pass
        self.rest = b""

    def next(self) -> dict[str, object] | None:
        """The next frame; None at a proper end. Raises EOFError where the stream broke off."""
        while b"\n" not in self.rest:
            size = self.file.readline()
            if not size:
                raise EOFError
            data = self.file.read(int(size, 16) + 2)[:-2]
            if not data:
                return None
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        frame = json.loads(line)
        assert isinstance(frame, dict)
        return frame

    def drain(self) -> None:
        while self.next():
            pass

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(FakeControl(), tmp_path / "supervisor.sock") as running:
        yield running


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Served]:
    with serve(FakeControl(), tmp_path / "supervisor.sock", patience=0.6, heartbeat=0.05) as running:
        yield running


def test_a_snapshot_then_what_happens(served: Served) -> None:
    stream = Stream(served.socket, "/v1/events")
    snapshot = stream.next()
    assert snapshot is not None
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 3)
    assert snapshot["status"] == ask(served.socket, "GET", "/v1/status").json
    served.call(lambda: served.control.publish("switch", "begun", pool="chat"))
    event = stream.next()
    assert event is not None
    assert (event["type"], event["seq"], event["kind"], event["pool"]) == ("event", 4, "switch", "chat")
    stream.close()
    wait_until(lambda: served.server.streams == 0, what="the stream is forgotten")


def test_since_brings_what_was_missed(served: Served) -> None:
    stream = Stream(served.view, "/v1/events?since=1")
    frames = [stream.next() for _ in range(3)]
    assert [(frame["type"], frame["seq"]) for frame in frames if frame] == [("snapshot", 3), ("event", 2), ("event", 3)]
    stream.close()


def test_without_follow_it_ends(served: Served) -> None:
    answer = ask(served.socket, "GET", "/v1/events?follow=0")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["seq"] for line in answer.body.splitlines()] == [1, 2, 3]
    assert ask(served.socket, "GET", "/v1/events?follow=false&since=3").body == b""


def test_changes_come_where_they_are_wanted(served: Served) -> None:
    plain, figures = Stream(served.socket, "/v1/events"), Stream(served.socket, "/v1/events?changes=1")
    for stream in (plain, figures):
        stream.next()
    worker = served.control.worker("qwen3-vl-0")
    served.call(lambda: served.control.show(worker))
    served.call(lambda: served.control.publish("gpu", "lost"))
    frame = figures.next()
    assert frame is not None
    assert frame["type"] == "change"
    for stream in (plain, figures):
        frame = stream.next()
        assert frame is not None
        assert frame["kind"] == "gpu"
        stream.close()


def test_a_quiet_stream_shows_that_it_lives(hasty: Served) -> None:
    stream = Stream(hasty.socket, "/v1/events?since=0")
    frames = [stream.next() for _ in range(7)]
    assert [frame["type"] for frame in frames if frame] == ["snapshot"] + ["event"] * 3 + ["heartbeat"] * 3
    assert frames[-1] is not None
    assert frames[-1]["seq"] == 3
    stream.close()


def test_a_late_reader_is_told_what_it_lost(served: Served) -> None:
    stream = Stream(served.socket, "/v1/events")
    text = "x" * 2000
    for _ in range(5):  # more than sockets and queue hold, in turns of the loop
        served.call(lambda: [served.control.publish("gpu", text) for _ in range(1000)])
    seen: list[int] = []
    told = 0
    while len(seen) + told < 5000:
        frame = stream.next()
        assert frame is not None
        if frame["type"] == "lost":
            assert isinstance(frame["lost"], int)
            told += frame["lost"]
        elif frame["type"] == "event":
            assert isinstance(frame["seq"], int)
            seen.append(frame["seq"])
    stream.close()
    assert told > 0
    assert seen == sorted(set(seen)), "neither twice nor out of order"
    assert (seen[0], seen[-1], len(seen) + told) == (4, 5003, 5000)


def test_who_never_reads_is_cut_off_and_holds_up_nobody(hasty: Served) -> None:
    stuck = [Stream(hasty.socket, "/v1/events") for _ in range(5)]
    reader = Stream(hasty.socket, "/v1/events")
    reader.next()
    text = "x" * 2000
    last = hasty.call(lambda: [hasty.control.publish("gpu", text) for _ in range(1000)])[-1].seq
    while (frame := reader.next()) and frame["seq"] != last:
        pass
    wait_until(lambda: hasty.server.connections == 1, what="only the one that reads is left")
    wait_until(lambda: hasty.server.streams == 1, what="their streams have ended")
    for stream in stuck:
        with pytest.raises((EOFError, ConnectionResetError)):
            stream.drain()
        stream.close()
    reader.close()


def test_who_reads_slowly_is_not_cut_off(hasty: Served, tmp_path: Path) -> None:
    """A reader that takes several times the patience in all, but goes on reading."""
    size = put_log(hasty, tmp_path, 3_000_000)
    with connect(hasty.socket) as sock:
        sock.sendall(request_bytes("GET", "/v1/workers/chat-0/log?since=0", None, "connection: close"))
        begun = time.monotonic()
        data = bytearray()
        while piece := sock.recv(65536):
            data += piece
            time.sleep(0.04)  # the slowness itself
    assert time.monotonic() - begun > 1.2
    assert len(parse(bytes(data)).body) == size


def test_an_unread_answer_is_dropped(hasty: Served, tmp_path: Path) -> None:
    """Not a stream: one large answer, complete for us, that nobody fetches."""
    hasty.call(lambda: [hasty.control.publish("gpu", "x" * 2000) for _ in range(1000)])
    with connect(hasty.socket) as sock:
        sock.sendall(request_bytes("GET", "/v1/events?follow=0"))
        wait_until(lambda: hasty.server.connections == 1, what="it is taken")
        wait_until(lambda: hasty.server.connections == 0, what="it is dropped")


def test_unread_logs_take_no_memory(served: Served, tmp_path: Path) -> None:
    size = put_log(served, tmp_path, 50_000_000)
    before = resident()
    sockets = [connect(served.socket) for _ in range(20)]
    try:
        for sock in sockets:
            sock.sendall(request_bytes("GET", "/v1/workers/chat-0/log?since=0", None, "connection: close"))
        wait_until(lambda: served.server.streams == 20, what="all have begun")
        room = bytearray(65536)
        read = 0
        while got := sockets[0].recv_into(room):  # not kept: our own memory is what is measured
            read += got
        assert read > size
        assert resident() - before < 30_000_000, "a billion bytes are waiting to be read"
    finally:
        for sock in sockets:
            sock.close()


def test_a_dead_client_of_a_quiet_stream_is_noticed(served: Served, tmp_path: Path) -> None:
    put_log(served, tmp_path, 10)
    with connect(served.socket) as sock:
        sock.sendall(request_bytes("GET", "/v1/workers/chat-0/log?follow=1"))
        wait_until(lambda: served.server.streams == 1, what="it has begun")
    wait_until(lambda: served.server.streams == 0 and served.server.connections == 0, what="it has ended")


def test_a_half_closed_stream_goes_on_until_the_client_is_gone(hasty: Served, tmp_path: Path) -> None:
    put_log(hasty, tmp_path, 10)
    with connect(hasty.socket) as sock:
        sock.sendall(request_bytes("GET", "/v1/workers/chat-0/log?follow=1"))
        sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: hasty.server.streams == 1, what="it has begun")
        with (tmp_path / "log" / segment_name(0)).open("ab") as file:
            file.write(b"more\n")
        data = bytearray()
        while b"more\n" not in data:
            piece = sock.recv(65536)
            assert piece
            data += piece
    wait_until(lambda: hasty.server.streams == 0 and hasty.server.connections == 0, what="it has ended")


def test_closing_ends_streams_properly(tmp_path: Path) -> None:
    with serve(FakeControl(), tmp_path / "supervisor.sock") as served:
        put_log(served, tmp_path, 10)
        stream = Stream(served.socket, "/v1/events")
        stream.next()
        follower = connect(served.socket)
        follower.sendall(request_bytes("GET", "/v1/workers/chat-0/log?follow=1"))
        wait_until(lambda: served.server.streams == 2, what="both have begun")
        idle = connect(served.socket)
        begun = time.monotonic()
    assert time.monotonic() - begun < 1.4, "not only when patience had ended"
    assert stream.next() is None
    stream.close()
    assert len(dechunk(read_all(follower).partition(b"\r\n\r\n")[2])) == 10
    assert read_all(idle) == b""
    follower.close()
    idle.close()


def test_a_stream_that_comes_after_the_end_is_answered_without_beginning() -> None:
    begun: list[str] = []
    answered: list[Message] = []

    async def produce(write: Write) -> None:
        begun.append("work")

    async def receive() -> Message:
        begun.append("listening")
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answered.append(message)

    streams = Streams()
    streams.end()
    asyncio.run(StreamResponse(streams, produce, "text/plain")({"type": "http", "method": "GET"}, receive, send))
    assert begun == []
    assert [message.get("more_body") for message in answered] == [None, False]


def test_closing_waits_for_nobody(tmp_path: Path) -> None:
    """Neither for a client that does not read, nor for an act that does not end."""

    async def close(server: ApiServer) -> float:
        begun = time.monotonic()
        await server.close()
        return time.monotonic() - begun

    with serve(FakeControl(), tmp_path / "supervisor.sock") as served:
        put_log(served, tmp_path, 5_000_000)
        gate = served.call(asyncio.Event)
        served.call(lambda: setattr(served.control, "gate", gate))
        stuck, acting = connect(served.socket), connect(served.socket)
        stuck.sendall(request_bytes("GET", "/v1/workers/chat-0/log?since=0&follow=1"))
        acting.sendall(request_bytes("POST", "/v1/pools/chat/stop"))
        wait_until(lambda: served.server.streams == 1 and served.server.connections == 2, what="both are there")
        took = asyncio.run_coroutine_threadsafe(close(served.server), served.loop).result(10)
        assert took < 2.5
        assert (served.server.connections, served.server.streams) == (0, 0)
        wait_until(lambda: served.server.tasks == 0, what="the act is given up")
        again = asyncio.run_coroutine_threadsafe(close(served.server), served.loop).result(10)
        assert again < 0.1
    stuck.close()
    assert read_all(acting) == b""
    acting.close()


@pytest.mark.parametrize("turns", range(5))
def test_closing_forgets_nobody_at_the_door(tmp_path: Path, turns: int) -> None:
    """Connections that come in while the server closes, at each turn of the loop, are closed as well."""

    async def close(server: ApiServer, path: Path) -> tuple[float, list[socket.socket]]:
        late = [connect(path) for _ in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        begun = time.monotonic()
        await server.close()
        return time.monotonic() - begun, late

    with serve(FakeControl(), tmp_path / "supervisor.sock") as served:
        closing = close(served.server, served.socket)
        took, late = asyncio.run_coroutine_threadsafe(closing, served.loop).result(10)
        assert took < 1.4
        for sock in late:
            assert read_all(sock) == b""
            sock.close()


def test_closing_lets_an_answer_under_way_finish(tmp_path: Path) -> None:
    async def close(server: ApiServer, gate: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(server.close())
            await asyncio.sleep(0)
            assert not closing.done()
            gate.set()

    with serve(FakeControl(), tmp_path / "supervisor.sock") as served:
        gate = served.call(asyncio.Event)
        served.call(lambda: setattr(served.control, "gate", gate))
        with connect(served.socket) as sock:
            sock.sendall(request_bytes("POST", "/v1/pools/chat/stop"))
            wait_until(lambda: served.server.tasks == 1, what="the act is under way")
            asyncio.run_coroutine_threadsafe(close(served.server, gate), served.loop).result(10)
            assert parse(read_all(sock)).status == 202


def put_log(served: Served, tmp_path: Path, size: int) -> int:
    directory = tmp_path / "log"
    directory.mkdir()
    line = b"0123456789abcdef" * 6 + b"pad\n"
    (directory / segment_name(0)).write_bytes((line * (size // len(line) + 1))[:size])
    served.call(lambda: served.control.logs.update({"chat-0": LogSource(directory, lambda: ((1, 0),))}))
    return size


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

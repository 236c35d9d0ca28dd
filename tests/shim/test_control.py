"""The control socket: what it says, and that no client can hold up or end a shim."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from qvl.shim import client, proc, wire
from qvl.shim.client import ShimError

from tests.shim.harness import Bench, shell
from tests.support import wait_until


@contextmanager
def raw(bench: Bench) -> Iterator[socket.socket]:
    """A bare connection, past its greeting."""
    directory = os.open(bench.bundle, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10)
            peer.connect(f"/proc/self/fd/{directory}/{wire.SOCKET_NAME}")
            assert wire.decode(line_of(peer))["type"] == "state"
            yield peer
    finally:
        os.close(directory)


def line_of(peer: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (part := peer.recv(1)):
        line += part
    return line


def test_the_greeting_tells_who_is_there(bench: Bench) -> None:
    async def scenario() -> None:
        answer = await bench.launch(bench.bootstrap(*shell("echo hello; exec sleep 60"), generation=4))
        wait_until(lambda: bench.log() == b"hello\n", what="output")
        link = await client.attach(bench.bundle)
        state = link.state
        assert (state.generation, state.exited, state.gone) == (4, None, False)
        assert (state.pid, state.pid_start) == (answer.pid, answer.pid_start)
        assert (state.shim_pid, state.shim_start) == (answer.shim_pid, answer.shim_start)
        assert (state.log_end, state.lost_bytes) == (6, 0)
        assert await link.refresh() == state
        await link.close()
        with pytest.raises(ShimError, match="not connected"):
            await link.tree()

    asyncio.run(scenario())


def test_attaching_to_nothing_is_explained(bench: Bench) -> None:
    with pytest.raises(ShimError, match="no shim answers in"):
        asyncio.run(client.attach(bench.bundle))
    with pytest.raises(ShimError, match="no shim in /no/such/bundle"):
        asyncio.run(client.attach("/no/such/bundle"))


def test_a_mute_listener_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.bundle)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(wire.SOCKET_NAME)
        listener.listen()
        with pytest.raises(ShimError, match="it stays mute"):
            asyncio.run(client.attach(bench.bundle, timeout=0.1))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"op": "dance"}, "this shim cannot dance"),
        ({"op": "signal", "signal": 15, "scope": "world"}, "root, group or tree, not to world"),
        ({"op": "signal", "signal": 999, "scope": "root"}, "cannot send signal 999: invalid argument"),
        ({"op": "signal", "signal": True, "scope": "root"}, "the number 'signal'"),
        ({"op": "logs", "max_size": 0, "keep": 1}, "the number 'max_size', of at least 1"),
        ({}, "the text 'op'"),
    ],
)
def test_what_cannot_be_done_is_explained(bench: Bench, request_: dict[str, object], words: str) -> None:
    bench.start(bench.bootstrap(*shell("exec sleep 60")))
    with raw(bench) as peer:
        peer.sendall(wire.encode({"id": 5, **request_}))
        reply = wire.decode(line_of(peer))
        assert (reply["id"], reply["ok"]) == (5, False)
        assert words in str(reply["error"])
        peer.sendall(wire.encode({"id": 6, "op": "state"}))  # the connection goes on
        assert wire.decode(line_of(peer))["ok"] is True


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"\xff\xfe\n", b"[" * 60_000 + b"\n", b"x" * (wire.MAX_LINE + 1)],
    ids=["http", "list", "bytes", "deep", "long"],
)
def test_garbage_is_answered_and_hung_up_on(bench: Bench, garbage: bytes) -> None:
    answer = bench.start(bench.bootstrap(*shell("exec sleep 60")))
    with raw(bench) as peer:
        peer.sendall(garbage)
        reply = wire.decode(line_of(peer))
        assert reply["ok"] is False
        assert peer.recv(1) == b""
    assert proc.is_alive(answer.pid, answer.pid_start)
    with raw(bench):
        pass


def flood(peer: socket.socket) -> NoReturn:
    while True:
        peer.sendall(wire.encode({"op": "state"}) * 100)


def test_requests_may_come_in_any_pieces(bench: Bench) -> None:
    bench.start(bench.bootstrap(*shell("exec sleep 60")))
    with raw(bench) as peer:
        for byte in wire.encode({"id": 1, "op": "state"}) + wire.encode({"id": 2, "op": "state"})[:-1]:
            peer.sendall(bytes([byte]))
        assert wire.decode(line_of(peer))["id"] == 1
        peer.sendall(b"\n")
        assert wire.decode(line_of(peer))["id"] == 2


def test_a_client_that_never_reads_is_dropped(bench: Bench) -> None:
    bench.start(bench.bootstrap(*shell("exec sleep 60")))
    with raw(bench) as deaf, raw(bench) as other:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            flood(deaf)
        other.sendall(wire.encode({"id": 1, "op": "state"}))
        assert wire.decode(line_of(other))["ok"] is True


def test_clients_are_limited(bench: Bench) -> None:
    answer = bench.start(bench.bootstrap(*shell("exec sleep 60")))
    directory = os.open(bench.bundle, os.O_PATH)
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    try:
        for peer in crowd:
            peer.connect(f"/proc/self/fd/{directory}/{wire.SOCKET_NAME}")
        greeted = [peer for peer in crowd if peer.recv(1)]
        assert len(greeted) == 64
    finally:
        for peer in crowd:
            peer.close()
        os.close(directory)
    wait_until(lambda: len(os.listdir(f"/proc/{answer.shim_pid}/fd")) < 20, what="the crowd to be let go")
    with raw(bench):
        pass


def test_logs_can_be_reconfigured(bench: Bench) -> None:
    os.mkfifo(bench.root / "go")

    async def scenario() -> None:
        await bench.launch(bench.bootstrap(*shell("read word < go; seq 1000")))
        link = await client.attach(bench.bundle)
        await link.set_logs(max_size=100, keep=2)
        (bench.root / "go").write_text("go\n")
        assert [push async for push in link.messages()]
        await link.close()

    asyncio.run(scenario())
    assert len(list(bench.log_dir.glob("0*.log"))) == 3
    assert bench.log().endswith(b"\n999\n1000\n")

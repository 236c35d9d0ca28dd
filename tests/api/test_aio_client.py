"""The asyncio client against the real server, and against what goes wrong on the way to it."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
from qvl.api.control import LogSource
from qvl.client.aio import Client, LogPage
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Change, Event, Heartbeat, Lost, Snapshot
from qvl.model.log import LogEnd, LogExtent, LogMatch, LogSearch
from qvl.model.plan import Plan
from qvl.shim.logfile import segment_name

from tests.api.wire import open_directory
from tests.fakes import FakeControl, Served, serving

Scene = Callable[[Client, Served], Awaitable[None]]


def play(scene: Scene, tmp_path: Path, *, heartbeat: float = 5.0) -> None:
    """Run `scene` with a client and a server in one loop."""

    async def run() -> None:
        async with serving(FakeControl(), tmp_path / "supervisor.sock", heartbeat=heartbeat) as served:
            await scene(Client(served.socket, served.view), served)

    asyncio.run(run())


def refused(call: Callable[[Client], Awaitable[object]], socket_path: Path, view: Path | None = None) -> QvlError:
    async def run() -> None:
        await call(Client(socket_path, view))

    with pytest.raises(QvlError) as caught:
        asyncio.run(run())
    return caught.value


def test_typed_calls(tmp_path: Path) -> None:
    async def scene(client: Client, served: Served) -> None:
        control = served.control
        assert await client.status() == control.state
        assert await client.history() == await control.history(None)
        assert await client.history_of(21600, 120) == await control.history(None)
        assert control.spans == [(21600, 120)]
        assert await client.profiles() == control.profiles()
        assert await client.profile("eagle3") == await control.profile("eagle3", None)
        assert await client.profile("eagle3", "chat") == await control.profile("eagle3", "chat")
        assert await client.resolved("chat-0") == await control.resolved("chat-0")
        assert await client.worker("chat-0") == await control.detail("chat-0")
        assert await client.config() == await control.config()
        assert await client.version() == await control.version()
        assert (await client.whoami()).role == "operator"
        assert await client.plan() == await control.plan(None)
        assert await client.plan(Path("/etc/qvl/other.toml")) == await control.plan(Path("/etc/qvl/other.toml"))
        assert isinstance(await client.plan_switch("chat", "eagle3"), Plan)
        assert isinstance(await client.plan_reset("chat"), Plan)
        assert control.acts == []
        first = await client.act_worker("stop", "chat-0")
        assert first.workers == ("chat-0",)
        await client.act_pool("restart", "all")
        await client.switch("chat", "eagle3")
        await client.reset_switch("chat")
        await client.cancel_switch("chat")
        await client.apply("p1")
        await client.restart_daemon()
        what = [(act.what, act.name, act.pool, act.profile) for act in control.acts]
        assert what == [
            ("stop", "chat-0", False, None),
            ("restart", "all", True, None),
            ("switch", "chat", True, "eagle3"),
            ("reset", "chat", True, None),
            ("cancel", "chat", True, None),
            ("apply", "p1", False, None),
            ("restart-daemon", "", False, None),
        ]
        assert [event.seq for event in await client.remembered(first.seq)] == [first.seq + n for n in range(1, 8)]

    play(scene, tmp_path)


def test_refusals_keep_code_sentence_and_hint(tmp_path: Path) -> None:
    async def scene(client: Client, _: Served) -> None:
        with pytest.raises(QvlError) as caught:
            await client.act_worker("stop", "chat-1")
        error = caught.value
        assert (error.code, error.message) == (ErrorCode.NOT_FOUND, 'there is no worker "chat-1"')
        assert error.hint == "did you mean chat-0?"
        with pytest.raises(QvlError) as caught:
            await client.apply("stale")
        assert caught.value.code is ErrorCode.STALE_PLAN
        with pytest.raises(QvlError) as caught:
            await client.profile("a/../b?c#d")
        assert caught.value.code is ErrorCode.NOT_FOUND

    play(scene, tmp_path)


def test_events_are_frames(tmp_path: Path) -> None:
    async def scene(client: Client, served: Served) -> None:
        async with aclosing(client.events(since=2, changes=True)) as events:
            snapshot = await anext(events)
            assert isinstance(snapshot, Snapshot)
            assert snapshot.status == served.control.state
            assert await anext(events) == served.control.journal.since(2)[0]
            sent = served.control.publish("gpu", "line one\u2028line two\x85three\r\n four", data={"index": 1})
            assert await anext(events) == sent, "only a newline ends a frame"
            worker = msgspec.structs.replace(served.control.worker("chat-0"), restarts=7)
            served.control.show(worker)
            change = await anext(events)
            assert isinstance(change, Change)
            assert change.workers == (worker,)

    play(scene, tmp_path)


def test_a_heartbeat_and_what_was_lost_are_frames_too(tmp_path: Path) -> None:
    async def scene(client: Client, served: Served) -> None:
        async with aclosing(client.events()) as events:
            await anext(events)
            for _ in range(5000):  # in one turn of the loop: more than the queue holds
                served.control.publish("gpu", "again")
            frames = [await anext(events)]
            while not isinstance(frames[-1], Heartbeat):
                frames.append(await anext(events))
        seen = [frame.seq for frame in frames if isinstance(frame, Event)]
        lost = sum(frame.lost for frame in frames if isinstance(frame, Lost))
        assert lost > 0
        assert len(seen) + lost == 5000

    play(scene, tmp_path, heartbeat=0.5)


def test_events_end_where_the_daemon_ends_them(tmp_path: Path) -> None:
    async def scene(client: Client, served: Served) -> None:
        frames = []

        async def watch() -> None:
            async for frame in client.events():
                frames.append(frame)
                watching.set()

        watching = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            await watching.wait()
            await served.server.close()
        assert [type(frame) for frame in frames] == [Snapshot]

    play(scene, tmp_path)


def test_a_page_of_a_log_and_what_follows(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    file = directory / segment_name(100)
    file.write_bytes(b"one\ntwo\nthree\n")

    async def scene(client: Client, served: Served) -> None:
        served.control.logs["chat-0"] = LogSource(directory, lambda: ((1, 100), (2, 104)))
        page = await client.log_page("chat-0", lines=1)
        assert page == LogPage(108, b"three\n")
        assert await client.log_page("chat-0", before=page.offset, lines=1) == LogPage(104, b"two\n")
        assert await client.log_page("chat-0", previous=True) == LogPage(100, b"one\n")
        assert await client.log_page("chat-0", since=104, limit=6) == LogPage(104, b"two\nth")
        assert await client.log_extent("chat-0") == LogExtent(100, 114)
        found = [item async for item in client.log_search("chat-0", LogSearch(pattern="e&|t[wh]", before=200))]
        assert [item.text for item in found if isinstance(item, LogMatch)] == ["three", "two"]
        found = [item async for item in client.log_search("chat-0", LogSearch(pattern="t[wh]", since=0, count=1))]
        assert found[1:] == [LogMatch(104, 4, "two", "info", 104), LogEnd("count", 108, 1)]
        with pytest.raises(QvlError, match="is not a regular expression"):
            await anext(client.log_search("chat-0", LogSearch(pattern="(")))
        assert b"".join([piece async for piece in client.log("chat-0", since=0)]) == b"one\ntwo\nthree\n"
        async with aclosing(client.log("chat-0", since=page.offset + len(page.data), follow=True)) as log:
            waiting = asyncio.ensure_future(anext(log))
            with file.open("ab") as more:
                more.write(b"four\n")
            assert await waiting == b"four\n"

    play(scene, tmp_path)


def test_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    error = refused(Client.status, path)
    assert error.code is ErrorCode.UNREACHABLE
    assert str(path) in error.message
    assert "there is no socket" in error.message
    assert error.hint is not None
    assert "qvlctl up" in error.hint


def test_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    error = refused(Client.status, path)
    assert error.code is ErrorCode.UNREACHABLE
    assert "nobody listens" in error.message


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    error = refused(Client.status, tmp_path / ("x" * 120))
    assert error.code is ErrorCode.UNREACHABLE


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"", "broke off"),
        (b"SSH-2.0-OpenSSH\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", "broke off"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a": 1}\n', "not understood"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\xff\xfe\xfd", "not understood"),
        (b"HTTP/1.1 502 Bad\r\ncontent-length: 4\r\n\r\noops", "status 502: oops"),
    ],
)
def test_a_server_that_is_not_ours(tmp_path: Path, said: bytes, message: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        path = tmp_path / "s.sock"
        async with await asyncio.start_unix_server(answer, path):
            with pytest.raises(QvlError, match=message):
                await Client(path).status()

    asyncio.run(run())


def test_a_stream_of_another_release_is_told_as_that(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11\r\n{"type":"novel"}\n\r\n0\r\n\r\n')
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        path = tmp_path / "s.sock"
        async with await asyncio.start_unix_server(answer, path):
            with pytest.raises(QvlError, match="a frame of the event stream is not understood") as caught:
                await anext(Client(path).events())
        assert caught.value.hint == "qvlctl version: are both of one release?"

    asyncio.run(run())


def test_a_stream_that_falls_silent_is_lost(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(FakeControl(), tmp_path / "s.sock", heartbeat=60) as served:
            with pytest.raises(QvlError, match=r"said nothing for 0\.2 s"):
                async for _ in Client(served.socket, silence=0.2).events():
                    pass

    asyncio.run(run())


CLIENT_AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
from qvl.client.aio import Client
from qvl.model.error import QvlError

async def main():
    client = Client(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None)
    assert (await client.whoami()).role == "operator"  # and all is imported that nobody can't read
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    for call in (client.whoami, client.restart_daemon):
        try:
            answer = await call()
            print(getattr(answer, "role", "done"))
        except QvlError as error:
            print(error.code.wire, error.message)

asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root has to become another user")
def test_reads_fall_back_to_the_view_socket_and_acts_do_not() -> None:
    async def as_nobody(*paths: str) -> list[str]:
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", CLIENT_AS_NOBODY, *paths], capture_output=True, text=True, check=True
        )
        return str(done.stdout).splitlines()

    async def scene(_: Client, served: Served) -> None:
        served.view.chmod(0o666)
        sock, view = str(served.socket), str(served.view)
        denied = f"unreachable nobody may not connect to {sock}"
        assert await as_nobody(sock, view) == ["viewer", denied]
        assert await as_nobody(sock, "") == [denied, denied]
        assert await as_nobody(sock, str(served.view.with_name("no-view.sock"))) == [denied, denied]
        assert served.control.acts == []

    with open_directory() as directory:
        play(scene, directory)

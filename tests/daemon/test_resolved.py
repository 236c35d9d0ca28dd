"""An engine is asked for its arguments once at a time and not for long, and only what may be shown of them is."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from qvl.daemon.engine_client import EngineClient
from qvl.daemon.resolved import Resolver
from qvl.daemon.worker import Worker
from qvl.engines.base import Surface
from qvl.engines.sglang import SURFACE
from qvl.model.api import Resolved
from qvl.model.error import ErrorCode, QvlError
from qvl.model.spec import Engine, EngineKind, Launch, WorkerSpec
from qvl.model.worker import Phase, Wanted, WorkerRecord

KEY = "sk-of-this-worker"
ANSWER = {"api_key": KEY, "schedule_policy": "lpm", "context_length": None, "version": "0.5.18"}


class Server:
    """Answers by path: a document or a status; for None not before `let_go`."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.keys: set[str] = set()
        self.met = asyncio.Event()
        self.let_go = asyncio.Event()
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        self.asked.append(path)
        self.keys |= {line for line in head.splitlines() if line.lower().startswith("authorization")}
        self.met.set()
        if path in self.answers and self.answers[path] is None:
            await self.let_go.wait()
        answer = self.answers.get(path, 404)
        if answer is None:
            return writer.close()
        status, body = (answer, b"no") if isinstance(answer, int) else (200, json.dumps(answer).encode())
        writer.write(b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)
        writer.close()


@asynccontextmanager
async def serving(answers: dict[str, object]) -> AsyncIterator[Server]:
    server = Server(answers)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.let_go.set()
        listener.close()


def worker(port: int, phase: Phase = Phase.RUNNING, **more: object) -> Worker:
    launch = Launch(engine=Engine(name="sim", kind=EngineKind.SIMULATED), port=port, **more)  # type: ignore[arg-type]
    spec = WorkerSpec(name="chat-0", pool="chat", index=0, profile="standard", launch=launch)
    record = WorkerRecord(
        name="chat-0", pool="chat", wanted=Wanted.UP, phase=phase, launched=launch, generation=1, profile="standard"
    )
    return Worker(spec, record)


def run(
    answers: dict[str, object],
    test: Callable[[Resolver, Server], Awaitable[None]],
    surface: Surface = SURFACE,
    patience: float = 5.0,
) -> None:
    async def whole() -> None:
        client = EngineClient()
        try:
            async with serving(answers) as server:
                await test(Resolver(client, lambda _: (surface, KEY), None, patience), server)
        finally:
            await client.close()

    asyncio.run(whole())


def test_it_is_asked_with_its_key_and_the_answer_is_without(tmp_path: Path) -> None:
    async def test(resolver: Resolver, server: Server) -> None:
        found = await resolver.ask(worker(server.port, args={"schedule-policy": "fcfs"}))
        assert server.asked == ["/server_info", "/v1/models"]
        assert [line.split()[-1] for line in server.keys] == [KEY]
        assert (found.worker, found.profile, found.engine, found.version) == ("chat-0", "standard", "sim", "0.5.18")
        policy, *_ = [value for value in found.values if value.key == "schedule-policy"]
        assert (policy.value, policy.given, policy.differs) == ("lpm", "fcfs", True)
        assert [value.value for value in found.values if value.key == "context-length"] == [65536]
        assert found.hidden == ("api-key",)
        assert KEY not in repr(found)

    run({"/server_info": ANSWER, "/v1/models": {"data": [{"id": "m", "max_model_len": 65536}]}}, test)


def test_an_older_version_is_asked_by_its_older_path() -> None:
    async def test(resolver: Resolver, server: Server) -> None:
        found = await resolver.ask(worker(server.port))
        assert found.values
        assert server.asked[:2] == ["/server_info", "/get_server_info"]

    run({"/get_server_info": ANSWER}, test)


def test_several_who_ask_get_one_answer_though_the_first_leaves() -> None:
    async def test(resolver: Resolver, server: Server) -> None:
        it = worker(server.port)
        first, *others = [asyncio.create_task(resolver.ask(it)) for _ in range(4)]
        async with asyncio.timeout(20):
            await server.met.wait()
        first.cancel()
        server.answers["/server_info"] = ANSWER
        server.let_go.set()
        found: list[Resolved] = await asyncio.gather(*others)
        assert first.cancelled()
        assert found[0].values
        assert found[0] == found[1] == found[2]
        assert server.asked.count("/server_info") == 1
        await resolver.ask(it)  # nothing is kept
        assert server.asked.count("/server_info") == 2

    run({"/server_info": None}, test, patience=30)


def test_silence_is_bounded_and_not_asked_for_again() -> None:
    async def test(resolver: Resolver, server: Server) -> None:
        it = worker(server.port)
        for _ in range(2):
            with pytest.raises(QvlError, match=r"no answer to /server_info within 0\.2 s") as caught:
                await resolver.ask(it)
            assert caught.value.code is ErrorCode.CONFLICT
            assert caught.value.hint
        assert server.asked == ["/server_info"]
        it.record = msgspec.structs.replace(it.record, generation=2)
        with pytest.raises(QvlError, match="no answer"):
            await resolver.ask(it)
        assert len(server.asked) == 2  # another process

    run({"/server_info": None}, test, patience=0.2)


REFUSALS: dict[str, tuple[dict[str, object], Surface, Phase, str]] = {
    "starting": ({}, SURFACE, Phase.STARTING, "is starting: its engine has resolved nothing yet"),
    "stopped": ({}, SURFACE, Phase.STOPPED, "is stopped"),
    "a kind without a word for it": ({}, Surface(), Phase.RUNNING, "doesn't tell what it makes of its arguments"),
    "a key that was changed": ({"/server_info": 401}, SURFACE, Phase.RUNNING, "answered 401"),
    "an engine that fails": ({"/server_info": 500}, SURFACE, Phase.RUNNING, "answered 500"),
    "another server": ({}, SURFACE, Phase.RUNNING, "has no /server_info and no /get_server_info"),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_what_can_not_be_asked_is_said(why: str) -> None:
    answers, surface, phase, sentence = REFUSALS[why]

    async def test(resolver: Resolver, server: Server) -> None:
        with pytest.raises(QvlError) as caught:
            await resolver.ask(worker(server.port, phase))
        assert sentence in caught.value.message
        assert (caught.value.code, bool(caught.value.hint)) == (ErrorCode.CONFLICT, True)
        assert KEY not in f"{caught.value.message}{caught.value.hint}"

    run(answers, test, surface)


def test_nobody_there() -> None:
    async def test(resolver: Resolver, server: Server) -> None:
        with pytest.raises(QvlError, match="can't be asked for its arguments: ConnectError"):
            await resolver.ask(worker(1))

    run({}, test)


def test_without_its_secret_file_nothing_is_shown(tmp_path: Path) -> None:
    async def test(resolver: Resolver, server: Server) -> None:
        it = worker(server.port, api_key_file=str(tmp_path / "gone"))
        with pytest.raises(QvlError, match="gone can't be read, so its secrets can't be told"):
            await resolver.ask(it)
        assert server.asked == []

    run({"/server_info": ANSWER}, test)

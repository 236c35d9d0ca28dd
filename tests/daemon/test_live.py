"""Live changes with the real supervisor, lifecycle and HTTP client; the engine is a server that refuses on command."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from qvl.core.inputs import Ended, RestartAsked
from qvl.core.live import in_doubt
from qvl.core.planning import Current
from qvl.daemon.engine_client import EngineClient
from qvl.daemon.live import LiveChanges
from qvl.daemon.worker import Worker
from qvl.engines.base import Surface
from qvl.model.spec import ArgValue, WorkerSpec
from qvl.model.worker import Cause, Exit, Phase

from tests.daemon.test_transaction import House, lived, spec

KEY = "sk-quite-unmistakable"


class Engine:
    """Answers what it is told to, in order, then 200; `None` is a connection that breaks."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: list[tuple[int, str] | None] = []
        self.asked: list[dict[str, object]] = []
        self.asks = asyncio.Event()
        """Once something was asked."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        self.asked.append(json.loads(await reader.readexactly(length)))
        self.asks.set()
        answer = self.answers.pop(0) if self.answers else (200, "")
        if answer is not None:
            status, text = answer
            writer.write(
                f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()
            )
        writer.close()


def logs(engine: Engine, **args: ArgValue) -> WorkerSpec:
    """Worker `c`, with these arguments."""
    made = spec("c")
    launch = msgspec.structs.replace(
        made.launch, port=engine.port, args={name.replace("_", "-"): value for name, value in args.items()}
    )
    return msgspec.structs.replace(made, launch=launch)


def changing(tmp_path: Path, scenario: Callable[[House, LiveChanges, Engine, Worker], Awaitable[None]]) -> None:
    """Run `scenario` with a worker `c` that serves."""

    async def run(house: House) -> None:
        engine, client = Engine(), EngineClient()
        server = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
        engine.port = server.sockets[0].getsockname()[1]
        async with server, asyncio.TaskGroup() as group:
            live = LiveChanges(
                house.supervisor,
                client,
                group,
                surface=lambda _: (Surface(), KEY),
                look_anew=lambda worker: house.steps.append(f"look at {worker.name}"),
                patience=0.1,
            )
            house.supervisor.can_settle = live.can_settle
            await house.enter(logs(engine))
            await house.in_phase("c", Phase.RUNNING)
            await scenario(house, live, engine, house.worker("c"))
        await client.close()

    lived(tmp_path, run)


def test_an_answer_decides_over_the_record(tmp_path: Path) -> None:
    async def scenario(house: House, live: LiveChanges, engine: Engine, worker: Worker) -> None:
        before, after = worker.spec, logs(engine, log_requests=True)
        engine.answers = [(500, f"no, {KEY}"), None, (401, "{}")]
        for words in ("no, [redacted] (/configure_logging answered 500)", "log-requests = true: ", "(401)"):
            wrong = await live.bring(worker, after, trial=True)
            assert wrong is not None
            assert words in wrong
            assert KEY not in wrong
            assert worker.record.trial
            assert in_doubt(worker.record)
            assert worker.record.launched == before.launch
        assert await live.bring(worker, after) is None
        assert (worker.record.launched, in_doubt(worker.record)) == (after.launch, False)
        assert worker.record.trial, "whoever began the trial ends it"
        assert house.steps == ["look at c"]
        assert engine.asked == [{"log_requests": True}] * 4

    changing(tmp_path, scenario)


def test_what_is_in_doubt_is_set_anew_until_it_is_done(tmp_path: Path) -> None:
    async def scenario(house: House, live: LiveChanges, engine: Engine, worker: Worker) -> None:
        before = worker.spec
        engine.answers = [None, (500, "")]
        assert await live.bring(worker, logs(engine, log_requests=True)) is not None
        worker.spec = before  # as a transaction leaves it that could not go back
        while in_doubt(worker.record):
            await house.supervisor.ask(live.tick)
        assert engine.asked == [{"log_requests": True}, {"log_requests": False}, {"log_requests": False}]
        assert worker.record.launched == before.launch
        assert house.script.spawned == [("c", "old")]
        told = [event.severity for event in house.journal.since(0) if event.kind == "worker.live"]
        assert told == ["warning", "info"]
        await house.supervisor.ask(live.tick)
        assert len(engine.asked) == 3

    changing(tmp_path, scenario)


def test_who_is_on_trial_or_not_committed_is_left_to_whoever_decides(tmp_path: Path) -> None:
    async def scenario(house: House, live: LiveChanges, engine: Engine, worker: Worker) -> None:
        engine.answers = [None]
        assert await live.bring(worker, logs(engine, log_requests=True), trial=True) is not None
        await house.supervisor.ask(live.tick)
        assert len(engine.asked) == 1
        house.supervisor.uncommitted.add("c")
        worker.record = msgspec.structs.replace(worker.record, trial=False)
        await house.supervisor.ask(live.tick)
        assert len(engine.asked) == 1
        # Nobody commits it: what holds is what was.
        worker.spec = logs(engine)
        await house.supervisor.ask(house.supervisor.take_back)
        while in_doubt(worker.record):
            await house.supervisor.ask(live.tick)
        assert engine.asked[1:] == [{"log_requests": False}]
        assert house.script.spawned == [("c", "old")]

    changing(tmp_path, scenario)


def test_what_a_daemon_had_changed_and_never_committed_goes_back_without_a_restart(tmp_path: Path) -> None:
    async def scenario(house: House, live: LiveChanges, engine: Engine, worker: Worker) -> None:
        before = worker.spec
        assert await live.bring(worker, logs(engine, log_requests=True)) is None
        worker.spec = before
        house.supervisor.uncommitted.add("c")
        await house.supervisor.ask(house.supervisor.take_back)
        while worker.record.launched != before.launch:
            await house.supervisor.ask(live.tick)
        assert engine.asked == [{"log_requests": True}, {"log_requests": False}]
        assert house.script.spawned == [("c", "old")]

    changing(tmp_path, scenario)


def test_one_that_no_longer_runs_is_asked_nothing(tmp_path: Path) -> None:
    async def scenario(house: House, live: LiveChanges, engine: Engine, worker: Worker) -> None:
        house.script.gates.add("c")
        house.supervisor.post("c", RestartAsked())
        await house.in_phase("c", Phase.RELEASING)
        assert await live.bring(worker, logs(engine, log_requests=True)) is None
        assert engine.asked == []
        assert not live.can_settle(worker)
        assert worker.spec == logs(engine, log_requests=True), "its next start has it"

    changing(tmp_path, scenario)


def test_a_process_that_ends_meanwhile_takes_the_doubt_with_it(tmp_path: Path) -> None:
    async def scenario(house: House, live: LiveChanges, engine: Engine, worker: Worker) -> None:
        generation = worker.record.generation
        engine.answers = [None]
        bringing = asyncio.create_task(live.bring(worker, logs(engine, log_requests=True)))
        await engine.asks.wait()
        house.supervisor.post("c", Ended(generation, Exit(0.0, Cause.KILLED, signal=9)))
        assert await bringing is not None
        await house.until("c", lambda record: record.generation > generation and record.ready)
        assert worker.record.live is None
        assert worker.record.launched == logs(engine, log_requests=True).launch

    changing(tmp_path, scenario)


def test_only_what_an_engine_may_take_is_asked_about(tmp_path: Path) -> None:
    async def scenario(house: House, live: LiveChanges, engine: Engine, worker: Worker) -> None:
        current = {"c": Current(worker.spec, worker.record)}
        wanted = logs(engine, log_requests=True)
        assert "log-requests" in live.arguments(current, [wanted])["c"]
        assert live.arguments(current, [worker.spec]) == {"c": frozenset()}, "nothing differs"
        assert live.arguments({}, [wanted]) == {}
        engine_of = msgspec.structs.replace(wanted.launch.engine, kind="command")
        other = msgspec.structs.replace(wanted, launch=msgspec.structs.replace(wanted.launch, engine=engine_of))
        assert live.arguments(current, [other]) == {"c": frozenset()}

    changing(tmp_path, scenario)

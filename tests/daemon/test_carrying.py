"""What the daemon asks of the host before a start and for a plan: with simulated cards, real files and disks."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from qvl.daemon.carrying import PLAN_PATIENCE, Carrying
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.journal import Journal
from qvl.gpus.simulated import SimulatedGpus
from qvl.model.event import Event
from qvl.model.plan import Action, Plan, PlanStep
from qvl.model.spec import ArgValue, Engine, EngineKind, Launch, WorkerSpec
from qvl.model.worker import Cause

from tests.models import model

GIB = 1 << 30


class Host:
    """Two simulated cards of 80 GiB, in a directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "gpus").mkdir()
        self.gpus = GpuMonitor(SimulatedGpus(2, root / "gpus"))
        self.journal = Journal(root / "events.jsonl")
        self.carrying = Carrying(self.gpus, self.journal, {"state": root})

    def with_disk(self, path: str) -> Carrying:
        return Carrying(self.gpus, self.journal, {"logs": Path(path)})

    def hold(self, pid: int, memory: int, card: int = 0) -> None:
        """Somebody takes memory of a card."""
        file = self.root / "gpus" / f"gpu{card}.{pid}.hold.json"
        file.write_bytes(msgspec.json.encode({"pid": pid, "memory": memory, "command": "training"}))

    @property
    def events(self) -> list[Event]:
        return self.journal.since(0)


def on_a_host(root: Path, scenario: Callable[[Host], Awaitable[None]]) -> None:
    async def run() -> None:
        host = Host(root)
        await host.gpus.open()
        try:
            await scenario(host)
        finally:
            host.gpus.close()

    asyncio.run(run())


def spec(path: Path | str, gpus: tuple[int, ...] = (0,), name: str = "chat-0", **args: ArgValue) -> WorkerSpec:
    words = {key.replace("_", "-"): value for key, value in args.items()}
    launch = Launch(engine=Engine("sim", EngineKind.SIMULATED), model=str(path), args=words, gpus=gpus, port=18000)
    return WorkerSpec(name=name, pool="chat", index=0, profile="standard", launch=launch)


def plan(*actions: Action) -> Plan:
    return Plan("r", tuple(PlanStep(f"chat-{number}", action) for number, action in enumerate(actions)))


def test_a_start_that_nothing_speaks_against(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 16 * GIB)

    async def scenario(host: Host) -> None:
        assert await host.carrying.before_start(spec(path), 1) is None
        assert host.events == []

    on_a_host(tmp_path, scenario)


def test_a_refusal_says_what_is_missing(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 16 * GIB)
    (path / "model.safetensors").unlink()

    async def scenario(host: Host) -> None:
        refusal = await host.carrying.before_start(spec(path), 1)
        assert refusal is not None
        assert (refusal.cause, refusal.missing) == (Cause.MODEL_MISSING, f"{path}/*.safetensors")
        assert await host.carrying.refusal(spec(path)) == refusal
        assert host.events == [], "the end of the start says it"

    on_a_host(tmp_path, scenario)


def test_warnings_of_a_start_are_one_event(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 16 * GIB)

    async def scenario(host: Host) -> None:
        tight = spec(path, mem_fraction_static=0.21, context_length=65536)
        assert await host.with_disk("/proc/self").before_start(tight, 7) is None
        (event,) = host.events
        assert (event.kind, event.severity, event.worker, event.pool) == ("worker.warning", "warning", "chat-0", "chat")
        assert event.message.endswith("(and 1 more)")
        assert event.data is not None
        assert event.data["generation"] == 7
        first, second = msgspec.convert(event.data["warnings"], list[dict[str, str]])
        assert "KV tokens" in first["message"]
        assert second["message"] == "the disk of the logs, /proc/self, has 0 MiB free"

    on_a_host(tmp_path, scenario)


def test_a_plan_has_the_warnings_of_those_that_it_starts(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 16 * GIB, 2, leave_out=(1,))

    async def scenario(host: Host) -> None:
        actions = (
            Action.KEEP,
            Action.RESTART,
            Action.START,
            Action.RELAYOUT,
            Action.STOP,
            Action.RECONFIGURE,
            Action.LIVE,
        )
        specs = [spec(path, name=f"chat-{number}") for number in range(len(actions))]
        made = await host.carrying.warned(plan(*actions), specs)
        assert [warning.worker for warning in made.warnings] == ["chat-1", "chat-2", "chat-3"]
        assert all(warning.waits and "is missing" in warning.message for warning in made.warnings)
        assert msgspec.structs.replace(made, warnings=()) == plan(*actions)

    on_a_host(tmp_path, scenario)


def test_what_others_hold_of_a_card_counts_and_what_the_worker_holds_itself_doesn_t(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        host.hold(os.getpid(), 60 * GIB)
        await host.gpus.sample()
        (room,) = host.carrying.rooms(spec("/m"))
        assert (room.total, room.free) == (80 * GIB, 20 * GIB)
        assert "is held by pid" in (await host.carrying.warned(plan(Action.START), [spec("/m")])).warnings[0].message
        host.gpus.roots = lambda: {os.getpid(): "chat-0"}
        await host.gpus.sample()
        assert host.carrying.rooms(spec("/m"))[0].free == 80 * GIB
        assert host.carrying.rooms(spec("/m", name="chat-9"))[0].free == 20 * GIB, "of another worker"
        assert (await host.carrying.warned(plan(Action.START), [spec("/m")])).warnings == ()

    on_a_host(tmp_path, scenario)


def test_cards_that_are_not_there_or_say_nothing(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        (tmp_path / "gpus" / "gpu1.lost").touch()
        await host.gpus.sample()
        assert host.carrying.rooms(spec("/m", (0, 1))) == [], "how much it has isn't known"
        made = await host.carrying.warned(plan(Action.START), [spec("/m", (0, 5))])
        assert [w.message for w in made.warnings] == ["it waits for GPU 5: this host has 0, 1"]
        assert not made.warnings[0].waits, "the gate waits, it is not refused"

    on_a_host(tmp_path, scenario)


def hanging(root: Path) -> WorkerSpec:
    """A model whose place is asked of a pipe to which nobody writes."""
    refs = root / "hub" / "models--own--m" / "refs"
    refs.mkdir(parents=True)
    os.mkfifo(refs / "main")
    engine = Engine("e", EngineKind.SGLANG, python="/no", env={"HF_HOME": str(root)})
    return msgspec.structs.replace(spec("own/m"), launch=Launch(engine=engine, model="own/m"))


def test_a_disk_that_hangs_keeps_neither_the_plan_nor_the_loop_nor_another_model(tmp_path: Path) -> None:
    stuck, path = hanging(tmp_path), model(tmp_path / "m", GIB)

    async def scenario(host: Host) -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.05)

        ticking = asyncio.create_task(tick())
        began = time.monotonic()
        made = await host.carrying.warned(
            plan(Action.START, Action.START), [stuck, msgspec.structs.replace(spec(path), name="chat-1")]
        )
        assert time.monotonic() - began >= PLAN_PATIENCE
        (warning,) = made.warnings
        assert (warning.worker, warning.waits) == ("chat-0", False)
        assert "did not answer within" in warning.message
        assert ticks > 10
        ticking.cancel()
        assert (await host.carrying.warned(plan(Action.START), [stuck])).warnings == made.warnings
        assert [thread.name for thread in threading.enumerate()].count("carrying") == 1, "it isn't asked twice"
        # Once the disk answers, so do we.
        with open(tmp_path / "hub" / "models--own--m" / "refs" / "main", "w") as pipe:
            pipe.write("c0ffee")
        (tmp_path / "hub" / "models--own--m" / "refs" / "main").unlink()
        assert (await host.carrying.warned(plan(Action.START), [stuck])).warnings == ()

    on_a_host(tmp_path, scenario)


def test_a_mistake_of_ours_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A path that no file can have is none that the look expects."""

    async def scenario(host: Host) -> None:
        engine = Engine("e", EngineKind.SGLANG, python="/no")
        strange = msgspec.structs.replace(spec("/m"), launch=Launch(engine=engine, model="/m\0"))
        assert await host.carrying.before_start(strange, 1) is None

    on_a_host(tmp_path, scenario)
    assert "can't be told" in caplog.text


def test_kinds_that_serve_no_model_of_ours(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        engine = Engine("own", EngineKind.COMMAND, command=("/bin/true",))
        own = msgspec.structs.replace(spec("/m"), launch=Launch(engine=engine, model="/no/such/model"))
        assert await host.carrying.before_start(own, 1) is None
        assert host.events == []
        assert await host.with_disk("/proc/self").before_start(own, 1) is None
        assert "the disk of the logs" in host.events[0].message, "they write logs all the same"

    on_a_host(tmp_path, scenario)

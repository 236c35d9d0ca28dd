"""Transactions with the real supervisor and lifecycle; what carries their effects out is a script."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from qvl.core.inputs import (
    BecameReady,
    CheckGate,
    Drain,
    Drained,
    Effect,
    Ended,
    GateHeld,
    GateOpened,
    Kill,
    LiveBegun,
    LiveDone,
    Progressed,
    Quarantine,
    RestartAsked,
    Spawn,
    Spawned,
    StartAsked,
    StopAsked,
    Terminate,
)
from qvl.core.planning import Current, plan
from qvl.daemon.journal import Journal
from qvl.daemon.store import Store
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.transaction import Smoke, Transaction
from qvl.daemon.worker import Worker
from qvl.model.plan import Action, PlanStep
from qvl.model.spec import Engine, EngineKind, HealthPolicy, Launch, Policy, RestartPolicy, StopPolicy, WorkerSpec
from qvl.model.worker import Cause, Exit, Phase, Process, WorkerRecord

PROCESS = Process(1, 1, 2, 2, "boot", 0.0, 0.0, 0)
BRISK = Policy(restart=RestartPolicy(backoff=0.05, backoff_max=0.1), stop=StopPolicy(drain=5.0))


class Script:
    """An `Attendant`: what a start comes to, by profile. The rest goes as it should."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._post = supervisor.post
        self.comes_to: dict[str, str] = {}
        """`ready` if nothing else is said; `crash`, `fault` (of the card) or `nothing`: it starts for ever."""
        self.gates: set[str] = set()
        """Workers whose gate is shut."""
        self.stubborn: set[str] = set()
        """Workers that end when they are killed, and not before."""
        self.spawned: list[tuple[str, str]] = []
        """Worker and profile of each start."""

    def carry_out(self, worker: Worker, effect: Effect) -> None:
        name, generation = worker.name, worker.record.generation
        match effect:
            case CheckGate():
                self._post(name, GateHeld("a stranger") if name in self.gates else GateOpened())
            case Spawn():
                profile = worker.spec.profile
                self.spawned.append((name, profile))
                self._post(name, Spawned(generation, PROCESS, worker.spec.launch, profile))
                match self.comes_to.get(profile, "ready"):
                    case "ready":
                        self._post(name, BecameReady(generation))
                    case "crash":
                        self._post(name, Ended(generation, Exit(time.time(), Cause.ENGINE_CRASH, code=1)))
                    case "fault":
                        self._post(name, Ended(generation, Exit(time.time(), Cause.GPU_FAULT, code=1)))
            case Drain():
                self._post(name, Drained(generation))
            case Terminate() if name not in self.stubborn:
                self._post(name, Ended(generation, Exit(time.time(), Cause.KILLED, signal=15)))
            case Kill():
                self._post(name, Ended(generation, Exit(time.time(), Cause.KILLED, signal=9)))
            case Terminate() | Quarantine():
                pass

    def attend(self, worker: Worker) -> None:
        pass

    def ended(self, worker: Worker, old: WorkerRecord) -> None:
        pass

    def respecified(self, worker: Worker) -> None:
        pass


async def nothing_wrong(worker: Worker) -> str | None:
    return None


class House:
    """A supervisor with a script, and workers `a` and `b` of one pool."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory, "boot")
        self.journal = Journal(directory / "events.jsonl")
        self.supervisor = Supervisor(self.store, self.journal)
        self.script = Script(self.supervisor)
        self.supervisor.attendant = self.script
        self.steps: list[str] = []
        self.refuses: dict[str, str] = {}
        """What a worker says to a live change, by profile; `nothing`: nothing, before the connection breaks."""
        self.connection_broke = asyncio.Event()
        self.brought: list[tuple[str, str]] = []

    async def bring(self, worker: Worker, spec: WorkerSpec, trial: bool) -> str | None:
        """As `LiveChanges` does, but for the engine."""
        self.brought.append((worker.name, spec.profile))
        generation = worker.record.generation

        def begin() -> None:
            worker.spec = spec
            self.supervisor.feed(worker.name, LiveBegun(generation, spec.launch, trial))

        await self.supervisor.ask(begin)
        if (said := self.refuses.get(spec.profile)) == "nothing":
            await self.connection_broke.wait()
        if said is None:
            self.supervisor.post(worker.name, LiveDone(generation, spec.launch, spec.profile))
            await self.supervisor.ask(lambda: None)
        return said

    def worker(self, name: str) -> Worker:
        return self.supervisor.workers[name]

    def phases(self) -> dict[str, tuple[Phase, str]]:
        return {name: (worker.record.phase, worker.record.profile) for name, worker in self.supervisor.workers.items()}

    async def enter(self, *specs: WorkerSpec) -> None:
        for spec in specs:
            await self.supervisor.ask(lambda spec=spec: self.supervisor.enter(spec))  # type: ignore[misc]

    async def until(self, name: str, predicate: Callable[[WorkerRecord], bool]) -> None:
        async with asyncio.timeout(10):
            await self.supervisor.until(name, lambda w: w is not None and predicate(w.record))

    async def in_phase(self, name: str, phase: Phase) -> None:
        await self.until(name, lambda record: record.phase is phase)

    def begin(self, *wanted: WorkerSpec, smoke: Smoke | None = None, switch: bool = False) -> Transaction:
        """The transaction that the real planning makes of it. Argument `x` is live."""
        current = {w.name: Current(w.spec, w.record) for w in self.supervisor.workers.values() if not w.removing}
        made = plan(current, wanted, revision="r", pool_wanted={}, downtime={}, live={name: {"x"} for name in current})
        return self.of(made.steps, *wanted, smoke=smoke, switch=switch)

    def of(
        self, steps: Iterable[PlanStep], *wanted: WorkerSpec, smoke: Smoke | None = None, switch: bool = False
    ) -> Transaction:
        return Transaction(
            self.supervisor,
            tuple(steps),
            {spec.name: spec for spec in wanted},
            smoke=smoke,
            admit=nothing_wrong,
            bring=self.bring,
            watch=lambda step, worker, done: self.steps.append(f"{step} {worker or '-'} {done}"),
            commit=lambda: None,
            all_on_trial=switch,
        )


def spec(name: str, profile: str = "old", **more: object) -> WorkerSpec:
    launch = Launch(engine=Engine("sim", EngineKind.SIMULATED), model=profile, port=ord(name) + 8000, gpus=(ord(name),))
    made = WorkerSpec(name=name, pool="p", index=0, profile=profile, launch=launch, policy=BRISK)
    return msgspec.structs.replace(made, **more)


def moved(of: WorkerSpec, gpu: int) -> WorkerSpec:
    return msgspec.structs.replace(of, launch=msgspec.structs.replace(of.launch, gpus=(gpu,)))


def lived(directory: Path, scenario: Callable[[House], Awaitable[None]]) -> None:
    """Run `scenario` with a supervisor whose workers `a` and `b` serve with profile `old`."""

    async def run() -> None:
        house = House(directory)
        house.store.open()
        try:
            async with asyncio.TaskGroup() as group, asyncio.timeout(20):
                loop = group.create_task(house.supervisor.run())
                await house.enter(spec("a"), spec("b"))
                for name in "ab":
                    await house.in_phase(name, Phase.RUNNING)
                house.script.spawned.clear()
                await scenario(house)
                house.supervisor.close()
                await loop
        finally:
            house.store.close()

    asyncio.run(run())


BOTH_NEW = (spec("a", "new"), spec("b", "new"))
SERVE_OLD = {"a": (Phase.RUNNING, "old"), "b": (Phase.RUNNING, "old")}
SERVE_NEW = {"a": (Phase.RUNNING, "new"), "b": (Phase.RUNNING, "new")}


def test_worker_by_worker_and_then_for_good(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        assert await house.begin(*BOTH_NEW).run() is None
        assert house.phases() == SERVE_NEW
        assert house.script.spawned == [("a", "new"), ("b", "new")]
        assert not any(worker.record.trial for worker in house.supervisor.workers.values())
        assert house.steps == ["restarting a 0", "restarting b 1"]

    lived(tmp_path, scenario)


@pytest.mark.parametrize("outcome", ["crash", "fault"])
def test_the_first_that_fails_takes_everything_back_worker_by_worker(tmp_path: Path, outcome: str) -> None:
    quarantine = msgspec.structs.replace(BRISK, restart=RestartPolicy(causes={"gpu-fault": "quarantine"}))  # type: ignore[dict-item]

    async def scenario(house: House) -> None:
        house.script.comes_to["bad"] = outcome
        wrong = await house.begin(spec("a", "new"), spec("b", "bad", policy=quarantine)).run()
        assert wrong is not None
        assert wrong.startswith("b did not get ready: ")
        assert house.phases() == SERVE_OLD
        assert house.worker("b").spec == spec("b")
        assert house.script.spawned == [("a", "new"), ("b", "bad"), ("b", "old"), ("a", "old")]

    lived(tmp_path, scenario)


def test_a_way_back_that_fails_too_ends_and_leaves_the_worker_to_its_policy(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.script.comes_to |= {"bad": "crash", "old": "crash"}
        assert await house.begin(spec("a", "bad"), spec("b")).run() is not None
        assert house.worker("a").spec == spec("a")
        assert house.worker("b").record.phase is Phase.RUNNING
        house.script.comes_to.clear()
        await house.in_phase("a", Phase.RUNNING)

    lived(tmp_path, scenario)


def test_a_smoke_test_decides_over_a_switch(tmp_path: Path) -> None:
    async def smoke(worker: Worker) -> str | None:
        return "it talks nonsense" if worker.name == "b" else None

    async def scenario(house: House) -> None:
        wrong = await house.begin(*BOTH_NEW, smoke=smoke, switch=True).run()
        assert wrong == "b did not pass its smoke test with profile new: it talks nonsense"
        assert house.phases() == SERVE_OLD

    lived(tmp_path, scenario)


def test_cancelled_while_a_worker_starts(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.script.comes_to["new"] = "nothing"
        transaction = house.begin(*BOTH_NEW, switch=True)
        running = asyncio.create_task(transaction.run())
        await house.in_phase("a", Phase.STARTING)
        transaction.cancel()
        assert await running == "it was cancelled"
        assert house.phases() == SERVE_OLD

    lived(tmp_path, scenario)


@pytest.mark.parametrize("last", ["a", "b"])
def test_cancelled_in_a_smoke_test_also_the_last_one(tmp_path: Path, last: str) -> None:
    transactions: list[Transaction] = []

    async def smoke(worker: Worker) -> str | None:
        if worker.name == last:
            transactions[0].cancel()
            await asyncio.Event().wait()
        return None

    async def scenario(house: House) -> None:
        transactions.append(house.begin(*BOTH_NEW, smoke=smoke, switch=True))
        assert await transactions[0].run() == "it was cancelled"
        assert house.phases() == SERVE_OLD

    lived(tmp_path, scenario)


def test_cancelled_while_room_is_made(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.script.stubborn.add("b")
        transaction = house.begin(moved(spec("a"), 7), moved(spec("b"), 8))
        running = asyncio.create_task(transaction.run())
        await house.in_phase("a", Phase.STOPPED)
        transaction.cancel()
        await house.in_phase("b", Phase.STOPPING)
        house.supervisor.post("b", Ended(house.worker("b").record.generation, Exit(0.0, Cause.KILLED, signal=9)))
        assert await running == "it was cancelled"
        assert house.phases() == SERVE_OLD
        assert house.worker("a").spec == spec("a")

    lived(tmp_path, scenario)


@pytest.mark.parametrize("act", [StartAsked(), RestartAsked()])
def test_an_operators_start_meanwhile_ends_no_trial(tmp_path: Path, act: StartAsked | RestartAsked) -> None:
    async def scenario(house: House) -> None:
        house.script.gates.add("a")
        house.script.comes_to["new"] = "crash"
        running = asyncio.create_task(house.begin(*BOTH_NEW).run())
        await house.until("a", lambda record: record.reason == "a stranger")
        house.script.gates.clear()
        house.supervisor.post("a", act)
        wrong = await running
        assert wrong is not None
        assert "a did not get ready" in wrong
        assert house.script.spawned == [("a", "new"), ("a", "old")]
        assert house.phases() == SERVE_OLD

    lived(tmp_path, scenario)


def test_an_operators_stop_meanwhile_is_no_failure(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.script.comes_to["new"] = "nothing"
        running = asyncio.create_task(house.begin(*BOTH_NEW).run())
        await house.in_phase("a", Phase.STARTING)
        house.script.comes_to.clear()
        house.supervisor.post("a", StopAsked())
        assert await running is None
        await house.in_phase("a", Phase.STOPPED)
        assert house.phases()["b"] == (Phase.RUNNING, "new")
        assert house.worker("a").spec.profile == "new"

    lived(tmp_path, scenario)


def test_a_worker_that_did_not_serve_binds_nobody(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.script.comes_to |= {"old": "crash", "bad": "crash"}
        end = Exit(time.time(), Cause.ENGINE_CRASH, code=1)
        house.supervisor.post("a", Ended(house.worker("a").record.generation, end))
        await house.in_phase("a", Phase.BACKOFF)
        assert await house.begin(spec("a", "bad"), spec("b", "new")).run() is None
        assert house.phases()["b"] == (Phase.RUNNING, "new")
        assert house.worker("a").spec.profile == "bad"

    lived(tmp_path, scenario)


def test_who_is_about_to_start_on_its_old_place_makes_room_too(tmp_path: Path) -> None:
    """`b` waits to be started again on the card that `a` moves to: held, or both would wait for each other."""

    async def scenario(house: House) -> None:
        slow = msgspec.structs.replace(BRISK, restart=RestartPolicy(backoff=0.3, backoff_max=0.3))
        house.worker("b").spec = spec("b", policy=slow)
        end = Exit(time.time(), Cause.ENGINE_CRASH, code=1)
        house.supervisor.post("b", Ended(house.worker("b").record.generation, end))
        await house.in_phase("b", Phase.BACKOFF)
        house.script.comes_to["slow"] = "nothing"
        running = asyncio.create_task(
            house.begin(moved(spec("a", "slow"), ord("b")), moved(spec("b", "new"), ord("a"))).run()
        )
        await house.in_phase("a", Phase.STARTING)
        assert house.worker("b").record.phase is Phase.STOPPED
        house.supervisor.post("a", BecameReady(house.worker("a").record.generation))
        assert await running is None
        await house.in_phase("b", Phase.RUNNING)
        assert ("b", "old") not in house.script.spawned

    lived(tmp_path, scenario)


def test_a_worker_that_is_configured_again_before_it_is_forgotten_serves_again(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.script.stubborn.add("b")
        assert await house.begin(spec("a")).run() is None
        await house.in_phase("b", Phase.STOPPING)
        transaction = house.begin(spec("a"), spec("b", "new"))
        assert await transaction.run() is None
        house.supervisor.post("b", Ended(house.worker("b").record.generation, Exit(0.0, Cause.KILLED, signal=9)))
        await house.in_phase("b", Phase.RUNNING)
        assert house.phases()["b"] == (Phase.RUNNING, "new")

    lived(tmp_path, scenario)


def test_a_worker_that_nobody_configures_is_forgotten_once_it_has_stopped(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        assert await house.begin(spec("a")).run() is None
        async with asyncio.timeout(5):
            await house.supervisor.until("b", lambda w: w is None)
        assert house.store.bundles() == ["a"]

    lived(tmp_path, scenario)


def test_a_step_whose_worker_is_gone_is_passed_over(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        gone = spec("g", "new")
        steps = [PlanStep("g", action) for action in (Action.RESTART, Action.RELAYOUT, Action.STOP, Action.KEEP)]
        assert await house.of(steps, gone).run() is None
        assert house.phases() == SERVE_OLD

    lived(tmp_path, scenario)


def test_a_deadline_that_was_moved_in_the_turn_before_is_not_due(tmp_path: Path) -> None:
    """Progress and the old deadline lie in the inbox together: the worker has made progress."""

    async def scenario(house: House) -> None:
        hasty = msgspec.structs.replace(BRISK, health=HealthPolicy(stall_timeout=0.2))
        house.script.comes_to["slow"] = "nothing"
        await house.enter(spec("c", "slow", policy=hasty))
        await house.in_phase("c", Phase.STARTING)
        record = house.worker("c").record
        assert record.deadline is not None
        loop = asyncio.get_running_loop()
        # The loop stands still until both are due: the word of progress, and right behind it the deadline.
        loop.call_at(record.deadline.at - 0.001, house.supervisor.post, "c", Progressed(record.generation, None))
        loop.call_soon(time.sleep, 0.25)
        await asyncio.sleep(0.01)
        await house.supervisor.ask(lambda: None)
        assert house.worker("c").record.phase is Phase.STARTING
        await house.until("c", lambda record: record.restarts > 0)  # silence is still noticed

    lived(tmp_path, scenario)

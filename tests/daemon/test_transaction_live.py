"""Transactions whose steps need no restart, with and beside those that do."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from qvl.core.inputs import BecameUnready, Ended, RestartAsked, StopAsked
from qvl.daemon.worker import Worker
from qvl.model.spec import LogPolicy, Policy, WorkerSpec
from qvl.model.worker import Cause, Exit, Phase

from tests.daemon.test_transaction import SERVE_OLD, House, lived, spec

KILLED = Exit(0.0, Cause.KILLED, signal=9)


def told(name: str, profile: str = "told") -> WorkerSpec:
    """What `spec(name)` is, but for an argument that a running process takes."""
    old = spec(name)
    launch = msgspec.structs.replace(old.launch, args={"x": profile})
    return msgspec.structs.replace(old, profile=profile, launch=launch)


BOTH_TOLD = (told("a"), told("b"))
SERVE_TOLD = {"a": (Phase.RUNNING, "told"), "b": (Phase.RUNNING, "told")}


def settled(house: House) -> bool:
    """Nobody is on trial, nothing is in doubt, and what runs is what is to run."""
    records = {name: worker.record for name, worker in house.supervisor.workers.items()}
    return not any(
        record.trial or (record.live and record.live.tried) or record.launched != house.worker(name).spec.launch
        for name, record in records.items()
    )


def test_nobody_is_restarted_for_what_the_process_takes(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        policy = Policy(logs=LogPolicy(keep=9))
        wanted = [msgspec.structs.replace(worker, policy=policy) for worker in BOTH_TOLD]
        assert await house.begin(*wanted).run() is None
        assert house.phases() == SERVE_TOLD
        assert house.script.spawned == []
        assert house.steps == ["changing live a 0", "changing live b 1"]
        assert [house.worker(name).spec for name in "ab"] == wanted
        assert settled(house)

    lived(tmp_path, scenario)


def test_they_come_first_since_what_one_refuses_has_cost_nothing(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.refuses["told"] = "no room"
        assert await house.begin(spec("a", "new"), told("b")).run() == "b did not take it: no room"
        assert house.script.spawned == []
        assert house.brought == [("b", "told"), ("b", "old")]
        assert house.phases() == SERVE_OLD
        assert settled(house)

    lived(tmp_path, scenario)


def test_a_restart_that_fails_takes_them_back_without_one(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.script.comes_to["bad"] = "crash"
        wrong = await house.begin(told("a"), spec("b", "bad")).run()
        assert wrong is not None
        assert wrong.startswith("b did not get ready")
        assert house.brought == [("a", "told"), ("a", "old")]
        assert house.script.spawned == [("b", "bad"), ("b", "old")]
        assert house.phases() == SERVE_OLD
        assert house.steps[-3:] == ["rolling back - 0", "rolling back a 0", "rolling back b 1"]
        assert settled(house)

    lived(tmp_path, scenario)


def test_a_way_back_that_is_refused_leaves_it_in_doubt_and_serving(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.refuses |= {"told": "no room", "old": "not now"}
        assert await house.begin(told("a"), spec("b")).run() == "a did not take it: no room"
        record = house.worker("a").record
        assert (record.phase, record.trial, house.script.spawned) == (Phase.RUNNING, False, [])
        assert record.live is not None
        assert record.live.tried == (told("a").launch, spec("a").launch)
        assert house.worker("a").spec == spec("a")

    lived(tmp_path, scenario)


@pytest.mark.parametrize("begun", [True, False], ids=["while the engine is asked", "before anything was"])
def test_cancelled(tmp_path: Path, begun: bool) -> None:
    async def scenario(house: House) -> None:
        house.refuses["told"] = "nothing"
        transaction = house.begin(*BOTH_TOLD)
        running = asyncio.create_task(transaction.run())
        if begun:
            await house.until("a", lambda record: record.live is not None)
        transaction.cancel()
        assert await running == "it was cancelled"
        assert house.script.spawned == []
        assert house.phases() == SERVE_OLD
        assert settled(house)

    lived(tmp_path, scenario)


def test_its_end_meanwhile_is_the_changes_failure(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        house.refuses["told"] = "nothing"
        running = asyncio.create_task(house.begin(told("a"), spec("b")).run())
        await house.until("a", lambda record: record.live is not None)
        generation = house.worker("a").record.generation
        house.supervisor.post("a", Ended(generation, KILLED))
        await house.in_phase("a", Phase.FAILED)
        house.connection_broke.set()
        wrong = await running
        assert wrong is not None
        assert wrong.startswith("a did not get ready: killed while a change was tried")
        assert house.script.spawned == [("a", "old")]
        assert house.phases() == SERVE_OLD
        assert settled(house)

    lived(tmp_path, scenario)


def test_an_operators_word_meanwhile_is_no_failure(tmp_path: Path) -> None:
    """A restart starts it with what is new; a stop leaves it to its next start."""

    async def scenario(house: House) -> None:
        async def asked(worker: Worker, spec: WorkerSpec, trial: bool) -> str | None:
            said = await House.bring(house, worker, spec, trial)
            house.supervisor.post(worker.name, RestartAsked() if worker.name == "a" else StopAsked())
            await house.until(worker.name, lambda record: record.phase is not Phase.RUNNING)
            return said

        house.bring = asked  # type: ignore[method-assign]
        house.refuses["told"] = "the connection broke"
        assert await house.begin(*BOTH_TOLD).run() is None
        assert house.script.spawned == [("a", "told")]
        await house.in_phase("b", Phase.STOPPED)
        assert house.worker("b").spec == told("b")
        assert house.phases()["a"] == (Phase.RUNNING, "told")

    lived(tmp_path, scenario)


@pytest.mark.parametrize("switch", [False, True])
def test_one_that_does_not_serve_binds_nobody_but_a_switch(tmp_path: Path, switch: bool) -> None:
    async def scenario(house: House) -> None:
        house.supervisor.post("a", BecameUnready(house.worker("a").record.generation, "no answer"))
        await house.until("a", lambda record: not record.ready)
        assert await house.begin(*BOTH_TOLD, switch=switch).run() is None
        assert house.brought == [("b", "told")]
        assert house.script.spawned == ([("a", "told")] if switch else [])
        assert house.worker("a").spec == told("a")
        assert house.worker("a").record.launched == (told("a") if switch else spec("a")).launch

    lived(tmp_path, scenario)


def test_a_smoke_test_decides_over_it_too(tmp_path: Path) -> None:
    async def smoke(worker: Worker) -> str | None:
        return "it talks nonsense" if worker.name == "b" else None

    async def scenario(house: House) -> None:
        wrong = await house.begin(*BOTH_TOLD, smoke=smoke, switch=True).run()
        assert wrong == "b did not pass its smoke test with profile told: it talks nonsense"
        assert house.script.spawned == []
        assert house.phases() == SERVE_OLD
        assert settled(house)

    lived(tmp_path, scenario)

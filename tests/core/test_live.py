"""A step is live exactly where the process takes all that differs; and a record says what its process may run."""

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from qvl.core.inputs import BecameReady, GateOpened, LiveBegun, LiveDone, RestartAsked, StopAsked
from qvl.core.live import all_live, in_doubt, may_run
from qvl.core.planning import Current, launch_changes, plan
from qvl.model.plan import Action, KeyChange
from qvl.model.spec import Launch, LogPolicy, Policy, WorkerSpec
from qvl.model.worker import Phase, Wanted

from tests.core.life import LAUNCH, Life
from tests.core.test_planning import FLEETS, LAUNCHES, WANTED, applied, edit, worker

NAMES = st.sets(st.sampled_from(["x", "y"])).map(frozenset)


@given(LAUNCHES, LAUNCHES, NAMES)
def test_all_that_differs_has_to_be_live(old: Launch, new: Launch, live: frozenset[str]) -> None:
    changes = launch_changes(old, new)
    differ = {key for key in ("x", "y") if any(change.key.startswith(f"args.{key}") for change in changes)}
    elsewhere = any(not change.key.startswith("args.") for change in changes)
    assert all_live(changes, live) is (not elsewhere and differ <= live)


@given(FLEETS, WANTED, NAMES)
def test_a_plan_differs_from_one_without_live_changes_in_these_steps_alone(
    current: dict[str, Current], wanted: list[WorkerSpec], live: frozenset[str]
) -> None:
    names = dict.fromkeys((spec.name for spec in wanted), live)
    without = plan(current, wanted, revision="r", pool_wanted={}, downtime={"chat-0": 31.0})
    made = plan(current, wanted, revision="r", pool_wanted={}, downtime={"chat-0": 31.0}, live=names)
    for before, step in zip(without.steps, made.steps, strict=True):
        if step.action is not Action.LIVE:
            assert step == before
            continue
        record = current[step.worker].record
        assert before.action is Action.RESTART
        assert record.phase in (Phase.STARTING, Phase.RUNNING)
        assert record.wanted is Wanted.UP
        assert (step.downtime_s, step.requests) == (None, None)
        assert step.keys[: len(before.keys)] == before.keys
        assert {key.key.split(".")[1] for key in before.keys if key.key != "profile"} <= live
    # Once the processes run it, nothing is left to do.
    fleet = applied(current, wanted, made.steps)
    for step in made.steps:
        if step.action is Action.LIVE:
            spec = fleet[step.worker].spec
            record = msgspec.structs.replace(fleet[step.worker].record, launched=spec.launch, profile=spec.profile)
            fleet[step.worker] = Current(spec, record)
    assert not plan(fleet, wanted, revision="r", pool_wanted={}, downtime={}, live=names).changes


def test_a_live_step_names_all_that_it_changes() -> None:
    current = worker(args={"log-level": "info", "lora-paths": {"lora_name": "a"}})
    launch = msgspec.structs.replace(current.spec.launch, args={"lora-paths": {"lora_name": "b"}})
    spec = msgspec.structs.replace(current.spec, profile="chatty", launch=launch, policy=Policy(logs=LogPolicy(keep=9)))
    live = {"chat-0": {"log-level", "lora-paths"}}
    (step,) = plan({"chat-0": current}, [spec], revision="r", pool_wanted={}, downtime={}, live=live).steps
    assert step.action is Action.LIVE
    assert step.keys == (
        KeyChange("profile", "standard", "chatty"),
        KeyChange("args.log-level", "info", None),
        KeyChange("args.lora-paths.lora_name", "a", "b"),
        KeyChange("logs.keep", 5, 9),
    )
    assert not step.action.interrupts


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.STARTING, Phase.RUNNING)])
def test_only_a_process_that_goes_on_is_changed(phase: Phase) -> None:
    current = worker(phase, args={"x": 1})
    launch = msgspec.structs.replace(current.spec.launch, args={"x": 2})
    spec = msgspec.structs.replace(current.spec, launch=launch)
    (step,) = plan({"chat-0": current}, [spec], revision="r", pool_wanted={}, downtime={}, live={"chat-0": {"x"}}).steps
    assert step.action is not Action.LIVE
    assert (step.action, step.keys) == (edit(current, args={"x": 2}).action, (KeyChange("args.x", 1, 2),))


# ---- records

OTHER = msgspec.structs.replace(LAUNCH, args={"log-requests": True})
THIRD = msgspec.structs.replace(LAUNCH, args={"log-level": "debug"})


def test_what_is_begun_is_in_doubt_until_it_is_done() -> None:
    life = Life().running()
    assert (in_doubt(life.record), may_run(life.record)) == (False, (LAUNCH,))
    life.tell(LiveBegun(life.record.generation, OTHER, trial=True))
    assert life.record.trial
    assert life.record.launched == LAUNCH
    assert (in_doubt(life.record), may_run(life.record)) == (True, (LAUNCH, OTHER))
    life.tell(LiveBegun(life.record.generation, THIRD), LiveBegun(life.record.generation, LAUNCH))
    assert life.record.trial, "the transaction ends a trial, nobody else"
    assert may_run(life.record) == (LAUNCH, OTHER, THIRD, LAUNCH)
    life.tell(LiveDone(life.record.generation, THIRD, "chatty"))
    assert (in_doubt(life.record), may_run(life.record)) == (False, (THIRD,))
    assert life.record.profile == "chatty"
    assert life.record.live is not None
    assert life.record.live.started == LAUNCH, "its command line says so to its end"


def test_a_new_process_is_what_it_was_started_with() -> None:
    life = Life().running()
    generation = life.record.generation
    life.tell(LiveBegun(generation, OTHER), LiveDone(generation, OTHER, "standard"), LiveBegun(generation, THIRD))
    life.tell(RestartAsked())
    life.tell(LiveDone(generation, THIRD, "standard"))  # the answer was on its way
    assert life.phase is Phase.DRAINING
    assert life.record.launched == THIRD
    life.tell(StopAsked())
    life.resume(same_boot=False)
    assert life.record.live is None
    life.tell(RestartAsked(), GateOpened(), LiveDone(generation, OTHER, "standard"))
    assert life.record.live is None
    assert life.record.launched == life.spec.launch


def test_who_does_not_run_is_not_changed() -> None:
    for life in (Life(), Life().starting()):
        before = life.record
        life.tell(LiveBegun(before.generation, OTHER), LiveDone(before.generation, OTHER, "standard"))
        assert life.record == before
    life = Life().running()
    life.tell(BecameReady(life.record.generation), LiveBegun(life.record.generation - 1, OTHER))
    assert life.record.live is None

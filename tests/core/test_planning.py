"""A plan does the least, says what forces it, and leads to what the configuration wants."""

from collections.abc import Mapping

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from qvl.core.planning import Current, changed_keys, launch_changes, plan
from qvl.model.plan import Action, KeyChange, Plan, PlanStep
from qvl.model.spec import (
    ArgValue,
    Engine,
    EngineKind,
    HealthPolicy,
    Launch,
    LogPolicy,
    Policy,
    RestartMode,
    RestartPolicy,
    StopPolicy,
    WorkerSpec,
)
from qvl.model.worker import Phase, Wanted, WorkerRecord

ENGINE = Engine(name="sglang", kind=EngineKind.SGLANG, python="/opt/python")

ARGS: st.SearchStrategy[ArgValue] = st.one_of(
    st.just(True), st.integers(0, 2), st.sampled_from([0.5, 1.0, "a", "b"]), st.just(["a", 1]), st.just({"k": {"m": 1}})
)
LAUNCHES = st.builds(
    Launch,
    engine=st.sampled_from([ENGINE, msgspec.structs.replace(ENGINE, env={"HF_HOME": "/nvme"})]),
    model=st.sampled_from(["/a", "/b"]),
    args=st.dictionaries(st.sampled_from(["x", "y"]), ARGS),
    gpus=st.sampled_from([(0,), (1,)]),
    port=st.sampled_from([8000, 8001]),
)
POLICIES = st.builds(
    Policy,
    restart=st.builds(RestartPolicy, mode=st.sampled_from(RestartMode), max_restarts=st.integers(0, 3)),
    health=st.builds(HealthPolicy, interval=st.sampled_from([1.0, 5.0])),
    stop=st.builds(StopPolicy, drain=st.sampled_from([0.0, 60.0])),
    logs=st.builds(LogPolicy, keep=st.integers(0, 2)),
)


@st.composite
def specs(draw: st.DrawFn) -> WorkerSpec:
    pool, index = draw(st.sampled_from(["chat", "vision"])), draw(st.integers(0, 2))
    return WorkerSpec(
        name=f"{pool}-{index}",
        pool=pool,
        index=index,
        profile=draw(st.sampled_from(["standard", "eagle3"])),
        launch=draw(LAUNCHES),
        policy=draw(POLICIES),
        autostart=draw(st.booleans()),
    )


@st.composite
def workers(draw: st.DrawFn) -> Current:
    """In any phase; its process may have been started with another configuration than the one that holds now."""
    spec = draw(specs())
    phase = draw(st.sampled_from(Phase))
    alive = phase.has_process
    record = WorkerRecord(
        name=spec.name,
        pool=spec.pool,
        wanted=draw(st.sampled_from(Wanted)),
        phase=phase,
        launched=draw(st.sampled_from([spec.launch, draw(LAUNCHES)])) if alive else None,
        profile=draw(st.sampled_from([spec.profile, "standard"])),
    )
    return Current(spec, record)


FLEETS = st.lists(workers(), max_size=5).map(lambda found: {current.spec.name: current for current in found})
WANTED = st.lists(specs(), max_size=5, unique_by=lambda spec: spec.name)


def planned(current: Mapping[str, Current], wanted: list[WorkerSpec]) -> Plan:
    return plan(current, wanted, revision="r2", pool_wanted={}, downtime={})


def applied(
    current: Mapping[str, Current], wanted: list[WorkerSpec], steps: tuple[PlanStep, ...]
) -> dict[str, Current]:
    """What the daemon makes of a plan: every worker gets its new specification, some get a new process."""
    fleet, specs = dict(current), {spec.name: spec for spec in wanted}
    for step in steps:
        match step.action:
            case Action.STOP:
                del fleet[step.worker]
            case Action.START:
                spec = specs[step.worker]
                up = Wanted.UP if spec.autostart else Wanted.DOWN
                fleet[step.worker] = Current(spec, WorkerRecord(name=spec.name, pool=spec.pool, wanted=up))
            case Action.RESTART | Action.RELAYOUT:
                spec = specs[step.worker]
                record = msgspec.structs.replace(
                    fleet[step.worker].record, phase=Phase.RUNNING, launched=spec.launch, profile=spec.profile
                )
                fleet[step.worker] = Current(spec, record)
            case _:
                fleet[step.worker] = Current(specs[step.worker], fleet[step.worker].record)
    return fleet


@given(FLEETS, WANTED)
def test_an_applied_plan_leaves_nothing_to_do(current: dict[str, Current], wanted: list[WorkerSpec]) -> None:
    made = planned(current, wanted)
    assert {step.worker for step in made.steps} == {*current, *(spec.name for spec in wanted)}
    fleet = applied(current, wanted, made.steps)
    assert {name: worker.spec for name, worker in fleet.items()} == {spec.name: spec for spec in wanted}
    for worker in fleet.values():
        if worker.record.phase.has_process and worker.record.wanted is Wanted.UP:
            assert worker.record.launched is not None
            assert launch_changes(worker.record.launched, worker.spec.launch) == ()
    assert not planned(fleet, wanted).changes


@given(FLEETS, POLICIES)
def test_policy_never_interrupts(current: dict[str, Current], policy: Policy) -> None:
    wanted = [msgspec.structs.replace(worker.spec, policy=policy) for worker in current.values()]
    settled = applied(
        current, [w.spec for w in current.values()], planned(current, [w.spec for w in current.values()]).steps
    )
    for step in planned(settled, wanted).steps:
        assert step.action in (Action.KEEP, Action.RECONFIGURE)
        changed = settled[step.worker].spec.policy != policy
        assert (step.action is Action.RECONFIGURE) is changed
        assert {change.key.split(".")[0] for change in step.keys} <= {"restart", "health", "stop", "logs"}


@given(LAUNCHES, LAUNCHES)
def test_every_difference_of_two_launches_is_named(old: Launch, new: Launch) -> None:
    same = msgspec.json.encode(old, order="deterministic") == msgspec.json.encode(new, order="deterministic")
    changes = launch_changes(old, new)
    assert (changes == ()) is same
    assert [change.key for change in changes] == sorted(change.key for change in changes)
    swapped = [KeyChange(change.key, change.new, change.old) for change in changes]
    assert list(launch_changes(new, old)) == swapped


def worker(phase: Phase = Phase.RUNNING, wanted: Wanted = Wanted.UP, **launch: object) -> Current:
    spec = WorkerSpec(
        name="chat-0", pool="chat", index=0, profile="standard", launch=Launch(engine=ENGINE, model="/a", port=8000)
    )
    spec = msgspec.structs.replace(spec, launch=msgspec.structs.replace(spec.launch, **launch))
    record = WorkerRecord(
        name="chat-0",
        pool="chat",
        wanted=wanted,
        phase=phase,
        profile="standard",
        launched=spec.launch if phase.has_process else None,
    )
    return Current(spec, record)


def edit(current: Current, profile: str = "standard", **launch: object) -> PlanStep:
    spec = msgspec.structs.replace(
        current.spec, profile=profile, launch=msgspec.structs.replace(current.spec.launch, **launch)
    )
    made = plan({"chat-0": current}, [spec], revision="r2", pool_wanted={}, downtime={"chat-0": 31.0})
    assert made.revision == "r2"
    return made.steps[0]


def test_a_new_argument_restarts_and_is_named() -> None:
    step = edit(worker(args={"mem-fraction-static": 0.8}), args={"mem-fraction-static": 0.85, "tp": 2})
    assert step.action is Action.RESTART
    assert step.keys == (KeyChange("args.mem-fraction-static", 0.8, 0.85), KeyChange("args.tp", None, 2))
    assert step.downtime_s == 31.0


@pytest.mark.parametrize(("old", "new"), [(True, 1), (1, 1.0), (1, "1"), (["a"], "a"), ({"k": {}}, {}), ({}, True)])
def test_what_a_command_line_tells_apart_is_a_change(old: ArgValue, new: ArgValue) -> None:
    step = edit(worker(args={"x": old}), args={"x": new})
    assert step.action is Action.RESTART


def test_another_place_is_a_relayout() -> None:
    for step in (edit(worker(), port=8001), edit(worker(), gpus=(1,)), edit(worker(), host="0.0.0.0")):
        assert step.action is Action.RELAYOUT


def test_another_profile_with_the_same_launch_interrupts_nobody() -> None:
    step = edit(worker(), profile="copy")
    assert (step.action, step.keys) == (Action.RECONFIGURE, (KeyChange("profile", "standard", "copy"),))


@pytest.mark.parametrize(
    ("phase", "wanted", "action"),
    [
        (Phase.RUNNING, Wanted.UP, Action.RESTART),
        (Phase.STARTING, Wanted.UP, Action.RESTART),
        (Phase.PARKED, Wanted.UP, Action.RESTART),
        (Phase.BACKOFF, Wanted.UP, Action.RESTART),  # the change may be what mends it: it goes at once
        (Phase.FAILED, Wanted.UP, Action.RESTART),
        (Phase.RELEASING, Wanted.UP, Action.RESTART),
        (Phase.STOPPED, Wanted.DOWN, Action.RECONFIGURE),
        (Phase.RELEASING, Wanted.DOWN, Action.RECONFIGURE),
        (Phase.STOPPED, Wanted.UP, Action.RECONFIGURE),  # ended for good by itself
    ],
)
def test_who_is_restarted_for_a_change(phase: Phase, wanted: Wanted, action: Action) -> None:
    assert edit(worker(phase, wanted), model="/b").action is action


def test_who_is_on_its_way_down_is_neither_interrupted_nor_compared_with_what_it_ran() -> None:
    for phase in (Phase.DRAINING, Phase.STOPPING):
        current = worker(phase, Wanted.DOWN)
        assert edit(current, model="/b", port=8001).action is Action.RECONFIGURE
        spec = msgspec.structs.replace(current.spec, launch=msgspec.structs.replace(current.spec.launch, model="/b"))
        edited = msgspec.structs.replace(current, spec=spec)
        assert edit(edited).action is Action.KEEP
        assert edit(edited, model="/a").action is Action.RECONFIGURE, "taken back before it has ended"


def test_what_no_process_can_tell_restarts_nobody() -> None:
    named = msgspec.structs.replace(ENGINE, name="other", smoke="/smoke")
    step = edit(worker(), engine=named)
    assert (step.action, [key.key for key in step.keys]) == (Action.RECONFIGURE, ["engine.name", "engine.smoke"])
    own = msgspec.structs.replace(ENGINE, kind=EngineKind.COMMAND)
    assert edit(worker(engine=own), args={"tp-size": 1}).action is Action.RECONFIGURE
    assert edit(worker(engine=own), args={"tp-size": 1}, raw_args=("--x",)).keys == (
        KeyChange("raw_args", (), ("--x",)),
    )
    assert edit(worker(), engine=own, args={"tp-size": 1}).action is Action.RESTART


@pytest.mark.parametrize(
    ("phase", "action", "requests"),
    [
        (Phase.RUNNING, Action.RESTART, 3),
        (Phase.RUNNING, Action.STOP, 3),
        (Phase.RUNNING, Action.RELAYOUT, 3),
        (Phase.DRAINING, Action.RESTART, None),  # interrupted already
        (Phase.STARTING, Action.RESTART, None),
        (Phase.RUNNING, Action.RECONFIGURE, None),
    ],
)
def test_requests_that_are_cut_off_are_told(phase: Phase, action: Action, requests: int | None) -> None:
    busy = msgspec.structs.replace(worker(phase), requests=3)
    before = busy.spec
    changed = {
        Action.RESTART: msgspec.structs.replace(before.launch, model="/b"),
        Action.RELAYOUT: msgspec.structs.replace(before.launch, port=8001),
    }
    policy = Policy(stop=StopPolicy(drain=5.0))
    after = msgspec.structs.replace(before, launch=changed.get(action, before.launch), policy=policy)
    (step,) = planned({"chat-0": busy}, [] if action is Action.STOP else [after]).steps
    assert (step.action, step.requests) == (action, requests)
    # One that leaves its place does so by the policy that it has.
    assert step.drain_s == (None if requests is None else 5.0 if action is Action.RESTART else 60.0)
    assert planned({"chat-0": worker(phase)}, []).steps[0].requests is None, "nobody knows"


def test_an_edit_that_is_taken_back_before_it_was_applied_changes_nothing() -> None:
    running = worker()
    stale = Current(
        msgspec.structs.replace(running.spec, launch=msgspec.structs.replace(running.spec.launch, model="/b")),
        running.record,
    )
    assert edit(stale, model="/a").action is Action.KEEP


def test_a_new_worker_starts_and_a_gone_one_stops() -> None:
    current = worker()
    new = msgspec.structs.replace(current.spec, name="vision-0", pool="vision")
    made = planned({"chat-0": current}, [new])
    assert [(step.worker, step.action) for step in made.steps] == [
        ("vision-0", Action.START),
        ("chat-0", Action.STOP),
    ]
    assert made.removes_pools == ("chat",)


@pytest.mark.parametrize(
    ("pool_wanted", "autostart", "downtime"),
    [({}, True, 31.0), ({}, False, None), ({"chat": Wanted.DOWN}, True, None), ({"chat": Wanted.UP}, False, 31.0)],
)
def test_a_new_worker_takes_the_will_for_its_pool(
    pool_wanted: dict[str, Wanted], autostart: bool, downtime: float | None
) -> None:
    spec = msgspec.structs.replace(worker().spec, autostart=autostart)
    made = plan({}, [spec], revision="r", pool_wanted=pool_wanted, downtime={"chat-0": 31.0})
    assert made.steps[0].downtime_s == downtime


@pytest.mark.parametrize("phase", list(Phase))
def test_only_a_pool_with_workers_up_waits_for_apply(phase: Phase) -> None:
    """Also one that has no process for the moment, and would have one again by itself."""
    made = planned({"chat-0": worker(phase)}, [])
    assert made.removes_pools == (() if phase in (Phase.STOPPED, Phase.FAILED) else ("chat",))


def test_keys_are_leaves_in_order() -> None:
    old = {"b": {"x": 1, "y": [1]}, "a": 1, "c": {}}
    new = {"b": {"x": 2, "y": [1, 2]}, "d": {"e": 1}}
    assert list(changed_keys(old, new)) == [
        KeyChange("a", 1, None),
        KeyChange("b.x", 1, 2),
        KeyChange("b.y", [1], [1, 2]),
        KeyChange("c", {}, None),
        KeyChange("d.e", None, 1),
    ]

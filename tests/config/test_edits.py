"""An edit leads to just what a fresh start on the new file would run, and does no more than that takes.

Whole files are drawn, written, loaded, placed and planned; a small model of `qvl.daemon.transaction` carries the plan
out. `tests/blackbox/test_random_edits.py` asks the same of the daemon itself.
"""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies as st
import msgspec
import pytest
import tomli_w
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import Phase as Step
from qvl.config.fleet import fleet
from qvl.config.settings import Config
from qvl.config.state import Override, hold
from qvl.core.planning import Current, plan
from qvl.model.plan import Action, KeyChange, Plan, PlanStep
from qvl.model.spec import Launch, WorkerSpec
from qvl.model.worker import Phase, Wanted, WorkerRecord

from tests.config.drawn import ALIASES, POLICY_KEYS, edits, files, policies
from tests.config.files import host, read

Table = dict[str, Any]
CARDS = host(4)
LIVE = {"x"}
"""Arguments that engines are said to take while they run."""

edited = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
    phases=[Step.explicit, Step.reuse, Step.generate, Step.shrink],
    deadline=None,
    max_examples=60,
)
"""Each example writes its own file over the last one's."""


def runnable(folder: Path, table: Mapping[str, Any], overrides: Mapping[str, Override] | None = None) -> Config | None:
    """The configuration that a table is, where it is one that this host can run."""
    config = read(folder, tomli_w.dumps(table)).config
    if config is None or fleet(config, CARDS, profiles(overrides or {}, config)).faults:
        return None
    return config


def config_of(folder: Path, table: Mapping[str, Any]) -> Config:
    config = runnable(folder, table)
    if config is None:
        reject()
    return config


def profiles(overrides: Mapping[str, Override], config: Config) -> dict[str, str]:
    """Of the overrides that hold."""
    return {name: override.profile for name, override in hold(overrides, config)[0].items()}


# ---- a daemon, as far as plans go


class Process(NamedTuple):
    pid: int
    launched: Launch
    profile: str


@dataclass
class Worker:
    spec: WorkerSpec
    wanted: Wanted
    phase: Phase = Phase.STOPPED
    process: Process | None = None


@dataclass
class Host:
    """What runs, and what is remembered."""

    config: Config
    workers: dict[str, Worker] = field(default_factory=dict)
    pool_wanted: dict[str, Wanted] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    pids: int = 0

    def specs(self, config: Config) -> tuple[WorkerSpec, ...]:
        """What is to be, with the overrides that hold."""
        return fleet(config, CARDS, profiles(self.overrides, config)).workers

    def start(self, worker: Worker) -> None:
        self.pids += 1
        worker.process, worker.phase = Process(self.pids, worker.spec.launch, worker.spec.profile), Phase.RUNNING

    def enter(self, spec: WorkerSpec) -> None:
        default = Wanted.UP if spec.autostart else Wanted.DOWN
        worker = self.workers[spec.name] = Worker(spec, self.pool_wanted.get(spec.pool, default))
        if worker.wanted is Wanted.UP:
            self.start(worker)

    def stop(self, worker: Worker) -> None:
        worker.wanted, worker.process, worker.phase = Wanted.DOWN, None, Phase.STOPPED

    def plan(self, config: Config) -> Plan:
        current = {}
        for name, worker in self.workers.items():
            process = worker.process
            record = WorkerRecord(
                name=name,
                pool=worker.spec.pool,
                wanted=worker.wanted,
                phase=worker.phase,
                launched=process.launched if process else None,
                profile=process.profile if process else worker.spec.profile,
            )
            current[name] = Current(worker.spec, record)
        return plan(
            current,
            self.specs(config),
            revision=config.revision,
            pool_wanted=self.pool_wanted,
            downtime={},
            live={name: LIVE for name, worker in self.workers.items() if worker.process},
        )

    def apply(self, config: Config) -> Plan:
        """`qvl.daemon.transaction.Transaction` where everything gets ready."""
        made = self.plan(config)
        wanted = {spec.name: spec for spec in self.specs(config)}
        for step in made.steps:
            if step.action in (Action.RESTART, Action.RELAYOUT):
                worker = self.workers[step.worker]
                worker.spec = wanted[step.worker]
                if worker.wanted is Wanted.UP:
                    self.start(worker)
        for step in made.steps:
            if step.action is Action.START:
                self.enter(wanted[step.worker])
        self.config = config
        self.overrides, _ = hold(self.overrides, config)
        self.pool_wanted = {pool: will for pool, will in self.pool_wanted.items() if pool in config.pools}
        for step in made.steps:
            match step.action:
                case Action.STOP:
                    del self.workers[step.worker]
                case Action.KEEP | Action.RECONFIGURE:
                    worker = self.workers[step.worker]
                    changed = encoded(worker.spec) != encoded(wanted[step.worker])
                    worker.spec = wanted[step.worker]
                    if changed and worker.wanted is Wanted.UP and worker.phase in (Phase.FAILED, Phase.BACKOFF):
                        self.start(worker)
                case Action.LIVE:
                    worker = self.workers[step.worker]
                    worker.spec = wanted[step.worker]
                    assert worker.process is not None
                    worker.process = worker.process._replace(launched=worker.spec.launch, profile=worker.spec.profile)
        return made


def started(config: Config) -> Host:
    """A first daemon on this file."""
    made = Host(config)
    for spec in made.specs(config):
        made.enter(spec)
    return made


def encoded(value: object) -> bytes:
    """As written: to Python `True` equals 1."""
    return msgspec.json.encode(value, order="deterministic")


def keys_of(step: PlanStep) -> set[str]:
    return {change.key.split(".")[0] for change in step.keys}


def leaf(tree: object, key: str) -> object:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


LAUNCH_KEYS = set(Launch.__struct_fields__)
HISTORIES = st.lists(
    st.tuples(st.sampled_from(["stop", "start", "stop pool", "fail", "override", "end"]), st.integers(0, 20)),
    max_size=3,
)
"""What people and chance do before the edit: to which worker, by number."""


def lived(made: Host, history: list[tuple[str, int]]) -> Host:
    for what, number in history:
        workers = list(made.workers.values())
        if not workers:
            break
        worker = workers[number % len(workers)]
        pool = worker.spec.pool
        match what:
            case "stop":
                made.stop(worker)
            case "start":
                worker.wanted = Wanted.UP
                if worker.process is None:
                    made.start(worker)
            case "stop pool":
                made.pool_wanted[pool] = Wanted.DOWN
                for each in workers:
                    if each.spec.pool == pool:
                        made.stop(each)
            case "fail" | "end" if worker.wanted is Wanted.UP:
                worker.process, worker.phase = None, Phase.FAILED if what == "fail" else Phase.STOPPED
            case "override":
                names = sorted(made.config.profiles)
                profile, file_profile = names[number % len(names)], made.config.pools[pool].profile
                before = made.overrides
                made.overrides = {**before, pool: Override(profile, file_profile)}
                if fleet(made.config, CARDS, profiles(made.overrides, made.config)).faults:
                    made.overrides = before  # such a switch is refused
                else:
                    made.apply(made.config)
    return made


@settings(edited, max_examples=25)
@given(before=files(), other=files(), history=HISTORIES)
def test_an_edit_leads_to_what_a_fresh_start_runs(
    tmp_path_factory: pytest.TempPathFactory, before: Table, other: Table, history: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    run = lived(started(config_of(folder, before)), history)
    for after in edits(before, other, several=10):
        new = runnable(folder, after, run.overrides)
        if new is not None:
            leads_there(copy.deepcopy(run), new)


def leads_there(run: Host, new: Config) -> None:
    """Apply a configuration, and see that it is what runs then."""
    there = {name: replace(worker) for name, worker in run.workers.items()}
    remembered = Host(new, pool_wanted=dict(run.pool_wanted), overrides=dict(run.overrides))
    made = run.apply(new)
    fresh = {spec.name: spec for spec in remembered.specs(new)}
    assert set(run.workers) == set(fresh)
    for name, worker in run.workers.items():
        spec = fresh[name]
        assert encoded(worker.spec) == encoded(spec)
        first = Wanted.UP if spec.autostart else Wanted.DOWN
        will = there[name].wanted if name in there else remembered.pool_wanted.get(spec.pool, first)
        assert worker.wanted is will
        if worker.process is not None:
            assert same_process(worker.process.launched, spec.launch)
            assert worker.wanted is Wanted.UP
        elif worker.wanted is Wanted.UP:
            assert there[name].phase is worker.phase, "what had ended by itself stays so, where nothing changed"
    assert_least(made, there, run)
    assert not [step for step in run.plan(new).steps if step.action is not Action.KEEP]


def same_process(launched: Launch, wanted: Launch) -> bool:
    """Whether a new start would make the same process: what it is called, and what is never handed over, aside."""

    def handed_over(launch: Launch) -> bytes:
        engine = msgspec.structs.replace(launch.engine, name="", smoke="")
        args = {} if engine.kind == "command" else launch.args
        return encoded(msgspec.structs.replace(launch, engine=engine, args=args))

    return handed_over(launched) == handed_over(wanted)


def assert_least(made: Plan, there: Mapping[str, Worker], run: Host) -> None:
    """Nobody is interrupted without a reason that is named, and what is named is so."""
    for step in made.steps:
        old, new = there.get(step.worker), run.workers.get(step.worker)
        if old is None or new is None:
            assert (step.action is Action.START) == (old is None)
            assert (step.action is Action.STOP) == (new is None)
            continue
        kept = step.action in (Action.KEEP, Action.RECONFIGURE, Action.LIVE)
        if old.process is not None:
            assert new.process is not None
            assert (old.process.pid == new.process.pid) is kept
            assert same_process(old.process.launched, new.spec.launch) is (kept and step.action is not Action.LIVE)
        if not kept:
            assert keys_of(step) & LAUNCH_KEYS, "a restart has a reason"
        if step.action is Action.LIVE:
            assert not keys_of(step) & (LAUNCH_KEYS - {"args", "engine"})
        if step.action is Action.KEEP:
            assert step.keys == ()
            # `autostart` is for who is seen for the first time.
            assert encoded(msgspec.structs.replace(old.spec, autostart=new.spec.autostart)) == encoded(new.spec)
        before = old.process.launched if old.process else old.spec.launch
        for change in step.keys:
            assert encoded(change.old) != encoded(change.new)
            if change.key.split(".")[0] in LAUNCH_KEYS:
                assert encoded(leaf(msgspec.to_builtins(before), change.key)) == encoded(change.old)
                assert encoded(leaf(msgspec.to_builtins(new.spec.launch), change.key)) == encoded(change.new)


@edited
@given(table=files(), drawn=policies(), autostart=st.booleans())
def test_policies_restart_nobody(
    tmp_path_factory: pytest.TempPathFactory, table: Table, drawn: Table, autostart: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    run = started(config_of(folder, table))
    for pool in table["pools"].values():
        for key in POLICY_KEYS:
            pool.pop(key, None)
        pool.update({**copy.deepcopy(drawn), "autostart": autostart})
    table["supervisor"] = {"auto_apply": "safe", "on_stop": "leave", "operator_group": "root", "viewer_group": ""}
    pids = {name: worker.process for name, worker in run.workers.items()}
    made = run.apply(config_of(folder, table))
    assert {step.action for step in made.steps} <= {Action.KEEP, Action.RECONFIGURE}
    assert {key for step in made.steps for key in keys_of(step)} <= POLICY_KEYS
    assert {name: worker.process for name, worker in run.workers.items()} == pids


@edited
@given(table=files(), name=st.sampled_from(["a", "b", "c"]))
def test_a_pool_comes_and_goes_alone(tmp_path_factory: pytest.TempPathFactory, table: Table, name: str) -> None:
    """Others are concerned where they have asked for a number of cards and get other ones, which is what is named."""
    folder = tmp_path_factory.getbasetemp()
    assume(name in table["pools"])
    whole = config_of(folder, table)
    fewer = copy.deepcopy(table)
    del fewer["pools"][name]
    without = config_of(folder, fewer)
    for old, new, action in ((without, whole, Action.START), (whole, without, Action.STOP)):
        made = started(old).apply(new)
        for step in made.steps:
            pool = step.worker.rpartition("-")[0]
            if pool == name:
                assert step.action is action
            elif isinstance(whole.pools[pool].gpus, int):
                assert keys_of(step) == (set() if step.action is Action.KEEP else {"gpus"})
                assert step.action is not Action.RESTART
            else:
                assert step.action is Action.KEEP


@edited
@given(table=files(), seed=st.integers(0, 1000))
def test_how_a_file_is_written_is_no_change(tmp_path_factory: pytest.TempPathFactory, table: Table, seed: int) -> None:
    """The order of its keys, but for pools that ask for a number of cards: these come in turn. Any name of a flag."""
    folder = tmp_path_factory.getbasetemp()
    config = config_of(folder, table)
    run = started(config)
    assert not run.plan(config).changes
    draw = random.Random(seed)
    other = shuffled(respelled(table, draw), draw)
    if sum(isinstance(pool["gpus"], int) for pool in table["pools"].values()) > 1:
        other["pools"] = {name: other["pools"][name] for name in table["pools"]}
    for step in run.plan(config_of(folder, other)).steps:
        if table["pools"][step.worker[0]]["profile"] == "own":  # flags of a command are its own business, and nobody's
            assert step.action in (Action.KEEP, Action.RECONFIGURE)
        else:
            assert step.action is Action.KEEP, step


def shuffled(value: Any, draw: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = list(value)
    draw.shuffle(keys)
    return {key: shuffled(value[key], draw) for key in keys}


def respelled(table: Table, draw: random.Random) -> Table:
    result = copy.deepcopy(table)
    for profile in result["profiles"].values():
        args = profile.get("args", {})
        profile["args"] = {draw.choice(ALIASES) if key in ALIASES else key: value for key, value in args.items()}
        profile["unset"] = [f"args.{draw.choice(ALIASES)}" if key[5:] in ALIASES else key for key in profile["unset"]]
    return result


def test_the_keys_of_a_step_say_what_was_and_what_will_be(tmp_path: Path) -> None:
    """One example by hand, so that the model above is not all there is."""
    table: Table = {
        "engines": {"sim": {"kind": "simulated"}},
        "profiles": {"base": {"engine": "sim", "model": "m", "args": {"tensor-parallel-size": 2, "x": 1}}},
        "pools": {"a": {"profile": "base", "gpus": "all", "port": 8000}},
    }
    run = started(config_of(tmp_path, table))
    table["profiles"]["base"]["args"] = {"tp": 4}
    table["pools"]["a"]["stop"] = {"drain": 1}
    made = run.plan(config_of(tmp_path, table))
    assert [(step.worker, step.action) for step in made.steps] == [("a-0", Action.RELAYOUT), ("a-1", Action.STOP)]
    assert made.steps[0].keys == (
        KeyChange("args.tp-size", 2, 4),
        KeyChange("args.x", 1, None),
        KeyChange("gpus", (0, 1), (0, 1, 2, 3)),
    )

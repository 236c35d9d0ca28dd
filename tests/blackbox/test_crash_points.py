"""The daemon dies between any two of its own steps, and its successor goes on as promised.

Each scenario is run again and again, with a daemon that dies at the first, the second, the third … of the crash points
that it passes (`qvl.host.crashpoint`), until it comes to the end of the scenario alive. After each death the successor
has to be a good one; then it is the next victim. A failure names the point.

A death costs a second of processor, so a run takes a third of the points; `QVL_CRASH_POINTS=7` takes another third,
which 7 is the seed of. `QVL_CRASH_POINTS=distinct` takes all that are before a step. Those at an event, and while
and after a file is written, leave behind what the next one does, but for a line of history and a half written file that
the next write replaces: `QVL_CRASH_POINTS=all` takes these too.
"""

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.crash_scenarios import (
    PAIR,
    DaemonStop,
    Edit,
    EditThatFails,
    FailingForEver,
    Final,
    Killed,
    LiveEditThatFails,
    LiveSwitch,
    NewCode,
    Restart,
    Scenario,
    StopAndStart,
    Switch,
    SwitchTakenBack,
    SwitchThatFails,
    apply,
)
from tests.blackbox.crashing import Laboratory, calmly
from tests.blackbox.harness import Daemon, args, merged, pool

CHOICE = os.environ.get("QVL_CRASH_POINTS", "0")
IS_SAMPLE = CHOICE not in ("all", "distinct")

POINTS = "" if CHOICE == "all" else "before"
"""What the names of the points that are taken have in common."""

CLASSES = 1 if IS_SAMPLE else 3
"""Into how many tests the points of a scenario are dealt, so that they can run side by side."""

LIMIT = 300
"""More crash points than any scenario has."""

FAST = merged(args(sim_load_seconds=0.05), pool(health={"interval": "2s"}))
"""Workers that start soon and are left alone then."""

UNHEARD = "before the shim has answered"
"""The daemon dies here, so the shim ends a worker that nobody knows of: that start is one more, and no failure."""

SCENARIOS: tuple[type[Scenario], ...] = (
    SwitchTakenBack, Switch, SwitchThatFails, Edit, EditThatFails, StopAndStart, FailingForEver, Restart, Killed, Final,
    DaemonStop, NewCode, LiveSwitch,
)  # fmt: skip


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory with so short a path that workers' temporary directories lie below it."""
    path = Path(tempfile.mkdtemp(prefix="qvl-c-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def naming(number: int, point: str | None) -> Iterator[None]:
    """Puts into a failure where the daemon has died."""
    try:
        yield
    except Exception as error:
        where = f"crash point {number}: {point}" if point else f"no death at crash point {number}"
        raise AssertionError(f"{where}: {error}") from error


def numbers(of: str, first: int = 1, step: int = 1) -> Iterator[int]:
    """At which points to die: every `step`th from `first` on, or about a third of these."""
    draw = random.Random(f"{CHOICE}/{of}")
    for number in range(first, LIMIT, step):
        if not IS_SAMPLE or draw.random() < 1 / 3:
            yield number


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1, CLASSES + 1))
@pytest.mark.parametrize("kind", SCENARIOS, ids=lambda kind: kind.__name__)
def test_at_each_point_of(kind: type[Scenario], first: int, root: Path) -> None:
    with Daemon(root, FAST, *kind.changes) as daemon, Laboratory(daemon, bystander=kind.bystander) as lab:
        scenario = kind(lab)
        lab.begin()
        deaths = 0
        for number in numbers(kind.__name__, first, CLASSES):
            with naming(number, None):
                scenario.prepare()
                point = lab.dies_during(scenario.act, number, POINTS)
            scenario.unheard = point == UNHEARD
            with naming(number, point):
                if lab.has_ended:
                    lab.succeed()
                scenario.check()
                lab.check()
            if point is None:
                break
            deaths += 1
        else:
            pytest.fail(f"it passes more than {LIMIT} crash points")
        assert deaths, "it has passed no crash point"
        lab.stop_and_look()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1, CLASSES + 1))
def test_at_each_point_of_the_first_start(first: int, root: Path) -> None:
    """Of two workers with a key that lies on disk for a moment; some have a temporary directory behind a link. Every
    other successor is told to stop at once."""
    key = root / "key"
    key.touch(0o600)
    key.write_text("sk-quite-unmistakable\n")
    deaths = 0
    for number in numbers("first start", first, CLASSES):
        home = root / ("with a name too long for what engines bind in it" if deaths % 2 else "short") / str(number)
        home.mkdir(parents=True)
        with (
            Daemon(home, FAST, PAIR, pool(api_key_file=str(key))) as daemon,
            Laboratory(daemon, bystander=False) as lab,
        ):

            def start(lab: Laboratory = lab) -> None:
                lab.start_mortal()
                for index in range(2):
                    lab.ready(f"chat-{index}")

            point = lab.dies_during(start, number, POINTS)
            with naming(number, point):
                if point is not None:
                    lab.succeed()
                if deaths % 4 > 1:
                    for index in range(2):
                        assert lab.ready(f"chat-{index}")["restarts"] == 0
                        assert len(lab.runs(f"chat-{index}")) in (1, 2)  # the other one may start just then
                    lab.check()
                lab.stop_and_look()
        if point is None:
            break
        deaths += 1
    else:
        pytest.fail(f"it passes more than {LIMIT} crash points")
    assert deaths, "it has passed no crash point"


@pytest.mark.parametrize("part", ["before applied.json", "before overrides.toml", "before pools.json"])
def test_what_an_edit_ends_goes_with_it(part: str, root: Path) -> None:
    """An override, by an edit of its pool's profile, and the will for a pool that is removed: neither is forgotten
    before the edit is applied, both are then."""
    gone = {"profile": "standard", "gpus": 1, "stop": {"drain": "0s", "term": "5s"}}
    third = {"profiles": {"third": {"extends": "standard", "args": {"max-running-requests": 3}}}}
    with Daemon(root, FAST, *Switch.changes, third, pool(gpus=1)) as daemon, Laboratory(daemon) as lab:
        daemon.edit({"pools": {"gone": {**gone, "port": daemon.port + 2}}})
        lab.recurring = {"gone-0"}
        lab.begin()
        lab.ready()
        seq = daemon.client.switch("chat", "eagle")["seq"]
        calmly(lambda: Switch(lab).outcome(seq), "an override")
        daemon.client.act("stop", "gone", pool=True)
        lab.in_phase("stopped", "gone-0")
        daemon.edit(pool(profile="third"), {"pools": {"gone": None}})
        assert lab.dies_during(lambda: apply(daemon), 1, part) is not None, "there is no such point"
        lab.succeed()
        if part == "before applied.json":
            assert daemon.pool()["override"] == "eagle"
            assert lab.ready()["profile"] == "eagle"
            assert daemon.worker("gone-0")["wanted"] == "down"
            apply(daemon)
        assert daemon.pool()["override"] is None
        assert lab.ready()["profile"] == "third"
        daemon.edit({"pools": {"gone": {**gone, "port": daemon.port + 2}}})
        apply(daemon)
        lab.ready("gone-0")
        lab.check()
        lab.stop_and_look()


def test_what_was_restarted_by_an_edit_that_a_successor_commits_is_kept(root: Path) -> None:
    """The daemon dies when every worker runs what the file says, and nothing says so yet."""
    with Daemon(root, FAST) as daemon, Laboratory(daemon, bystander=False) as lab:
        lab.begin()
        lab.ready()

        def edit() -> None:
            daemon.edit(args(max_running_requests=7))
            calmly(lambda: daemon.file["applied"] == daemon.revision_of_file(), "the file is applied")

        assert lab.dies_during(edit, 1, "before applied.json") is not None, "there is no such point"
        lab.succeed()
        before = lab.ready()
        calmly(lambda: daemon.file["applied"] == daemon.revision_of_file(), "the file is applied")
        daemon.client.act("restart", "chat-0", pool=False)
        worker = lab.ready(not_pid=before["pid"])
        assert b"--max-running-requests" in Path(f"/proc/{worker['pid']}/cmdline").read_bytes()
        assert len(lab.runs("chat-0")) == 3, "it was taken back"
        lab.stop_and_look()


LIVE = [
    (2, "before /load_lora_adapter"),
    (1, "before /unload_lora_adapter"),
    (1, "after /unload_lora_adapter"),
]
"""Around the calls of a change that fails at its second one, and of the way back."""


def test_an_engine_that_was_changed_half_way_is_changed_back(root: Path) -> None:
    with Daemon(root, FAST, *LiveEditThatFails.changes) as daemon, Laboratory(daemon) as lab:
        scenario = LiveEditThatFails(lab)
        lab.begin()
        for number, part in LIVE:
            scenario.prepare()
            point = lab.dies_during(scenario.act, number, part)
            assert point is not None, f"there is no such point: {part}"
            with naming(number, point):
                lab.succeed()
                scenario.check()
                lab.check()
        lab.stop_and_look()


BASES: dict[str, tuple[type[Scenario], int, str]] = {
    "an end that isn't counted yet": (Killed, 1, "before an end is told"),
    "half of a switch": (Switch, 2, "before the shim is launched"),
    "a start with what isn't committed": (Switch, 1, "after the shim has answered"),
    "a trial that has failed": (SwitchThatFails, 2, "at event worker.exit"),
    "a commit whose pool is still there": (Edit, 1, "after applied.json was written"),
}
"""Where the first daemon dies: at the given one of the points of that name."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("base", BASES)
def test_a_successor_dies_at_each_of_its_own_points(base: str, root: Path) -> None:
    """So does its successor, each one point later: whatever an adoption had begun is begun again."""
    kind, at, part = BASES[base]
    with Daemon(root, FAST, *kind.changes) as daemon, Laboratory(daemon) as lab:
        scenario = kind(lab)
        lab.begin()
        scenario.prepare()
        assert lab.dies_during(scenario.act, at, part) is not None, "there is no such point"

        def succeed() -> None:
            lab.start_mortal()
            scenario.check()

        deaths = 0
        for number in numbers(base):
            with naming(number, f"after {lab.point()}"):
                point = lab.dies_during(succeed, number, POINTS)
                scenario.unheard += point == UNHEARD
                if point is None:
                    lab.check()
                    break
            deaths += 1
        else:
            pytest.fail(f"successors pass more than {LIMIT} crash points")
        assert deaths, "they have passed no crash point"
        lab.stop_and_look()

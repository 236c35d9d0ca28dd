"""A change of a pool, read from its events: as the daemon told them, stage by stage."""

import itertools
from datetime import timedelta

from qvl.model.event import Event, Severity
from qvl.model.status import SwitchStatus
from qvl_tui.changes import Reached, Stage, Trail, course, last_outcome, to_come

from tests.tui.fleet import NOW

POOL = "qwen3-vl"
PHASES = ("running", "draining", "stopping", "releasing", "starting", "running")


class Story:
    """Events of one change, a second after the other."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, kind: str, worker: str | None = None, pool: str | None = POOL, **data: object) -> "Story":
        at = NOW + timedelta(seconds=len(self.events))
        severity = Severity.ERROR if data.get("outcome") == "rolled-back" else Severity.INFO
        number = len(self.events) + 1
        self.events.append(
            Event(
                seq=number,
                at=at,
                kind=kind,
                message=kind,
                worker=worker,
                pool=pool,
                data=data or None,
                severity=severity,
            )
        )
        return self

    def step(self, step: str, worker: str | None, why: str | None = None) -> "Story":
        return self.tell("switch", worker, to="eagle3", step=step, worker_=worker, why=why)

    def phases(self, worker: str, *phases: str) -> "Story":
        for before, after in itertools.pairwise(phases):
            self.tell("worker.phase", worker, **{"from": before, "to": after})
        return self

    def restart(self, worker: str) -> "Story":
        return self.step("restarting", worker).phases(worker, *PHASES).step("smoke test", worker)


def stages(trail: Trail) -> list[str]:
    return [f"{each.stage}{'!' if each.failed else '<' if each.broken_off else ''}" for each in trail.reached]


def test_each_worker_has_its_stages_and_their_times() -> None:
    story = Story().restart("w-0").restart("w-1").tell("switch", to="eagle3", outcome="done")
    found = course(story.events, POOL, NOW)
    assert [trail.worker for trail in found.there] == ["w-0", "w-1"]
    assert all(trail.over and not trail.failed for trail in found.there)
    assert stages(found.there[0]) == ["drain", "stop", "release", "start", "smoke test"]
    assert [each.seconds(None) for each in found.there[0].reached] == [1.0] * 5
    assert found.back == ()
    assert found.turned is None
    assert found.outcome is not None
    assert last_outcome(story.events, POOL) is found.outcome


def test_what_is_under_way_goes_on_by_the_daemons_clock() -> None:
    story = Story().restart("w-0").step("restarting", "w-1").phases("w-1", "running", "draining")
    first, second = course(story.events, POOL, NOW).there
    assert first.over
    assert not second.over
    (drain,) = second.reached
    assert drain.ended is None
    assert drain.seconds(drain.began + timedelta(seconds=7)) == 7.0
    assert drain.seconds(None) is None


def test_a_start_that_fails_is_a_start_that_failed() -> None:
    story = Story().step("restarting", "w-0").phases("w-0", "running", "draining", "stopping", "releasing", "starting")
    story.phases("w-0", "starting", "stopping", "failed").step("rolling back", None, "w-0 did not get ready")
    story.step("rolling back", "w-0", "w-0 did not get ready").phases(
        "w-0", "failed", "releasing", "starting", "running"
    )
    story.tell("switch", to="eagle3", outcome="rolled-back", why="w-0 did not get ready")
    found = course(story.events, POOL, NOW)
    assert stages(found.there[0]) == ["drain", "stop", "release", "start!"], "what ends its process is no stage"
    assert stages(found.back[0]) == ["release", "start"]
    assert found.turned is not None


def test_what_was_under_way_when_it_turned_back_has_not_failed() -> None:
    story = Story().restart("w-0").step("rolling back", None, "it was cancelled")
    (trail,) = course(story.events, POOL, NOW).there
    assert stages(trail)[-1] == "smoke test<"
    assert not trail.failed


def test_what_was_before_and_what_is_of_another_pool_counts_for_nothing() -> None:
    story = Story().restart("w-0").tell("switch", outcome="done").tell("worker.phase", "x-0", "x", to="starting")
    since = NOW + timedelta(seconds=len(story.events) - 1)
    assert course(story.events, POOL, since).there == ()
    story.tell("switch", pool="x", outcome="done")
    assert course(story.events, POOL, since).outcome is None


def test_the_end_of_an_edit_is_one_of_every_pool() -> None:
    story = Story().tell("apply", pool=None, outcome="done").tell("switch", pool="x", outcome="done")
    assert last_outcome(story.events, POOL) is story.events[0]
    assert last_outcome(story.events, "x") is story.events[1]


def test_what_is_ahead_depends_on_the_kind_of_change_and_the_gateway() -> None:
    switch = SwitchStatus("switch", "eagle3", "restarting", "w-0", 0, 1, NOW)
    there = Trail("w-0", (Reached(Stage.DRAIN, NOW),), over=False)
    assert to_come(there, switch, routed=True) == (
        Stage.STOP,
        Stage.RELEASE,
        Stage.START,
        Stage.SMOKE,
        Stage.ROUTE,
    )
    edit = SwitchStatus("apply", "b7", "restarting", "w-0", 0, 1, NOW)
    assert to_come(there, edit, routed=False) == (Stage.STOP, Stage.RELEASE, Stage.START)
    live = Trail("w-0", (Reached(Stage.LIVE, NOW),), over=False)
    assert to_come(live, switch, routed=False) == ()

"""The store: the same frames give the same state however they were cut, and nothing is claimed that was not told."""

import copy
from dataclasses import fields
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from qvl.model.api import History
from qvl.model.event import Change, Frame, Heartbeat, Lost, Snapshot
from qvl.model.status import WorkerMetrics, WorkerStatus
from qvl.model.worker import Phase, Wanted
from qvl_tui.store import KEPT_EVENTS, UNCONFIRMED_FOR, LinkPhase, Store, Topic

from tests.tui.fleet import NOW, event, gpu, snapshot, status, worker

NAMES = ("a-0", "a-1", "b-0")


def known(*frames: Frame) -> Store:
    store = Store()
    for n, frame in enumerate(frames):
        store.apply(frame, float(n))
    return store


# --- what changed ---------------------------------------------------------------------------------

phases = st.sampled_from(Phase)
workers = st.builds(worker, st.sampled_from(NAMES), phases, restarts=st.integers(0, 9))
figures = st.builds(WorkerMetrics, running=st.none() | st.integers(0, 9), tokens_per_s=st.none() | st.floats(0, 1e4))
cards = st.builds(
    gpu, st.integers(0, 1), utilization=st.none() | st.floats(0, 1), health=st.sampled_from(("ok", "lost"))
)
fleets = st.lists(workers, max_size=3, unique_by=lambda made: made.name)
frames = st.one_of(
    st.builds(lambda made, seq: Snapshot(seq, NOW, status(*made)), fleets, st.integers(0, 30)),
    st.builds(event, st.integers(1, 30), st.just("something")),
    st.builds(
        lambda made, values, gone, seen: Change(
            NOW, workers=tuple(made), metrics=values, removed=tuple(gone), gpus=None if seen is None else (seen,)
        ),
        fleets,
        st.dictionaries(st.sampled_from(NAMES), figures, max_size=3),
        st.lists(st.sampled_from(NAMES), max_size=1),
        st.none() | cards,
    ),
    st.builds(Heartbeat, st.just(NOW), st.integers(0, 30)),
    st.builds(Lost, st.integers(1, 9)),
)


@given(st.lists(frames, max_size=25))
def test_what_changes_is_always_told(told: list[Frame]) -> None:
    """A field that differs has its topic: else a screen would show what is no longer so."""
    topic_of = {
        "supervisor": Topic.STATE,
        "pools": Topic.STATE,
        "workers": Topic.STATE,
        "asked": Topic.STATE,
        "gpus": Topic.FIGURES,
        "metrics": Topic.FIGURES,
        "events": Topic.EVENTS,
        "lost": Topic.EVENTS,
    }
    store = Store()
    for n, frame in enumerate(told):
        before = copy.deepcopy(store)
        topics = store.apply(frame, float(n))
        for part in fields(Store):
            if part.name in topic_of and getattr(before, part.name) != getattr(store, part.name):
                assert topic_of[part.name] in topics, part.name


@given(st.lists(frames, max_size=25))
def test_nothing_is_remembered_of_workers_that_are_gone(told: list[Frame]) -> None:
    store = known(*told)
    names = set(store.workers)
    assert set(store.metrics) <= names
    assert {subject for subject, _ in store.series if not subject.startswith("gpu:")} <= names


# --- events ---------------------------------------------------------------------------------------


def test_a_resumed_stream_repeats_nothing() -> None:
    store = known(snapshot(seq=3), event(1, "a"), event(2, "b"), event(3, "c"), snapshot(seq=4), event(3, "c"))
    store.apply(event(4, "d"), 9.0)
    assert [known.message for known in store.events] == ["a", "b", "c", "d"]
    assert store.lost == 0
    assert store.last_event == 4


def test_a_gap_in_the_numbers_is_counted_as_lost() -> None:
    assert known(event(1, "a"), event(5, "e")).lost == 3


def test_a_gap_that_the_daemon_told_is_counted_once() -> None:
    assert known(event(1, "a"), Lost(3), event(5, "e"), event(6, "f")).lost == 3


def test_the_first_event_heard_may_have_any_number() -> None:
    assert known(snapshot(seq=70), event(60, "a")).lost == 0


def test_numbers_that_began_anew_are_another_life_of_the_daemon() -> None:
    store = known(snapshot(seq=70), event(70, "old"), snapshot(seq=2), event(1, "new"), event(2, "newer"))
    assert [known.message for known in store.events] == ["new", "newer"]
    assert store.lost == 0


def test_events_are_bounded() -> None:
    assert len(known(*(event(n, "x") for n in range(1, KEPT_EVENTS + 50))).events) == KEPT_EVENTS


# --- asked and confirmed --------------------------------------------------------------------------


def asked(verb: str, what: WorkerStatus) -> Store:
    store = known(snapshot(what, seq=10))
    store.ask(verb, (what.name,), 5.0)
    return store


def test_an_act_changes_nothing_but_what_is_asked() -> None:
    store = asked("stop", worker("a-0"))
    assert store.workers["a-0"] == worker("a-0")
    assert store.asked["a-0"].verb == "stop"


def test_an_act_is_confirmed_when_its_worker_moves() -> None:
    store = asked("stop", worker("a-0"))
    assert Topic.STATE in store.apply(Change(NOW, workers=(worker("a-0", Phase.DRAINING),)), 6.0)
    assert not store.asked


def test_new_figures_confirm_nothing() -> None:
    store = asked("stop", worker("a-0"))
    store.apply(Change(NOW, metrics={"a-0": WorkerMetrics(running=9)}), 6.0)
    assert store.asked


def test_a_start_of_what_is_up_already_is_confirmed_by_the_daemon_being_past_it() -> None:
    store = asked("start", worker("a-0"))
    store.accepted(("a-0",), 12)
    store.apply(Heartbeat(NOW, 11), 6.0)
    assert store.asked
    store.apply(Heartbeat(NOW, 12), 7.0)
    assert not store.asked


def test_a_restart_is_not_confirmed_by_the_worker_still_being_up() -> None:
    store = asked("restart", worker("a-0"))
    store.accepted(("a-0",), 10)
    store.apply(Heartbeat(NOW, 12), 7.0)
    assert store.asked
    store.apply(Change(NOW, workers=(worker("a-0", pid=1, since=NOW),)), 8.0)
    assert not store.asked


def test_an_act_that_was_refused_or_leads_nowhere_is_forgotten() -> None:
    store = asked("restart", worker("a-0"))
    store.refused(("a-0",))
    assert not store.asked
    store = asked("restart", worker("a-0"))
    assert store.expire(5.0 + UNCONFIRMED_FOR) == set()
    assert store.expire(5.1 + UNCONFIRMED_FOR) == {Topic.STATE}
    assert not store.asked


def test_an_act_on_a_worker_that_is_removed_is_forgotten() -> None:
    store = asked("stop", worker("a-0"))
    store.apply(Change(NOW, removed=("a-0",)), 6.0)
    assert not store.asked


# --- the link, ages, rights -----------------------------------------------------------------------


def test_the_daemons_clock_runs_on_between_frames() -> None:
    store = known(Heartbeat(NOW, 1))
    assert store.now(12.5) == NOW + timedelta(seconds=12.5)
    assert store.age(12.5) == 12.5
    assert Store().now(1.0) is None
    assert Store().age(1.0) is None


def test_a_further_failed_attempt_does_not_make_the_loss_younger() -> None:
    store = Store()
    store.linked(LinkPhase.DOWN, 5.0, "refused")
    store.linked(LinkPhase.DOWN, 9.0, "no such file")
    assert (store.link.since, store.link.reason) == (5.0, "no such file")


def test_who_may_act() -> None:
    assert Store(role="operator").may_act
    assert not Store(role="viewer").may_act
    assert not Store(role="operator", readonly=True).may_act


def test_history_begins_the_charts_and_strangers_in_it_are_left_out() -> None:
    store = known(snapshot(worker("a-0")))
    store.seed(
        History(5.0, [1.0, 2.0], {"a-0": {"tokens_per_s": [1.0, None]}, "z-9": {}}, {"0": {"utilization": [0.5, 0.6]}})
    )
    assert store.shown.samples("a-0", "tokens_per_s") == (1.0, None)
    assert store.shown.samples("gpu:0", "utilization") == (0.5, 0.6)
    assert store.shown.samples("z-9", "tokens_per_s") == ()


def test_figures_are_seen_when_published() -> None:
    store = known(snapshot(worker("a-0", wanted=Wanted.UP)))
    store.apply(Change(NOW, metrics={"a-0": WorkerMetrics(running=9)}), 3.0)
    assert store.shown.metrics["a-0"].running == 3
    store.publish()
    assert store.shown.metrics["a-0"].running == 9


def test_history_does_not_shorten_what_is_remembered_here() -> None:
    store = known(snapshot(worker("a-0")), *(Change(NOW, metrics={"a-0": WorkerMetrics(running=n)}) for n in range(5)))
    store.seed(History(5.0, [1.0], {"a-0": {"running": [7.0]}}, {}))
    assert store.shown.samples("a-0", "running") == (3, 0, 1, 2, 3, 4)

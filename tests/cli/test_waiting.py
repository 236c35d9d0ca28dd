"""The verdicts of a wait, decided from frames alone."""

from typing import cast

import msgspec
import pytest
from qvl.cli.progress import facts_of
from qvl.cli.waiting import (
    DONE,
    FAILED,
    READY,
    RESTARTED,
    SETTLED,
    STOPPED,
    WAITING,
    Fleet,
    TransactionGoal,
    Verdict,
    WorkerGoal,
    advice,
    failure,
)
from qvl.client.documents import FrameDoc, PoolDoc, StatusDoc, SwitchDoc, WorkerDoc

from tests.fakes import fleet

DOC = cast("StatusDoc", msgspec.to_builtins(fleet()))
SWITCH: SwitchDoc = {
    "kind": "switch",
    "to": "eagle3",
    "step": "restarting",
    "worker": "qwen3-vl-0",
    "done": 0,
    "total": 3,
    "started_at": "2026-01-02T03:04:05Z",
}


def worker(name: str = "qwen3-vl-0", **changed: object) -> WorkerDoc:
    found = next(doc for doc in DOC["workers"] if doc["name"] == name)
    return cast("WorkerDoc", {**found, **changed})


def change(*workers: WorkerDoc, **more: object) -> FrameDoc:
    return cast("FrameDoc", {"type": "change", "at": "", "workers": list(workers), **more})


def goal(kind: str, *names: str, acted: bool = True) -> WorkerGoal:
    """Of an act that came after event 5, and of which the stream has told with event 6."""
    return WorkerGoal(kind, names or ("qwen3-vl-0",), Fleet(DOC), after=5 if acted else None, seen=6)


def test_start_is_done_at_once_where_all_is_ready() -> None:
    assert goal(READY).verdict().state == DONE


def test_restart_is_not_done_while_the_old_process_answers() -> None:
    restart = goal(RESTARTED)
    assert restart.verdict().state == WAITING
    restart.see(change(worker(phase="starting", ready=False, since="later", pid=77)))
    assert restart.verdict().state == WAITING
    restart.see(change(worker(phase="running", ready=False, since="later still", pid=77)))
    assert restart.verdict().state == WAITING
    restart.see(change(worker(phase="running", ready=True, since="later still", pid=77)))
    assert restart.verdict().state == DONE


def test_restart_fails_once_it_comes_to_no_more_workers() -> None:
    restart = goal(RESTARTED, "qwen3-vl-0", "qwen3-vl-1")
    event = {"type": "event", "at": "", "kind": "restart", "severity": "error", "pool": "qwen3-vl", "seq": 5}
    event |= {"message": "it was cancelled", "data": {"outcome": "failed"}}
    restart.see(cast("FrameDoc", event))
    assert restart.verdict().state == WAITING  # that was an earlier one
    restart.see(cast("FrameDoc", {**event, "seq": 6, "pool": "chat"}))
    assert restart.verdict().state == WAITING
    restart.see(cast("FrameDoc", {**event, "seq": 7}))
    verdict = restart.verdict()
    assert (verdict.state, verdict.message) == (FAILED, "it was cancelled")


def test_start_of_a_failed_worker_does_not_fail_by_its_old_failure() -> None:
    start = goal(READY, "chat-0")
    assert start.verdict().state == WAITING
    start.see(change(worker("chat-0", phase="starting", since="later")))
    start.see(change(worker("chat-0", phase="failed", since="later still", reason="no such model", hint="fetch it")))
    verdict = start.verdict()
    assert (verdict.state, verdict.message, verdict.hint) == (FAILED, "chat-0 failed: no such model", "fetch it")
    assert verdict.worker is not None


def test_wait_for_ready_fails_by_a_failure_that_is_there_already() -> None:
    assert goal(READY, "chat-0", acted=False).verdict().state == FAILED


def test_what_the_stream_tells_of_the_time_before_the_act_is_no_answer() -> None:
    """A worker gets ready just as its restart is asked for: that is still told, and is of the old process."""
    restart = WorkerGoal(RESTARTED, ["qwen3-vl-1"], Fleet(DOC), after=8, seen=5)
    restart.see(cast("FrameDoc", {"type": "event", "seq": 7, "at": "", "kind": "worker.phase", "message": ""}))
    restart.see(change(worker("qwen3-vl-1", phase="running", ready=True, since="later")))
    assert restart.verdict().state == WAITING
    restart.see(cast("FrameDoc", {"type": "heartbeat", "seq": 9, "at": ""}))
    assert restart.verdict().state == WAITING
    restart.see(change(worker("qwen3-vl-1", phase="running", ready=True, since="later still")))
    assert restart.verdict().state == DONE


def test_what_a_worker_became_just_before_its_stop_is_nobody_elses_act() -> None:
    """The daemon tells of an event first, and then what the workers are since."""
    stop = WorkerGoal(STOPPED, ["qwen3-vl-1"], Fleet(DOC), after=6, seen=5)
    stop.see(cast("FrameDoc", {"type": "event", "seq": 6, "at": "", "kind": "worker.phase", "message": ""}))
    stop.see(change(worker("qwen3-vl-1", phase="running", ready=True, since="later")))
    stop.see(cast("FrameDoc", {"type": "event", "seq": 7, "at": "", "kind": "act", "message": ""}))
    assert stop.verdict().state == WAITING
    stop.see(change(worker("qwen3-vl-1", phase="stopped", wanted="down", since="later still")))
    assert stop.verdict().state == DONE


def test_backoff_is_no_verdict() -> None:
    assert goal(READY, "qwen3-vl-2", acted=False).verdict().state == WAITING


def test_all_must_be_there_and_one_failure_is_enough() -> None:
    both = goal(READY, "qwen3-vl-0", "qwen3-vl-1")
    assert (both.verdict().state, both.behind()) == (WAITING, ["qwen3-vl-1"])
    both.see(change(worker("qwen3-vl-1", phase="failed", since="later")))
    assert both.verdict().state == FAILED


def test_somebody_else_may_undo_what_is_waited_for() -> None:
    start = goal(READY, "qwen3-vl-1")
    start.see(change(worker("qwen3-vl-1", phase="stopping", wanted="down", since="later")))
    assert (start.verdict().state, "somebody else" in start.verdict().message) == (FAILED, True)
    stop = goal(STOPPED)
    stop.see(change(worker(phase="starting", wanted="up", since="later")))
    assert (stop.verdict().state, "somebody else" in stop.verdict().message) == (FAILED, True)


@pytest.mark.parametrize("phase", ["draining", "stopping", "releasing"])
def test_stop_is_not_done_before_the_gpu_is_free(phase: str) -> None:
    stop = goal(STOPPED)
    stop.see(change(worker(phase=phase, ready=False, wanted="down", since="later")))
    assert stop.verdict().state == WAITING
    stop.see(change(worker(phase="stopped", ready=False, wanted="down", since="later still", pid=None)))
    assert stop.verdict().state == DONE


def test_a_failed_worker_that_is_wanted_down_is_stopped() -> None:
    stop = goal(STOPPED, "chat-0")
    stop.see(change(worker("chat-0", wanted="down")))
    assert stop.verdict().state == DONE


def test_settled_is_ready_or_failed_or_not_wanted() -> None:
    settled = goal(SETTLED, "qwen3-vl-0", "qwen3-vl-1", "chat-0", acted=False)
    assert settled.behind() == ["qwen3-vl-1"]
    settled.see(change(worker("qwen3-vl-1", wanted="down", phase="stopping")))
    assert settled.verdict().state == DONE


def test_a_removed_worker_is_stopped_and_never_ready() -> None:
    for kind, state in ((STOPPED, DONE), (READY, FAILED)):
        gone = goal(kind, "qwen3-vl-1")
        gone.see(change(removed=["qwen3-vl-1"]))
        assert gone.verdict().state == state


def test_a_snapshot_after_a_lost_connection_counts() -> None:
    start = goal(READY, "qwen3-vl-1")
    doc = {**DOC, "workers": [worker("qwen3-vl-1", phase="running", ready=True, since="later")]}
    start.see(cast("FrameDoc", {"type": "snapshot", "seq": 9, "at": "", "status": doc}))
    assert start.verdict().state == DONE


def test_figures_and_cards_reach_the_document() -> None:
    known = Fleet(DOC)
    known.see(change(metrics={"qwen3-vl-0": {"running": 99}, "stranger": {}}, gpus=[]))
    document = known.document()
    assert document["workers"][0]["metrics"]["running"] == 99
    assert document["gpus"] == []
    assert (document["version"], document["supervisor"]) == (1, DOC["supervisor"])
    assert document["pools"] == list(DOC["pools"])


def pools(profile: str, switch: SwitchDoc | None) -> FrameDoc:
    pool = cast("PoolDoc", {**DOC["pools"][0], "profile": profile, "switch": switch})
    return change(pools=[pool, DOC["pools"][1]])


def ended(outcome: str, *, seq: int = 10, kind: str = "switch", pool: str | None = "qwen3-vl") -> FrameDoc:
    data = {"outcome": outcome}
    frame = {"type": "event", "seq": seq, "at": "", "kind": kind, "message": "so it ended", "pool": pool, "data": data}
    return cast("FrameDoc", frame)


def switch(*frames: FrameDoc) -> Verdict:
    transaction = TransactionGoal("switch", Fleet(DOC), seq=5, pool="qwen3-vl", profile="eagle3")
    for frame in frames:
        transaction.see(frame)
    return transaction.verdict()


def test_a_switch_is_waited_for_before_it_has_begun() -> None:
    assert switch().state == WAITING
    assert switch(pools("standard", SWITCH)).state == WAITING


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("done", DONE), ("rolled-back", FAILED), ("cancelled", FAILED), ("failed", FAILED), ("new-fangled", FAILED)],
)
def test_a_switch_ends_as_its_event_says(outcome: str, state: str) -> None:
    verdict = switch(pools("standard", SWITCH), ended(outcome))
    assert (verdict.state, verdict.message) == (state, "so it ended")


def test_the_end_of_another_transaction_is_none_of_ours() -> None:
    assert switch(ended("done", seq=5)).state == WAITING
    assert switch(ended("done", pool="chat")).state == WAITING
    assert switch(ended("done", kind="apply")).state == WAITING


def test_where_the_event_was_missed_the_pool_tells() -> None:
    assert switch(pools("standard", SWITCH), pools("eagle3", None)).state == DONE
    back = switch(pools("standard", SWITCH), pools("standard", None))
    assert (back.state, back.message) == (FAILED, "qwen3-vl runs standard again, not eagle3")


def test_a_switch_that_was_over_before_it_was_seen() -> None:
    assert switch(pools("eagle3", None)).state == DONE


def test_an_apply_that_was_over_before_it_was_seen() -> None:
    config = {**DOC["supervisor"]["config"], "applied": "r2", "revision": "r2"}
    apply = TransactionGoal("apply", Fleet(DOC), seq=5, revision="r2")
    assert apply.verdict().state == WAITING
    apply.see(change(supervisor={**DOC["supervisor"], "config": config}))
    assert apply.verdict().state == DONE


def test_an_apply_ends_with_its_revision() -> None:
    config = DOC["supervisor"]["config"]

    def verdict(applied: str, error: str | None) -> Verdict:
        apply = TransactionGoal("apply", Fleet(DOC), seq=5, revision="r2")
        apply.see(pools("standard", SWITCH))
        after = {**DOC["supervisor"], "config": {**config, "applied": applied, "error": error}}
        apply.see(cast("FrameDoc", {**pools("standard", None), "supervisor": after}))
        return apply.verdict()

    assert verdict("r2", None).state == DONE
    failed = verdict("r1", "qwen3-vl-0 did not get ready")
    assert (failed.state, failed.message) == (FAILED, "qwen3-vl-0 did not get ready")


def test_a_failure_says_what_is_known() -> None:
    assert failure(worker(reason=None, last_exit=None)) == "qwen3-vl-0 failed: no reason is known"
    assert "qvlctl logs qwen3-vl-0" in advice(worker(reason=None, last_exit=None, hint=None))


def test_what_stays_on_screen_of_a_switch_is_its_steps_and_why_it_goes_back() -> None:
    transaction = TransactionGoal("switch", Fleet(DOC), seq=5, pool="qwen3-vl", profile="eagle3")
    for switch, told in (
        (SWITCH, {"qwen3-vl-0": "restarting"}),
        ({**SWITCH, "step": "smoke test", "percent": 30}, {"qwen3-vl-0": "smoke test"}),
        (
            {**SWITCH, "step": "rolling back", "why": "out of memory"},
            {"qwen3-vl-0": "rolling back", "qwen3-vl": "rolling back: out of memory"},
        ),
    ):
        transaction.see(change(pools=[{**DOC["pools"][0], "switch": switch}, *DOC["pools"][1:]]))
        assert facts_of(transaction) == told

"""The ends of a worker are told as the journal has them, whoever wrote it."""

from datetime import UTC, datetime, timedelta

from qvl.daemon.details import EXITS, past_exits
from qvl.model.event import Event
from qvl.model.worker import Cause, Exit, Wanted, WorkerRecord

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOTHING = WorkerRecord(name="chat-0", pool="chat", wanted=Wanted.UP)


def event(seq: int, worker: str = "chat-0", kind: str = "worker.exit", **data: object) -> Event:
    known: dict[str, object] = {"cause": "hang", "code": None, "signal": 9, "evidence": f"number {seq}"}
    return Event(seq=seq, at=NOW + timedelta(seconds=seq), kind=kind, message="", worker=worker, data=known | data)


def test_the_newest_first_and_of_this_worker_alone() -> None:
    told = past_exits([event(1), event(2, "chat-1"), event(3, kind="worker.phase"), event(4)], NOTHING)
    assert [end.evidence for end in told] == ["number 4", "number 1"]
    assert told[0].at == NOW + timedelta(seconds=4)


def test_no_more_than_so_many() -> None:
    told = past_exits([event(seq) for seq in range(50)], NOTHING)
    assert [end.evidence for end in told] == [f"number {seq}" for seq in range(49, 49 - EXITS, -1)]


def test_all_that_was_written_down_is_told_and_what_was_not_is_unknown() -> None:
    more = event(1, hint="restart it", was_ready=True, lived_s=640.5, profile="standard")
    new, old = past_exits([event(0), more], NOTHING)
    assert (new.cause, new.signal, new.code) == (Cause.HANG, 9, None)
    assert (new.hint, new.was_ready, new.lived_s, new.profile) == ("restart it", True, 640.5, "standard")
    assert (old.hint, old.was_ready, old.lived_s, old.profile) == (None, None, None, None)


def test_what_no_daemon_of_ours_wrote_is_passed_over() -> None:
    assert past_exits([event(1, cause="boredom"), event(2, code="nought")], NOTHING) == ()


def test_a_journal_that_was_lost_leaves_the_last_end() -> None:
    last = Exit(NOW.timestamp(), Cause.KILLED, signal=9, evidence="killed by signal 9")
    record = WorkerRecord(name="chat-0", pool="chat", wanted=Wanted.UP, last_exit=last)
    (told,) = past_exits([], record)
    assert (told.at, told.cause, told.signal, told.evidence) == (NOW, Cause.KILLED, 9, "killed by signal 9")
    assert told.lived_s is None

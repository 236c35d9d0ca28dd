"""The suite can find something: each invariant is shown what it is there to find, and what it must let pass."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qvl.config.load import load
from qvl.shim import proc

from tests.chaos.churn import broken
from tests.chaos.draw import KINDS, draw
from tests.chaos.fleet import Fleet
from tests.chaos.invariants import (
    DESCRIPTORS,
    MEMORY,
    History,
    Seen,
    Span,
    growth,
    misfits,
    spawns,
    strays,
    unexplained,
    unfair,
    unready,
)
from tests.chaos.ledger import chatter_faults, count_faults
from tests.chaos.load import Failed
from tests.chaos.watch import Identity, doubles


def worker(name: str = "chat-0", **fields: Any) -> dict[str, Any]:
    return {"name": name, "wanted": "up", "phase": "running", "ready": True, "reason": None, **fields}


def phase(seq: int, old: str, new: str, name: str = "chat-0") -> dict[str, Any]:
    data = {"from": old, "to": new}
    return {"type": "event", "seq": seq, "kind": "worker.phase", "worker": name, "data": data, "message": ""}


def ending(seq: int, cause: str = "killed", message: str = "ended", signal: int | None = 9) -> dict[str, Any]:
    data = {"cause": cause, "code": None, "signal": signal}
    return {"type": "event", "seq": seq, "kind": "worker.exit", "worker": "chat-0", "data": data, "message": message}


# ---- the draw


def test_a_seed_plays_again() -> None:
    assert [draw(7, number) for number in range(50)] == [draw(7, number) for number in range(50)]
    assert [draw(7, number) for number in range(50)] != [draw(8, number) for number in range(50)]
    drawn = [draw(7, number) for number in range(300)]
    assert {fault.kind for faults in drawn for fault in faults} == set(KINDS)
    assert {len(faults) for faults in drawn} == {1, 2, 3}
    assert all(
        fault.kind in ("hangups", "fill-disk") for n in range(20) for fault in draw(7, n, ("hangups", "fill-disk"))
    )


@pytest.mark.parametrize("variant", range(3))
def test_a_broken_file_is_broken(variant: int, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, None)
    try:
        assert load(fleet.config_file).config is not None
        fleet.write(broken(fleet.config, variant))
        assert load(fleet.config_file).config is None
    finally:
        fleet.close()


# ---- 1


def test_who_is_not_up_is_named() -> None:
    assert not unready([worker()], ["chat-0"])
    assert unready([worker(ready=False, phase="failed", reason="no room")], ["chat-0"]) == [
        "chat-0 is wanted up and failed: no room"
    ]
    assert unready([worker(wanted="down", phase="stopped", ready=False)], ["chat-0"])
    assert unready([], ["chat-0"]) == ["chat-0 is missing from the status"]
    assert unready([worker(), worker("chat-9")], ["chat-0"]) == ["chat-9 is in the status, and nobody configured it"]


def test_who_waits_and_does_not_say_why_is_named() -> None:
    waits = worker(ready=False, phase="releasing")
    assert unexplained([waits], {"chat-0": 60.0})
    assert not unexplained([waits], {"chat-0": 1.0})
    assert not unexplained([{**waits, "reason": "GPU 0 is held"}], {"chat-0": 60.0})


# ---- 2 and 3

PROCESSES = [
    Seen(10, 1, "qvl-supervisor", None),
    Seen(20, 10, "qvl-shim", "chat-0"),
    Seen(30, 20, "python3", None),
    Seen(31, 30, "sglang::schedul", None),
]


def test_a_process_of_nobody_is_found() -> None:
    assert not strays(PROCESSES, 10, {"chat-0": 30})
    assert strays([*PROCESSES, Seen(40, 1, "sleep", None)], 10, {"chat-0": 30}) == [
        "pid 40 (sleep) belongs to nobody, its parent is 1"
    ]
    assert strays(PROCESSES, 10, {}), "its worker is not in the status"
    assert strays(PROCESSES, 10, {"chat-0": 31}), "the status names another root"
    assert strays(PROCESSES, 10, {"chat-0": 99}), "the status names a root that is not there"
    assert strays([*PROCESSES, Seen(21, 10, "qvl-shim", "chat-0")], 10, {"chat-0": 30}), "two shims"


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_two_roots_at_once_are_found(sleepers: list[subprocess.Popen[bytes]]) -> None:
    identities: set[Identity] = {(process.pid, proc.start_time(process.pid) or 0) for process in sleepers}
    roots = {"chat-0": set(identities), "chat-1": {next(iter(identities))}}
    [found] = doubles(roots)
    assert found.startswith("chat-0 has 2 roots at once")
    sleepers[0].kill()
    sleepers[0].wait()
    assert not doubles(roots)


def test_a_start_that_is_told_of_once_and_logged_twice_is_found() -> None:
    def found(told: int, runs: int, never: int = 0, *, unsure: bool = False) -> list[str]:
        return spawns({"chat-0": told}, {"chat-0": runs}, {"chat-0": never}, unsure=unsure)

    assert not found(2, 2)
    assert found(1, 2)
    assert found(1, 2, unsure=True)
    assert found(2, 1)
    assert not found(2, 1, never=1)
    assert not found(2, 1, unsure=True)


# ---- 4


def chatter(*numbers: int) -> bytes:
    return b"".join(b"[2026-01-01 00:00:00] Simulated chatter, line %d\nother output\n" % number for number in numbers)


LOSS = b"[qvl] 120 bytes of output were lost: No space left on device\n"


def test_chatter_that_is_lost_doubled_or_torn_is_found() -> None:
    assert not chatter_faults(chatter(0, 1, 2))
    assert not chatter_faults(chatter(0, 1) + LOSS + chatter(5))
    assert not chatter_faults(chatter(*range(64)).removesuffix(b"3\nother output\n") + b"\n" + LOSS + chatter(70))
    assert chatter_faults(chatter(*range(64)).removesuffix(b"3\nother output\n") + b"\n" + chatter(70))
    assert not chatter_faults(chatter(0, 1) + b"bar 10%\r" + LOSS + chatter(5))
    assert chatter_faults(chatter(0, 2)) == ["line 2 where 1 was due"]
    assert chatter_faults(chatter(0, 1, 1))
    assert chatter_faults(chatter(1)), "the first is missing"
    assert chatter_faults(chatter(0, 1, 2) + LOSS + chatter(1)), "a loss is no reason to repeat"
    assert chatter_faults(chatter(0) + LOSS + chatter(3, 5)), "it excuses one gap"
    assert chatter_faults(chatter(0)[:-20] + b"\n" + chatter(1))


def counted(first: int, end: int) -> bytes:
    return b"".join(b"line %d of 77.\n" % number for number in range(first, end))


def with_loss(upto: int, cut: int, resume: int, end: int, wrong: int = 0) -> bytes:
    """Lines 1 to `upto`, `cut` bytes more, then a marker for all that is missing, and on from `resume`."""
    missing = counted(upto, resume)
    part, lost = missing[:cut], missing[cut:]
    note = b"[qvl] %d bytes of output were lost: No space left on device\n" % (len(lost) + wrong)
    return counted(1, upto) + part + (b"" if part.endswith(b"\n") or not part else b"\n") + note + counted(resume, end)


def test_counted_lines_add_up_to_the_byte() -> None:
    whole = counted(1, 200)
    assert not count_faults(whole, cut=False, noted=199)
    assert not count_faults(whole, cut=False, noted=198), "it died before it could note the last one"
    assert not count_faults(whole, cut=False, noted=None), "it runs"
    assert not count_faults(whole[:-50], cut=True, noted=199), "its shim was killed"
    assert count_faults(whole, cut=False, noted=200), "the last line is missing"
    assert count_faults(whole[:-5], cut=False, noted=199), "the last line is torn"
    assert count_faults(counted(1, 50) + counted(51, 100), cut=True, noted=None)
    assert count_faults(counted(1, 50) + counted(49, 100), cut=True, noted=None)
    assert count_faults(counted(1, 50) + b"line 50 o\n" + counted(50, 60), cut=True, noted=None)


def test_any_cut_by_a_full_disk_adds_up_and_any_wrong_count_does_not() -> None:
    rng = random.Random(1)
    for _ in range(300):
        upto, more = rng.randrange(1, 120), rng.randrange(1, 120)
        cut = rng.randrange(len(counted(upto, upto + more)))
        right = with_loss(upto, cut, upto + more, upto + more + 5)
        assert not count_faults(right, cut=False, noted=upto + more + 4), right
        wrong = with_loss(upto, cut, upto + more, upto + more + 5, wrong=rng.choice((-9, -2, 2, 9)))
        assert count_faults(wrong, cut=False, noted=upto + more + 4), wrong


def test_a_loss_at_the_end_counts_too() -> None:
    told = with_loss(20, 7, 40, 40)
    assert not count_faults(told, cut=False, noted=39)
    assert count_faults(told, cut=False, noted=60)
    assert count_faults(counted(1, 20), cut=False, noted=39)


# ---- 5


def test_a_gap_in_the_numbers_is_found() -> None:
    history = History()
    assert not history.take([phase(1, "stopped", "releasing"), phase(2, "releasing", "starting")], daemon_died=False)
    assert history.take([phase(4, "starting", "running")], daemon_died=False) == ["event 4 follows 2"]
    assert history.take([{"type": "lost", "lost": 3}], daemon_died=False)


def test_a_transition_that_nobody_told_is_found() -> None:
    history = History()
    assert not history.take([phase(1, "stopped", "releasing")], daemon_died=False)
    assert history.take([phase(2, "starting", "running")], daemon_died=True) == [
        "event 2: chat-0 goes from starting to running, but it was releasing"
    ]


def test_an_end_without_a_cause_is_found() -> None:
    def come_to(*events: dict[str, Any], died: bool = False) -> list[str]:
        history = History()
        start = [phase(1, "stopped", "releasing"), phase(2, "releasing", "starting"), phase(3, "starting", "running")]
        assert not history.take(start, daemon_died=False)
        return history.take(events, daemon_died=died)

    assert not come_to(ending(4), phase(5, "running", "backoff"))
    assert come_to(phase(4, "running", "backoff")) == [
        "event 4: chat-0 goes from running to backoff without a worker.exit"
    ]
    assert not come_to(phase(4, "running", "backoff"), died=True)
    again = (phase(6, "backoff", "releasing"), phase(7, "releasing", "starting"), phase(8, "starting", "backoff"))
    assert come_to(ending(4), phase(5, "running", "backoff"), *again), "one end explains one transition"


def test_an_end_that_no_fault_explains_is_found() -> None:
    history = History()
    history.take([phase(1, "stopped", "starting"), ending(2), phase(3, "starting", "backoff")], daemon_died=False)
    ends = history.take_ends()
    assert not misfits(ends, {"chat-0": {"killed"}})
    assert misfits(ends, {"chat-0": {"hang"}}) == ["chat-0 ended by killed; ['hang'] would fit"]
    assert misfits(ends, {"chat-1": {"killed"}}) == ["chat-0 ended by killed; nobody touched it"]
    assert history.take_ends() == []


def test_starts_that_came_to_nothing_are_counted() -> None:
    history = History()
    history.take(
        [phase(1, "stopped", "starting"), ending(2, message="ended: disk-full (never started)", signal=None)],
        daemon_died=False,
    )
    assert (history.starts["chat-0"], history.never_started["chat-0"]) == (1, 1)


# ---- 6 and 7


def test_growth_is_found() -> None:
    assert not growth((40, 60_000), (40 + DESCRIPTORS, 60_000 + MEMORY))
    assert growth((40, 60_000), (41 + DESCRIPTORS, 60_000))
    assert growth((40, 60_000), (40, 60_001 + MEMORY))


def test_a_request_that_failed_for_no_reason_is_found() -> None:
    failed = [Failed("chat-0", 10.0, 12.0, "ConnectionResetError")]
    assert unfair(failed, [])
    assert unfair(failed, [Span(0.0, 20.0, {"chat-1"})]), "another one was hit"
    assert unfair(failed, [Span(0.0, 9.0, {"chat-0"}), Span(13.0, 20.0, {"chat-0"})]), "before and after"
    assert not unfair(failed, [Span(0.0, 10.5, {"chat-0"})])
    assert not unfair(failed, [Span(11.0, 20.0, {"chat-0"})])

"""What is left of a tree whose shim is gone is found and ended, and nothing else is; why it ended is told."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from qvl.daemon.ending import RUN, end_of, kill_leftovers, survivors, variable
from qvl.model.worker import Cause, Process, Wanted, WorkerRecord
from qvl.shim import proc
from qvl.shim.wire import EXIT_NAME

from tests.support import wait_until

WORD = uuid.uuid4().hex
"""Of this test process alone: others run beside it, and each ends what bears its word."""

TREE = """
import os, signal, sys, time
def child(*, session, twice):
    if os.fork():
        return
    if session:
        os.setsid()
    if twice and os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(60)
    os._exit(0)
child(session=False, twice=False)
child(session=False, twice=True)
child(session=True, twice=False)
child(session=True, twice=True)
os.write(1, b"%d\\n" % os.getpid())
time.sleep(60)
"""
"""A root with four children that ignore SIGTERM, two of them in sessions of their own, two without a parent."""


@contextmanager
def tree(word: str = WORD) -> Iterator[tuple[Process, list[int]]]:
    """A root without a shim, and the pids of all five."""
    root = subprocess.Popen(
        [sys.executable, "-c", TREE],
        env={**os.environ, RUN: word},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with root:
        assert root.stdout is not None
        pids = [int(root.stdout.readline()) for _ in range(5)]
        try:
            yield identity(root.pid, word), pids
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def identity(pid: int, word: str = WORD) -> Process:
    start = proc.start_time(pid)
    assert start is not None
    return Process(
        pid=pid,
        pid_start=start,
        shim_pid=2**22 + 1,  # beyond the kernel's pid_max: nobody
        shim_start=1,
        boot_id=proc.boot_id(),
        started_at=time.time(),
        started_mono=time.monotonic(),
        log_offset=0,
        run=word,
    )


def alive(pids: list[int]) -> set[int]:
    return {pid for pid in pids if (found := proc.read(pid)) is not None and found.state not in proc.DEAD_STATES}


def found(process: Process) -> set[int]:
    return {member.pid for member in survivors(process)}


def test_every_process_of_a_tree_is_found_by_session_parent_or_word() -> None:
    with tree() as (process, pids), subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        try:
            assert found(process) == set(pids)
        finally:
            stranger.kill()


def test_without_a_word_those_of_the_session_and_their_children_are() -> None:
    with tree() as (process, pids):
        without = found(msgspec.structs.replace(process, run=""))
        assert process.pid in without
        assert without < set(pids)  # who left the session and lost the parent can't be told from a stranger


def test_nothing_is_ours_of_another_boot() -> None:
    with tree() as (process, _):
        assert found(msgspec.structs.replace(process, boot_id="another")) == set()


def test_a_process_with_the_pid_of_a_root_that_is_gone_is_a_stranger() -> None:
    """The session's number belongs to another leader now: its members are none of ours."""
    with tree(word="another-word") as (stranger, _):
        ours = msgspec.structs.replace(stranger, pid_start=stranger.pid_start - 1, run=WORD)
        assert found(ours) == set()


def test_what_a_dead_shim_left_is_killed_down_to_the_last_process() -> None:
    with tree() as (process, pids):
        assert asyncio.run(kill_leftovers(process))
        assert alive(pids) == set()


def test_the_root_may_have_gone_before_the_rest() -> None:
    with tree() as (process, pids):
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not alive([process.pid]), what="the root's end")
        assert len(found(process)) == 4
        assert asyncio.run(kill_leftovers(process))
        assert alive(pids) == set()


def test_a_living_shim_is_left_to_its_work() -> None:
    with tree() as (process, pids):
        me = os.getpid()
        start = proc.start_time(me)
        assert start is not None
        assert asyncio.run(kill_leftovers(msgspec.structs.replace(process, shim_pid=me, shim_start=start)))
        assert alive(pids) == set(pids)


def test_a_variable_of_a_process_is_read_and_nothing_of_one_that_is_gone() -> None:
    with tree() as (process, _):
        assert variable(process.pid, RUN) == WORD
        assert variable(process.pid, "QVL") == ""
    assert variable(process.pid, RUN) == ""


# ---- the sentence


def record(process: Process | None, generation: int = 3) -> WorkerRecord:
    return WorkerRecord(name="chat-0", pool="chat", wanted=Wanted.UP, generation=generation, process=process)


def write_exit(bundle: Path, **more: object) -> None:
    document = {
        "protocol": 1,
        "generation": 3,
        "pid": 1,
        "code": None,
        "signal": 9,
        "at": 1000.5,
        "at_mono": 1.0,
        "gone": True,
        "log_end": 0,
        "lost_bytes": 0,
        **more,
    }
    (bundle / EXIT_NAME).write_text(json.dumps(document))


@pytest.fixture
def process() -> Process:
    return identity(os.getpid())


def test_the_end_is_what_the_shim_wrote_and_the_log_says(tmp_path: Path, process: Process) -> None:
    log = tmp_path / "log"
    log.mkdir()
    earlier = b"torch.OutOfMemoryError: CUDA out of memory.\n"  # of the run before
    (log / f"{0:016d}.log").write_bytes(earlier + b"error: unrecognized arguments: --x\n")
    write_exit(tmp_path, code=2, signal=None)
    found = end_of(tmp_path, record(msgspec.structs.replace(process, log_offset=len(earlier))), log, was_ready=False)
    assert (found.cause, found.code, found.signal, found.at) == (Cause.BAD_ARGUMENTS, 2, None, 1000.5)
    assert "--x" in (found.evidence or "")


def test_a_log_that_is_gone_costs_the_evidence_alone(tmp_path: Path, process: Process) -> None:
    write_exit(tmp_path)
    found = end_of(tmp_path, record(process), tmp_path / "absent", was_ready=True)
    assert (found.cause, found.signal) == (Cause.KILLED, 9)


@pytest.mark.parametrize("content", [None, "", "{", '{"generation": 3}'])
def test_an_end_that_nobody_wrote_down_says_so(tmp_path: Path, process: Process, content: str | None) -> None:
    if content is not None:
        (tmp_path / EXIT_NAME).write_text(content)
    found = end_of(tmp_path, record(process), tmp_path, was_ready=True)
    assert (found.cause, found.code, found.signal) == (Cause.KILLED, None, None)
    assert "nobody saw it end" in (found.evidence or "")


def test_the_end_of_an_earlier_run_is_not_taken_for_this_ones(tmp_path: Path, process: Process) -> None:
    write_exit(tmp_path, generation=2, signal=None, code=0)
    assert "nobody saw" in (end_of(tmp_path, record(process), tmp_path, was_ready=True).evidence or "")


@pytest.mark.parametrize(
    ("before", "now", "signal_number", "cause"),
    [
        (3, 4, 9, Cause.OUT_OF_HOST_MEMORY),
        (3, 3, 9, Cause.KILLED),
        (None, 4, 9, Cause.KILLED),  # adopted: nobody knows how often it was there before
        (3, 4, None, Cause.BAD_ARGUMENTS),
    ],
)
def test_the_kernel_s_own_count_of_oom_kills_decides_what_a_signal_can_t(
    tmp_path: Path, process: Process, before: int | None, now: int, signal_number: int | None, cause: Cause
) -> None:
    group = tmp_path / "group"
    group.mkdir()
    (group / "memory.events").write_text(f"low 0\noom 1\noom_kill {now}\n")
    (tmp_path / f"{0:016d}.log").write_bytes(b"error: unrecognized arguments: --x\n" if signal_number is None else b"")
    write_exit(tmp_path, signal=signal_number, code=None if signal_number else 2)
    mine = msgspec.structs.replace(process, cgroup=str(group), oom_kills=before)
    found = end_of(tmp_path, record(mine), tmp_path, was_ready=False)
    assert found.cause is cause


def test_what_a_process_that_we_killed_had_said_before_is_heard(tmp_path: Path, process: Process) -> None:
    (tmp_path / f"{0:016d}.log").write_bytes(b"OSError: [Errno 98] address already in use\n")
    write_exit(tmp_path)
    found = end_of(tmp_path, record(process), tmp_path, was_ready=False, condemned=True)
    assert found.cause is Cause.PORT_IN_USE

"""A worker's tree is told as it is: who is whose child, by the name that each has, with no word of its arguments."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from qvl.daemon.processes import tree_of
from qvl.model.gpu import GpuHolder, GpuSample
from qvl.model.worker import Process
from qvl.shim import proc

from tests.support import wait_until

SECRET = "sk-of-nobody"
FAMILY = """
import os, signal, sys
def name(text):
    open("/proc/self/comm", "w").write(text)
if os.fork() == 0:
    name("sglang::scheduler_TP0")
    if os.fork() == 0:
        os.setsid()
        name("grand child)")
    signal.pause()
if os.fork() == 0:
    name("sglang::detokenizer")
    signal.pause()
print("up", flush=True)
signal.pause()
"""


@pytest.fixture
def root() -> Iterator[Process]:
    """The root of a family of four, whose shim is this very test."""
    child = subprocess.Popen(
        [sys.executable, "-c", FAMILY, "--api-key", SECRET], stdout=subprocess.PIPE, start_new_session=True
    )
    assert child.stdout is not None
    try:
        child.stdout.readline()
        wait_until(lambda: {p.comm[:5] for p in proc.descendants(child.pid)} == {"sglan", "grand"}, 10, "the family")
        start, own = proc.start_time(child.pid), proc.start_time(os.getpid())
        assert start is not None
        assert own is not None
        yield Process(child.pid, start, os.getpid(), own, proc.boot_id(), 0.0, 0.0, 0)
    finally:
        for member in [*proc.descendants(child.pid)]:
            proc.send_signal(member.pid, member.start, signal.SIGKILL)
        child.kill()
        child.wait()
        child.stdout.close()


def without_shim(root: Process) -> Process:
    return Process(root.pid, root.pid_start, root.shim_pid, root.shim_start + 1, root.boot_id, 0.0, 0.0, 0)


def test_each_child_follows_its_parent_with_its_figures(root: Process) -> None:
    card = GpuSample(0, "u0", "H100", holders=(GpuHolder(root.pid, 5), GpuHolder(1, 7)))
    other = GpuSample(3, "u3", "H100", holders=(GpuHolder(root.pid, 6), GpuHolder(os.getpid(), None)))
    found = tree_of(without_shim(root), (card, other))
    assert found.left_out == 0
    first, scheduler, grand, detokenizer = found.processes
    assert (first.pid, first.root, first.gpu_memory, first.gpus) == (root.pid, True, 11, (0, 3))
    assert first.name.startswith("python")
    assert (scheduler.name, scheduler.ppid) == ("sglang::schedul", root.pid)
    assert (grand.name, grand.ppid, grand.gpu_memory, grand.gpus) == ("grand child)", scheduler.pid, None, ())
    assert (detokenizer.ppid, detokenizer.root, detokenizer.threads) == (root.pid, False, 1)
    assert all(process.state == "S" and (process.rss or 0) > 1_000_000 and process.cpu_s >= 0 for process in found[0])
    assert SECRET not in repr(found)


def test_with_a_shim_those_who_lost_their_parent_are_seen_too(root: Process) -> None:
    scheduler = next(p for p in proc.descendants(root.pid) if p.comm == "sglang::schedul")
    grand = next(p for p in proc.descendants(scheduler.pid))
    by_shim = tree_of(root, ())
    assert {root.pid, scheduler.pid, grand.pid} <= {process.pid for process in by_shim.processes}
    assert by_shim.processes[0].pid == root.pid
    assert all(process.pid != os.getpid() for process in by_shim.processes)


def test_only_so_many_are_told_and_the_rest_is_counted(root: Process) -> None:
    found = tree_of(without_shim(root), (), most=2)
    assert (len(found.processes), found.left_out) == (2, 2)


def test_a_name_that_the_kernel_cut_off_is_whole_and_without_what_follows_it() -> None:
    title = "vllm::EngineCore_DP12 --api-key " + SECRET
    # As setproctitle does it: the title stands where the arguments were.
    child = subprocess.Popen(
        ["bash", "-c", f"exec -a '{title}' {sys.executable} -c '{_RENAMED}'"],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        child.stdout.readline()
        start = proc.start_time(child.pid)
        assert start is not None
        found = tree_of(Process(child.pid, start, 0, 0, proc.boot_id(), 0.0, 0.0, 0), ())
        assert [process.name for process in found.processes] == ["vllm::EngineCore_DP12"]
        assert SECRET not in repr(found)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


_RENAMED = """
import signal
open("/proc/self/comm", "w").write("vllm::EngineCore_DP12")
print("up", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("change", [{"pid_start": 1}, {"boot_id": "another"}])
def test_a_process_of_another_time_is_nobody(root: Process, change: dict[str, object]) -> None:
    known = {name: getattr(without_shim(root), name) for name in Process.__struct_fields__}
    assert tree_of(Process(**(known | change)), ()) == ((), 0)

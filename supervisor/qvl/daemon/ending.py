"""The end of a process tree: make sure that it is one, and say why it came."""

import asyncio
import os
import signal
import time
from pathlib import Path

from qvl.core.classify import Finding, classify
from qvl.daemon import groups
from qvl.daemon.tailer import last_lines
from qvl.host.cgroup import oom_kills, own_cgroup
from qvl.model.worker import Cause, Exit, Process, WorkerRecord
from qvl.shim import proc
from qvl.shim.client import read_exit

OOM_KILLED = "the kernel's OOM killer ended a process of its control group"
OOM_HINT = "give the host more memory, or the worker less; `journalctl -k -g oom` shows whom the kernel killed"
_MAYBE_MEMORY = (Cause.KILLED, Cause.UNKNOWN)
"""What a process that the OOM killer has ended looks like by its log and its exit. One that says more of itself isn't
doubted: the counter may be that of all workers together."""

PATIENCE = 5.0
"""Seconds that killed processes get to vanish."""


RUN = "QVL_RUN"
"""A variable of each worker's environment that no other run's has: it proves whose a process is that has left its
session and lost its parent, once the shim that was told of each such child is gone."""


def survivors(process: Process) -> list[proc.Process]:
    """What still lives of a tree whose shim is gone: the root, what came from it by session or parenthood, what carries
    the run's word in its environment, and what is in its control group.

    Identity is the pid with its start time and the boot. The kernel gives a session's number to no new process while a
    member lives, so a session is ours unless another process leads it.
    """
    if process.boot_id != proc.boot_id():
        return []
    found: dict[int, proc.Process] = {}
    leader = proc.read(process.pid)
    is_ours = leader is None or leader.start == process.pid_start
    word = f"{RUN}={process.run}".encode() if process.run else None
    if process.cgroup:
        found.update({member.pid: member for member in groups.members(process.cgroup)})
    for entry in os.listdir("/proc"):
        member = proc.read(int(entry)) if entry.isdigit() else None
        if member is None or member.start < process.pid_start:
            continue
        if (is_ours and _session(member.pid) == process.pid) or (word and word in _environment(member.pid)):
            found[member.pid] = member
            found.update({child.pid: child for child in proc.descendants(member.pid)})
    return [member for member in found.values() if proc.is_alive(member.pid, member.start)]


def variable(pid: int, name: str) -> str:
    """A variable of the environment that a process was started with; empty where there is none to be read."""
    prefix = f"{name}=".encode()
    values = (entry.removeprefix(prefix) for entry in _environment(pid) if entry.startswith(prefix))
    return next(values, b"").decode(errors="replace")


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


async def kill_leftovers(process: Process) -> bool:
    """End what a shim that is gone has left. True once nothing is; False if something outlives SIGKILL.

    A living shim ends its tree itself: nothing is found then.
    """
    if proc.is_alive(process.shim_pid, process.shim_start):
        return True
    deadline = time.monotonic() + PATIENCE
    while left := await asyncio.to_thread(survivors, process):
        for member in left:
            proc.send_signal(member.pid, member.start, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def empty_group(cgroup: str) -> bool:
    """End what is left in a worker's control group though its shim has no child any more: a payload that somebody
    else's daemon put there (a container's runtime, say). The next run would share the group with it. False if something
    outlives SIGKILL."""
    deadline = time.monotonic() + PATIENCE
    while await asyncio.to_thread(groups.members, cgroup):
        if time.monotonic() > deadline:
            return False
        groups.kill(cgroup)
        await asyncio.sleep(0.05)
    return True


def killed_for_memory(process: Process) -> bool:
    """Whether the OOM killer was in the worker's control group, or in the nearest around it that counts, since its
    start."""
    around = Path(process.cgroup) if process.cgroup else own_cgroup()
    if process.oom_kills is None or around is None:
        return False
    now = oom_kills(around)
    return now is not None and now > process.oom_kills


def end_of(bundle: Path, record: WorkerRecord, log_dir: Path, *, was_ready: bool, condemned: bool = False) -> Exit:
    """The end of a record's process, from what its shim wrote down and from the end of its log. Where we have killed it
    (`condemned`), its exit says nothing, and its log may say all."""
    process = record.process
    written = read_exit(bundle)
    if process is None or written is None or written.generation != record.generation:
        evidence = "its shim was killed, so nobody saw it end"
        return Exit(time.time(), classify(None, 9, [], was_ready=was_ready).cause, None, None, evidence)
    try:
        lines = last_lines(log_dir, process.log_offset)
    except OSError:
        lines = []
    code, number = (None, None) if condemned else (written.code, written.signal)
    found = classify(code, number, lines, was_ready=was_ready)
    if killed_for_memory(process) and found.cause in _MAYBE_MEMORY:
        found = Finding(Cause.OUT_OF_HOST_MEMORY, OOM_KILLED, OOM_HINT)
    return Exit(written.at, found.cause, written.code, written.signal, found.evidence, found.hint)

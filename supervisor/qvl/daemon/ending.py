"""The end of a process tree: make sure that it is one, and say why it came."""

import asyncio
import os
import signal
import time
from pathlib import Path

from qvl.core.classify import classify
from qvl.daemon.tailer import last_lines
from qvl.model.worker import Exit, Process, WorkerRecord
from qvl.shim import proc
from qvl.shim.client import read_exit

PATIENCE = 5.0
"""Seconds that killed processes get to vanish."""


def survivors(process: Process) -> list[proc.Process]:
    """What still lives of a tree whose shim is gone: the root, and by session or parenthood what came from it.

    Identity is the pid with its start time and the boot; a session is ours while its leader's pid was our root's and
    the member began after it.
    """
    if process.boot_id != proc.boot_id():
        return []
    found: dict[int, proc.Process] = {}
    root = proc.read(process.pid)
    if root is not None and root.start == process.pid_start:
        found[root.pid] = root
        found.update({child.pid: child for child in proc.descendants(root.pid)})
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.getsid(int(entry)) != process.pid:
                continue
        except OSError:
            continue
        member = proc.read(int(entry))
        if member is not None and member.start >= process.pid_start:
            found[member.pid] = member
            found.update({child.pid: child for child in proc.descendants(member.pid)})
    return [member for member in found.values() if proc.is_alive(member.pid, member.start)]


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


def end_of(bundle: Path, record: WorkerRecord, log_dir: Path, *, was_ready: bool) -> Exit:
    """The end of a record's process, from what its shim wrote down and from the end of its log."""
    process = record.process
    written = read_exit(bundle)
    if process is None or written is None or written.generation != record.generation:
        evidence = "its shim was killed, so nobody saw it end"
        return Exit(time.time(), classify(None, 9, [], was_ready=was_ready).cause, None, None, evidence)
    try:
        lines = last_lines(log_dir, process.log_offset)
    except OSError:
        lines = []
    found = classify(written.code, written.signal, lines, was_ready=was_ready)
    return Exit(written.at, found.cause, written.code, written.signal, found.evidence, found.hint)

"""What /proc says of processes, and signals that cannot hit the wrong one.

A pid may belong to another process by the time it is used. A process here is always a pid with its start time, and a
signal goes through a pidfd that was opened before the start time was compared. Nothing is ever looked up by name.
"""

from __future__ import annotations

import os
import signal as signals

DEAD_STATES = "ZXx"


class Process:
    """One line of /proc/PID/stat, as far as it is needed. `start`, since boot, and `ticks`, spent on a processor by it
    and by those of its children that have ended, are in clock ticks (proc(5)); `pages` of memory are resident."""

    __slots__ = ("comm", "group", "pages", "pid", "ppid", "start", "state", "threads", "ticks")

    def __init__(
        self,
        pid: int,
        ppid: int,
        group: int,
        start: int,
        comm: str,
        state: str,
        ticks: int,
        threads: int,
        pages: int,
    ) -> None:
        self.pid = pid
        self.ppid = ppid
        self.group = group
        self.start = start
        self.comm = comm
        self.state = state
        self.ticks = ticks
        self.threads = threads
        self.pages = pages


def read(pid: int) -> Process | None:
    """The process of this pid, zombies included; None where there is none that we may see."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 2048)
        finally:
            os.close(fd)
    except OSError:  # gone before the open (ENOENT) or before the read (ESRCH), or hidden by hidepid
        return None
    # The name may hold blanks and parentheses, so the fields are counted from the last parenthesis on.
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    comm = head.partition(b"(")[2].decode("utf-8", "replace")
    state, ticks = fields[0].decode("ascii"), sum(map(int, fields[11:15]))
    parent, group, threads, start, pages = (int(fields[at]) for at in (1, 2, 17, 19, 21))
    return Process(pid, parent, group, start, comm, state, ticks, threads, pages)


def start_time(pid: int) -> int | None:
    """When the process of this pid started, in clock ticks since boot; None where there is none."""
    process = read(pid)
    return process.start if process else None


def boot_id() -> str:
    """Changes with every boot: a recorded pid and start time say nothing about another one."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def is_alive(pid: int, start: int) -> bool:
    """Whether exactly this process still runs; a zombie does not."""
    process = read(pid)
    return process is not None and process.start == start and process.state not in DEAD_STATES


def descendants(pid: int) -> list[Process]:
    """Children, their children and so on, nearest first. One look: what forks meanwhile may be missing."""
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = read(int(name))
            if process is not None:
                children.setdefault(process.ppid, []).append(process)
    found: list[Process] = []
    parents = [pid]
    for parent in parents:
        # popped, so that a pid which was reused during the scan cannot make a circle
        for process in children.pop(parent, []):
            found.append(process)
            parents.append(process.pid)
    return found


def send_signal(pid: int, start: int, sig: int) -> bool:
    """Signal exactly this process; False if it is gone or not ours to signal."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # before Linux 5.3, or refused by a sandbox: compare, and be quick
        return start_time(pid) == start and _kill(pid, sig)
    try:
        if start_time(pid) != start:
            return False
        signals.pidfd_send_signal(watch, sig)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(watch)
    return True


def _kill(pid: int, sig: int) -> bool:
    try:
        os.kill(pid, sig)
    except (ProcessLookupError, PermissionError):
        return False
    return True

"""A worker's process tree as people want to see it: who is whose child, what each takes, which cards it holds.

Arguments are never read out: they may hold what is nobody's business. What a process calls itself is enough.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

from qvl.model.detail import ProcessInfo
from qvl.model.gpu import GpuSample
from qvl.model.worker import Process
from qvl.shim import proc

MOST = 256
"""Processes that are told; an engine that forks without end must not make an answer without end."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CUT = 15
"""Bytes after which the kernel cuts a name off."""
_LONGEST = 64


class Tree(NamedTuple):
    processes: tuple[ProcessInfo, ...]
    left_out: int


def tree_of(process: Process, gpus: Iterable[GpuSample], most: int = MOST) -> Tree:
    """What lives below the worker's shim, or else below its root. Scans /proc: call it in a thread."""
    # What lost its parent is the shim's child, so that a look from there misses nobody.
    if process.boot_id != proc.boot_id():
        return Tree((), 0)
    if proc.is_alive(process.shim_pid, process.shim_start):
        members = proc.descendants(process.shim_pid)
    else:
        root = proc.read(process.pid)
        if root is None or root.start != process.pid_start:
            return Tree((), 0)
        members = [root, *proc.descendants(process.pid)]
    held = _held(gpus)
    ordered = _ordered(members, process.pid)
    shown = tuple(_info(member, held.get(member.pid, ()), root=member.pid == process.pid) for member in ordered[:most])
    return Tree(shown, len(ordered) - len(shown))


def _ordered(members: list[proc.Process], root: int) -> list[proc.Process]:
    """Each child after its parent and before its parent's next child; the worker's root first."""
    pids = {member.pid for member in members}
    children: dict[int, list[proc.Process]] = {}
    for member in sorted(members, key=lambda m: (m.pid != root, m.start, m.pid)):
        children.setdefault(member.ppid if member.ppid in pids else 0, []).append(member)
    found: list[proc.Process] = []
    stack = children.pop(0, [])[::-1]
    while stack:
        member = stack.pop()
        found.append(member)
        stack += children.pop(member.pid, [])[::-1]
    return found


def _info(member: proc.Process, held: tuple[tuple[int, int | None], ...], *, root: bool) -> ProcessInfo:
    known = [memory for _, memory in held if memory is not None]
    return ProcessInfo(
        pid=member.pid,
        ppid=member.ppid,
        name=_name(member),
        state=member.state,
        rss=member.pages * _PAGE,
        cpu_s=round(member.ticks / _TICKS, 2),
        threads=member.threads,
        gpu_memory=sum(known) if known else None,
        gpus=tuple(index for index, _ in held),
        root=root,
    )


def _name(member: proc.Process) -> str:
    """The kernel's name. One that it cut off is completed from what the process calls itself, up to the first blank:
    SGLang's and vLLM's children say there which rank they are."""
    name = member.comm
    if len(name.encode()) < _CUT:
        return name
    try:
        fd = os.open(f"/proc/{member.pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
        try:
            words = os.read(fd, 512).replace(b"\0", b" ").split()
        finally:
            os.close(fd)
    except OSError:
        return name
    whole = os.path.basename(words[0].decode(errors="replace")) if words else ""
    return whole[:_LONGEST] if whole.startswith(name) else name


def _held(gpus: Iterable[GpuSample]) -> dict[int, tuple[tuple[int, int | None], ...]]:
    """What each process holds: pairs of a card's index and bytes, by pid."""
    held: dict[int, tuple[tuple[int, int | None], ...]] = {}
    for sample in gpus:
        for holder in sample.holders:
            held[holder.pid] = (*held.get(holder.pid, ()), (sample.index, holder.memory))
    return held

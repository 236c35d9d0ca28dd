"""A worker's processes as the tree that they are, with what each takes."""

from collections.abc import Mapping

from qvl.model.detail import ProcessInfo, WorkerDetail
from qvl.model.status import WorkerStatus

from qvl_tui.format import UNKNOWN, size
from qvl_tui.paint import Line, Tone, cut, pad, right
from qvl_tui.widgets.worker_section import Section, said

_STATES = {"D": "waits for a device", "T": "halted", "t": "traced", "Z": "ended", "X": "ended"}
"""States that people want to know of; to run and to sleep is usual."""
_COLUMNS = {"pid": 7, "memory": 9, "cpu": 6, "thr": 5, "gpu": 9}
_NARROW = 64
"""Cells below which threads are left out: whose child it is says more."""


def tree_section(
    worker: WorkerStatus, detail: WorkerDetail | None, shares: Mapping[int, float], width: int, unknown: str
) -> Section:
    """`shares`: processors in use, by pid. `unknown`: why there is no detail."""
    if detail is None:
        return Section("processes", "processes", tuple(said(unknown, width, Tone.FAINT)))
    if not detail.processes:
        words = "none of it is seen" if worker.phase.has_process else "it has none"
        return Section("processes", "processes", tuple(said(words, width)))
    shown = {name: size_ for name, size_ in _COLUMNS.items() if name != "thr" or width >= _NARROW}
    room = max(14, width - sum(shown.values()) - 2)
    heading = "".join(right(name, size_) for name, size_ in shown.items())
    lines: list[Line] = [((" " * (room + 1), Tone.FAINT), (heading, Tone.FAINT))]
    lines += _rows(detail.processes, shares, room, shown)
    more = detail.processes_left_out
    if more:
        lines += said(f"and {more:,} more", width)
    total = len(detail.processes) + more
    return Section("processes", "processes", tuple(lines), f"{total:,}")


def _rows(
    processes: tuple[ProcessInfo, ...], shares: Mapping[int, float], room: int, shown: Mapping[str, int]
) -> list[Line]:
    pids = {process.pid for process in processes}
    children: dict[int, list[ProcessInfo]] = {}
    for process in processes:
        children.setdefault(process.ppid if process.ppid in pids else 0, []).append(process)
    lines: list[Line] = []

    # Not by recursion: how deep a tree is, is its engine's word.
    stack = [(process, "", "") for process in reversed(children.get(0, []))]
    while stack:
        process, branch, below = stack.pop()
        lines.append((*_name(process, branch, room), *_figures(process, shares.get(process.pid), shown)))
        own = children.get(process.pid, [])
        for place, child in enumerate(reversed(own)):
            last = place == 0
            stack.append((child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  ")))
    return lines


def _name(process: ProcessInfo, branch: str, room: int) -> Line:
    state = _STATES.get(process.state)
    lost = not branch and not process.root
    note = f" {state}" if state else " left by its parent" if lost else ""
    name = cut(process.name, max(room - len(branch) - len(note), 4))
    tone = Tone.WARN if state or lost else Tone.STRONG if process.root else Tone.TEXT
    line: Line = ((f" {branch}", Tone.FAINT), (name, tone), (note, Tone.WARN))
    return pad(line, room + 1)


def _figures(process: ProcessInfo, share: float | None, shown: Mapping[str, int]) -> Line:
    words = {
        "pid": (str(process.pid), Tone.MUTED),
        "memory": (size(process.rss), Tone.TEXT),
        "cpu": (UNKNOWN if share is None else f"{share:.0%}", Tone.TEXT),
        "thr": (str(process.threads), Tone.MUTED),
        "gpu": (size(process.gpu_memory), Tone.TEXT),
    }
    return tuple((right(words[name][0], room), words[name][1]) for name, room in shown.items())

"""A worker's processes as the tree that they are, with what each takes."""

from collections.abc import Mapping

from qvl.model.detail import ProcessInfo, WorkerDetail
from qvl.model.status import WorkerStatus

from qvl_tui.format import UNKNOWN, size
from qvl_tui.paint import Line, Tone, cut, length, right
from qvl_tui.widgets.worker_section import Section, said

_STATES = {"D": "waits for a device", "T": "halted", "t": "traced", "Z": "ended", "X": "ended"}
"""States that people want to know of; to run and to sleep is usual."""
_WIDTHS = (7, 10, 6, 5, 9)


def tree_section(
    worker: WorkerStatus, detail: WorkerDetail | None, shares: Mapping[int, float], width: int, unknown: str
) -> Section:
    """`shares`: processors in use, by pid. `unknown`: why there is no detail."""
    if detail is None:
        return Section("processes", "processes", tuple(said(unknown, width, Tone.FAINT)))
    if not detail.processes:
        words = "none of it is seen" if worker.phase.has_process else "it has none"
        return Section("processes", "processes", tuple(said(words, width)))
    room = max(14, width - sum(_WIDTHS) - 2)
    lines = [_head(room), *_rows(detail.processes, shares, room)]
    more = detail.processes_left_out
    if more:
        lines += said(f"and {more:,} more", width)
    total = len(detail.processes) + more
    return Section("processes", "processes", tuple(lines), f"{total:,}")


def _head(room: int) -> Line:
    words = zip(("pid", "memory", "cpu", "thr", "gpu"), _WIDTHS, strict=True)
    return (" " * (room + 1), Tone.FAINT), ("".join(right(word, size_) for word, size_ in words), Tone.FAINT)


def _rows(processes: tuple[ProcessInfo, ...], shares: Mapping[int, float], room: int) -> list[Line]:
    pids = {process.pid for process in processes}
    children: dict[int, list[ProcessInfo]] = {}
    for process in processes:
        children.setdefault(process.ppid if process.ppid in pids else 0, []).append(process)
    lines: list[Line] = []

    # Not by recursion: how deep a tree is, is its engine's word.
    stack = [(process, "", "") for process in reversed(children.get(0, []))]
    while stack:
        process, branch, below = stack.pop()
        lines.append(_row(process, branch, shares.get(process.pid), room))
        own = children.get(process.pid, [])
        for place, child in enumerate(reversed(own)):
            last = place == 0
            stack.append((child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  ")))
    return lines


def _row(process: ProcessInfo, branch: str, share: float | None, room: int) -> Line:
    state = _STATES.get(process.state)
    lost = not branch and not process.root
    note = f" {state}" if state else " left by its parent" if lost else ""
    name = cut(process.name, max(room - len(branch) - len(note), 4))
    tone = Tone.WARN if state or lost else Tone.STRONG if process.root else Tone.TEXT
    used = length(((branch, tone), (name, tone), (note, tone)))
    return (
        (f" {branch}", Tone.FAINT),
        (name, tone),
        (note, Tone.WARN),
        (" " * max(room - used, 0), Tone.TEXT),
        (right(str(process.pid), _WIDTHS[0]), Tone.MUTED),
        (right(size(process.rss), _WIDTHS[1]), Tone.TEXT),
        (right(UNKNOWN if share is None else f"{share:.0%}", _WIDTHS[2]), Tone.TEXT),
        (right(str(process.threads), _WIDTHS[3]), Tone.MUTED),
        (right(size(process.gpu_memory), _WIDTHS[4]), Tone.TEXT),
    )

"""The last ends of a worker, the newest first: how, why, on what evidence, and what to do about it."""

from datetime import datetime

from qvl.model.detail import PastExit, WorkerDetail
from qvl.model.status import WorkerStatus
from qvl.model.worker import Cause

from qvl_tui.format import age, clock, duration
from qvl_tui.paint import Line, Tone, clip, cut, wrap
from qvl_tui.widgets.worker_section import Section, said

_EVIDENCE = 3
"""Lines of the newest one's evidence; of older ones there is one."""


def exits_section(worker: WorkerStatus, detail: WorkerDetail | None, now: datetime | None, width: int) -> Section:
    exits = detail.exits if detail is not None else _known(worker)
    if not exits:
        return Section("exits", "last exits", tuple(said("none is remembered", width, Tone.FAINT)))
    lines: list[Line] = []
    newer: PastExit | None = None
    for end in exits:
        lines += _exit(end, now, width, newer)
        newer = end
    unasked = sum(end.cause is not Cause.REQUESTED for end in exits)
    return Section("exits", "last exits", tuple(lines), f"{unasked} of {len(exits)} unasked" if unasked else "")


def _known(worker: WorkerStatus) -> tuple[PastExit, ...]:
    last = worker.last_exit
    return (PastExit(last.at, last.cause, last.code, last.signal, last.evidence, last.hint),) if last else ()


def _exit(end: PastExit, now: datetime | None, width: int, newer: PastExit | None) -> list[Line]:
    """What the next newer one said already is left out."""
    asked = end.cause is Cause.REQUESTED
    how = f"signal {end.signal}" if end.signal is not None else f"exit {end.code}" if end.code is not None else ""
    lived = "" if end.lived_s is None else f"lived {duration(end.lived_s)}"
    never = "never ready" if end.was_ready is False else ""
    ago = "" if now is None else f"{age((now - end.at).total_seconds())} ago"
    words = ", ".join(filter(None, (how, ago, lived, never, end.profile or "")))
    lines: list[Line] = [
        clip(
            (
                (" ○ " if asked else " ✕ ", Tone.MUTED if asked else Tone.BAD),
                (f"{clock(end.at)} ", Tone.MUTED),
                (end.cause.value, Tone.TEXT if asked else Tone.STRONG),
                (f"  {words}", Tone.MUTED),
            ),
            width,
        )
    ]
    room, most = max(width - 4, 8), _EVIDENCE if newer is None else 1
    if end.evidence and (newer is None or end.evidence != newer.evidence):
        lines += [((f"   {part}", Tone.TEXT),) for part in _shortened(end.evidence, room, most)]
    if end.hint and (newer is None or end.hint != newer.hint):
        parts = _shortened(end.hint, room - 2, most)
        lines += [(("   → " if n == 0 else "     ", Tone.ACCENT), (part, Tone.ACCENT)) for n, part in enumerate(parts)]
    return lines


def _shortened(text: str, width: int, most: int) -> list[str]:
    parts = wrap(text, width)
    return parts if len(parts) <= most else [*parts[: most - 1], cut(" ".join(parts[most - 1 :]), width)]

"""A worker's start as a checklist: what each step took beside what it took in the last good start.

Bars have one scale, so that they show which step is long; what goes beyond the remembered time is drawn otherwise.
"""

from msgspec.structs import replace
from qvl.model.detail import StartDetail, StepState, StepTime
from qvl.model.status import WorkerStatus

from qvl_tui.format import bar, clock, duration, percent
from qvl_tui.paint import Line, Tone, left, right
from qvl_tui.widgets.worker_section import Section, said

SLOWER = 1.5
"""Times the remembered duration from which on a step counts as slow, where that is at least `SLOW_BY` seconds more."""
SLOW_BY = 1.0

_FIGURES = 47
"""Cells of a row beside its bar."""
_SIGNS = {
    StepState.DONE: ("✓", Tone.GOOD),
    StepState.NOW: ("◐", Tone.ACCENT),
    StepState.SKIPPED: ("–", Tone.FAINT),
    StepState.AHEAD: ("·", Tone.FAINT),
    StepState.UNKNOWN: ("?", Tone.FAINT),
}


def start_section(
    worker: WorkerStatus, start: StartDetail | None, later: float, width: int, *, asking: bool = False
) -> Section:
    """`later`: seconds since `start` was told. One that is under way has gone on since. `asking`: the daemon has not
    answered yet."""
    if start is None:
        return Section("start", "start", tuple(_only_progress(worker, width, asking=asking)))
    told = start if start.over else _moved(start, later)
    told_steps = [step for step in told.steps if step.state is not StepState.SKIPPED]
    if told.over and told.ready and len(told_steps) == 1:
        lines = said(f"ready after {took(told.seconds)}; this engine tells no steps", width)
    else:
        room = max(0, min(width - _FIGURES, 24))
        scale = max((max(s.seconds or 0.0, s.expected_s or 0.0) for s in told.steps), default=0.0)
        lines = [_row(step, told, scale, room) for step in told.steps]
        lines.append(_total(worker, told))
    return Section("start", "start", tuple(lines), f"{told.profile}, {clock(told.at)}")


def took(seconds: float | None) -> str:
    """`<0.1 s`, `13.0 s`, `3 m 20 s`"""
    if seconds is not None and 0 < seconds < 0.05:
        return "<0.1 s"
    return f"{seconds:.1f} s" if seconds is not None and seconds < 99.95 else duration(seconds)


def is_slow(seconds: float | None, expected: float | None) -> bool:
    if seconds is None or expected is None:
        return False
    return seconds > expected * SLOWER and seconds - expected > SLOW_BY


def _moved(start: StartDetail, later: float) -> StartDetail:
    """A start under way as it is `later` seconds after it was told."""
    steps = tuple(
        replace(step, seconds=step.seconds + later)
        if step.state is StepState.NOW and step.seconds is not None
        else step
        for step in start.steps
    )
    seconds = None if start.seconds is None else start.seconds + later
    return replace(start, steps=steps, seconds=seconds)


def _row(step: StepTime, start: StartDetail, scale: float, room: int) -> Line:
    glyph, tone = _SIGNS[step.state]
    ended = step.state is StepState.NOW and start.over
    if ended:
        glyph, tone = "✕", Tone.BAD
    under_way = step.state is StepState.NOW and not start.over
    name = Tone.STRONG if step.state is StepState.NOW else Tone.FAINT if tone is Tone.FAINT else Tone.TEXT
    part = percent(start.fraction) if under_way and start.fraction is not None else ""
    figure = {StepState.SKIPPED: "not done", StepState.UNKNOWN: "not seen"}.get(step.state, "")
    if step.seconds is not None:
        figure = took(step.seconds)
    expected = f"({took(step.expected_s)})" if step.expected_s is not None else ""
    slow = is_slow(step.seconds, step.expected_s)
    line: Line = (
        (f" {glyph} ", tone),
        (left(step.step, 9), name),
        (right(part, 5), Tone.ACCENT),
        (right(figure, 8), Tone.WARN if slow else name),
        ("  ", Tone.TEXT),
    )
    line += _meter(step, scale, room, under_way=under_way)
    line += ((right(expected, 10), Tone.FAINT),)
    if ended:
        return (*line, ("  ✕ ended", Tone.BAD))
    return (*line, ("  ▲ slow", Tone.WARN)) if slow else line


def _meter(step: StepTime, scale: float, room: int, *, under_way: bool) -> Line:
    """What it took, what of that goes beyond the remembered time, and what was still expected."""
    if room <= 0 or scale <= 0:
        return ((" " * max(room, 0), Tone.TEXT),)
    done = _cells(step.seconds, scale, room)
    known = _cells(step.expected_s, scale, room) if step.expected_s is not None else done
    within, beyond = min(done, known), max(done - known, 0)
    ahead = max(known - done, 0)
    over = Tone.WARN if is_slow(step.seconds, step.expected_s) else Tone.CHART
    return (
        ("━" * within, Tone.ACCENT if under_way else Tone.CHART),
        ("═" * beyond, over),
        ("─" * ahead, Tone.FAINT),
        (" " * (room - within - beyond - ahead), Tone.TEXT),
    )


def _cells(seconds: float | None, scale: float, room: int) -> int:
    """Whatever took time at all shows."""
    if not seconds:
        return 0
    return min(room, max(1, round(seconds / scale * room)))


def _total(worker: WorkerStatus, start: StartDetail) -> Line:
    slow = is_slow(start.seconds, start.expected_s)
    expected = f"({took(start.expected_s)})" if start.expected_s is not None else ""
    line: Line = (
        ("   ", Tone.TEXT),
        (left("in all", 9), Tone.MUTED),
        (right(took(start.seconds) if start.seconds is not None else "not seen", 13), Tone.WARN if slow else Tone.TEXT),
        ("  ", Tone.TEXT),
    )
    if start.over:
        word = "ready" if start.ready else "never ready"
        return (*line, (f"{expected}  {word}", Tone.MUTED))
    eta = worker.progress.eta_s if worker.progress is not None else None
    left_over = "nothing is remembered to tell how long it takes" if eta is None else f"about {duration(eta)} left"
    return (*line, (f"{expected}  {left_over}", Tone.MUTED))


def _only_progress(worker: WorkerStatus, width: int, *, asking: bool) -> list[Line]:
    """All that is told of a start without its detail."""
    progress = worker.progress
    if progress is None:
        return said("asking the daemon …" if asking else "nothing is known of its start", width, Tone.FAINT)
    filled, empty = bar(None if progress.percent is None else progress.percent / 100, max(8, min(width - 40, 20)))
    eta = "" if progress.eta_s is None else f" · {duration(progress.eta_s)} left"
    percent_ = "" if progress.percent is None else f"{progress.percent}%  "
    return [
        (
            (" ◐ ", Tone.ACCENT),
            (left(progress.step, 10), Tone.STRONG),
            (filled, Tone.ACCENT),
            (empty, Tone.FAINT),
            (f"  {percent_}of the start{eta}", Tone.MUTED),
        )
    ]

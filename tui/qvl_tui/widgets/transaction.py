"""A change of a pool, live: how far it is, the stages of each worker with their times, the way back, and the outcome.

Pure. It shows what another person started just as one's own.
"""

from collections.abc import Sequence
from datetime import datetime

from qvl.model.event import Event, Severity
from qvl.model.status import PoolStatus, SwitchStatus, WorkerStatus

from qvl_tui.changes import Course, Reached, Stage, Trail, course, to_come
from qvl_tui.format import bar, clock, count, duration
from qvl_tui.paint import BLANK, Line, Span, Tone, clip, cut, left, length
from qvl_tui.sentences import SEVERITIES, change, state, why
from qvl_tui.store import Store
from qvl_tui.widgets.plan import hung

_METER = 24
_DONE, _NOW, _AHEAD, _FAILED, _LEFT, _BACK = "✓", "◐", "·", "✕", "○", "↩"
_OF_ALL = ("switch", "reset")
_SHORT = {Stage.SMOKE: "smoke", Stage.ROUTE: "route", Stage.LIVE: "live"}


def transaction_lines(
    pool: PoolStatus, switch: SwitchStatus, store: Store, now: datetime | None, expected: float | None, width: int
) -> tuple[Line, ...]:
    """`expected`: seconds that it takes in all, as far as the plan knew."""
    so_far = course(store.events, pool.name, switch.started_at)
    workers = [worker for worker in store.rows() if worker.pool == pool.name and worker is not pool.gateway]
    going_back = switch.why is not None or switch.step == "rolling back"
    lines: list[Line] = [((f" {change(pool, switch)}", Tone.STRONG),)]
    if going_back:
        told = f"goes back to what ran: {switch.why}" if switch.why else "goes back to what ran"
        lines += hung("↩ ", Tone.WARN, told, width)
    lines += [BLANK, _meter(switch, now, None if going_back else expected, going_back, width), BLANK]
    lines += _rows(so_far, workers, pool, switch, now, width)
    return tuple(lines)


def outcome_lines(outcome: Event, so_far: Course | None, width: int) -> tuple[Line, ...]:
    """How it ended, and with `so_far` the way there and back."""
    lines = [*outcome_sentence(outcome, width)]
    if so_far is not None:
        column = _column([trail.worker for trail in (*so_far.there, *so_far.back)])
        if so_far.there:
            lines.append(BLANK)
        lines += [line for trail in so_far.there for line in _trail(trail, (), None, None, column, width)]
        if so_far.back:
            lines += [BLANK, ((" ↩ and back", Tone.WARN),)]
            lines += [line for trail in so_far.back for line in _trail(trail, (), None, None, column, width)]
    return tuple(lines)


def outcome_sentence(outcome: Event, width: int) -> list[Line]:
    known = SEVERITIES[outcome.severity]
    good = outcome.severity is Severity.INFO
    glyph, tone = (_DONE, Tone.GOOD) if good else (known.glyph, known.tone)
    return hung(f"{glyph} ", tone, f"{clock(outcome.at)} {outcome.message}", width)


def _meter(switch: SwitchStatus, now: datetime | None, expected: float | None, back: bool, width: int) -> Line:
    tone = Tone.WARN if back else Tone.ACCENT
    filled, empty = bar(switch.percent / 100, min(_METER, max(width // 5, 8)))
    passed = None if now is None else max(0.0, (now - switch.started_at).total_seconds())
    took = duration(passed) + (f" of about {duration(expected)}" if expected else "")
    of = f"{switch.done} of {count(switch.total, 'worker')}{' back' if back else ''}"
    line: Line = (
        (" ", Tone.TEXT),
        (filled, tone),
        (empty, Tone.FAINT),
        (f"  {switch.percent:>2}%", Tone.STRONG),
        (f"  {of}", Tone.TEXT),
        (f"  {took}", Tone.MUTED),
        (f"  {switch.step}", Tone.MUTED),
    )
    return clip(line, width)


def _rows(
    so_far: Course,
    workers: Sequence[WorkerStatus],
    pool: PoolStatus,
    switch: SwitchStatus,
    now: datetime | None,
    width: int,
) -> list[Line]:
    routed = pool.gateway is not None
    by_name = {worker.name: worker for worker in workers}
    column = _column(list(by_name))
    lines: list[Line] = []
    there = {trail.worker: trail for trail in so_far.there}
    turned = so_far.turned is not None
    for worker in workers:
        trail = there.get(worker.name)
        if trail is None or (not trail.reached and worker.name != switch.worker):
            # Of an edit nobody tells whom it leaves alone; of a switch that all are counted.
            waits = "its turn comes" if not turned and switch.total == len(workers) and switch.kind in _OF_ALL else ""
            if trail is None or not trail.over:
                lines.append(_still(worker, waits, column, now, width))
            continue
        ahead = () if turned or trail.over else to_come(trail, switch, routed=routed)
        lines += _trail(trail, ahead, None if turned else worker, now, column, width)
    if turned:
        lines += [BLANK, ((" ↩ back", Tone.WARN),)]
        for trail in so_far.back:
            ahead = () if trail.over else to_come(trail, switch, routed=routed)
            lines += _trail(trail, ahead, by_name.get(trail.worker), now, column, width)
    return lines


def _column(names: Sequence[str]) -> int:
    return min(max(map(len, names), default=0), 24) + 2


def _still(worker: WorkerStatus, told: str, column: int, now: datetime | None, width: int) -> Line:
    """A worker that the change hasn't come to."""
    known = state(worker)
    doing = why(worker, now) if not worker.ready else told
    line: Line = (
        (f" {_LEFT} ", Tone.FAINT),
        (left(worker.name, column), Tone.MUTED),
        (f"{known.glyph} {known.word}", known.tone),
        (f"  {worker.profile}", Tone.MUTED),
    )
    return clip((*line, (f"  {doing}" if doing else "", Tone.FAINT)), width)


def _trail(
    trail: Trail,
    ahead: Sequence[Stage],
    worker: WorkerStatus | None,
    now: datetime | None,
    column: int,
    width: int,
) -> list[Line]:
    """`worker`: as it is now, where that says more of the last stage."""
    under_way = not trail.over
    sign = (_NOW, Tone.ACCENT) if under_way else (_DONE, Tone.GOOD)
    if trail.failed or trail.broken_off:
        sign = (_FAILED, Tone.BAD) if trail.failed else (_BACK, Tone.WARN)
    parts: list[Line] = [_reached(each, worker, now) for each in trail.reached]
    parts += [((f"{_AHEAD} {_SHORT.get(stage, stage.value)}", Tone.FAINT),) for stage in ahead]
    head: Line = ((f" {sign[0]} ", sign[1]), (left(cut(trail.worker, column - 2), column), Tone.STRONG))
    lines, room = [head], width - 1
    for part in parts:
        if length(lines[-1]) + length(part) > room and length(lines[-1]) > column + 3:
            lines.append(((" " * (column + 3), Tone.TEXT),))
        lines[-1] = (*lines[-1], *part, ("  ", Tone.TEXT))
    return [clip(line, width) for line in lines]


def _reached(each: Reached, worker: WorkerStatus | None, now: datetime | None) -> tuple[Span, ...]:
    name = _SHORT.get(each.stage, each.stage.value)
    seconds = each.seconds(now)
    took = f" {duration(seconds)}" if seconds is not None and seconds >= 0.5 else ""
    if each.failed:
        return (f"{_FAILED} ", Tone.BAD), (f"{name}{took}", Tone.BAD)
    if each.broken_off:
        return (f"{_BACK} ", Tone.WARN), (f"{name}{took}", Tone.WARN)
    if each.ended is not None:
        return (f"{_DONE} ", Tone.GOOD), (name, Tone.TEXT), (took, Tone.MUTED)
    told = took
    if worker is not None and each.stage is Stage.START and worker.progress is not None:
        known = worker.progress
        told = "" if known.percent is None else f" {known.percent}%"
        told += "" if known.eta_s is None else f", {duration(known.eta_s)} left"
    elif worker is not None and each.stage is Stage.DRAIN and worker.metrics.in_flight:
        told = f" {count(worker.metrics.in_flight, 'request')} left"
    return (f"{_NOW} ", Tone.ACCENT), (name, Tone.STRONG), (told, Tone.ACCENT)

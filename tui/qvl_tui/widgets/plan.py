"""A plan as its reader needs it before a yes: which keys differ, what the host has to say of it, and worker by worker
what happens, for how long it is away and whom that cuts off. Pure."""

import json
from collections.abc import Iterable, Sequence

from qvl.model.plan import Action, KeyChange, Plan, PlanStep, PlanWarning
from qvl.model.status import GatewayStatus
from rich.cells import cell_len

from qvl_tui.format import UNKNOWN, count, duration
from qvl_tui.paint import BLANK, Line, Tone, clip, cut, left, wrap
from qvl_tui.store import Store

_TONES = {
    Action.RESTART: Tone.WARN,
    Action.RELAYOUT: Tone.WARN,
    Action.STOP: Tone.BAD,
    Action.START: Tone.GOOD,
    Action.LIVE: Tone.GOOD,
}
_TELLS = {
    Action.RECONFIGURE: "changed as it is, nothing stops",
    Action.LIVE: "changed while it serves",
    Action.RELAYOUT: "moves to other cards or another port",
    Action.STOP: "stops, and is configured no more",
    Action.START: "comes anew",
}
_KEY = 36
"""Cells that the names of keys get at most before their values are put below them."""
_UNSPOKEN = ("profile",)
"""Keys that the reader chose a moment ago."""


def plan_lines(plan: Plan, store: Store, width: int) -> tuple[Line, ...]:
    """`store`: who the workers are, and who stands before them."""
    steps = [step for step in plan.steps if step.action is not Action.KEEP]
    lines: list[Line] = []
    for pool in plan.removes_pools:
        lines += hung("▲ ", Tone.WARN, f"removes pool {pool} with workers up: waits for apply", width)
    if not steps:
        kept = len(plan.steps)
        lines.append(
            ((" nothing changes", Tone.MUTED), (f": {count(kept, 'worker')} kept" if kept else "", Tone.FAINT))
        )
        return (*lines, *warning_lines(plan.warnings, width))
    lines += warning_lines(plan.warnings, width)
    lines += _spaced(lines, difference_lines(steps, width))
    lines += _spaced(lines, _table(steps, width))
    if kept := len(plan.steps) - len(steps):
        lines.append(((f" {count(kept, 'worker')} kept as {'it is' if kept == 1 else 'they are'}", Tone.FAINT),))
    lines.append(BLANK)
    for text in consequences(plan, store):
        lines += hung("", Tone.TEXT, text, width)
    return tuple(lines)


def consequences(plan: Plan, store: Store) -> list[str]:
    """What is interrupted, in sentences, for the plan and for the question before it."""
    hit = [step for step in plan.steps if step.action.interrupts]
    if not hit:
        return ["Nobody is interrupted."] if plan.changes else []
    found = []
    names = [step.worker for step in hit]
    who = names[0] if len(names) == 1 else f"{count(len(names), 'worker')}, one after the other"
    away = [step.downtime_s for step in hit if step.action is not Action.STOP]
    known = [seconds for seconds in away if seconds is not None]
    sure = known and len(known) == len(away)
    time = f"about {duration(sum(known))} in all" if sure else "for how long is not known"
    found.append(f"Interrupts {who}" + (f": {time}." if away else "."))
    known_as = [store.find(step.worker) for step in hit]
    fronts = [worker.name for worker in known_as if isinstance(worker, GatewayStatus)]
    if fronts:
        found.append(f"{fronts[0]} stands before its pool: what goes through it breaks off.")
    fronted = {pool.name for pool in store.pools if pool.gateway is not None and pool.total > 1}
    if not fronts and all(worker is not None and worker.pool in fronted for worker in known_as):
        found.append("The gateway sends requests to the others meanwhile: nobody is cut off.")
        return found
    counts = [step.requests for step in hit if step.requests is not None]
    if not counts:
        found.append("How many requests that cuts off is not known.")
    elif sum(counts):
        drains = [step.drain_s for step in hit if step.requests and step.drain_s is not None]
        longest = max([0.0, *drains])
        given = f"they get {duration(longest)} to finish" if longest else "they get no time to finish"
        found.append(f"{count(sum(counts), 'request')} in flight now: {given}, then they are cut off.")
    else:
        found.append("No requests are in flight now.")
    return found


def expected(plan: Plan) -> float | None:
    """Seconds until it is carried out, as far as start-ups are remembered; None where one of them isn't."""
    away = [step.downtime_s for step in plan.steps if step.action in (Action.RESTART, Action.RELAYOUT)]
    return sum(filter(None, away)) if away and None not in away else None


def difference_lines(steps: Iterable[PlanStep], width: int) -> list[Line]:
    """Keys from → to, together for workers of which the same differs; a single group goes unnamed."""
    groups: dict[str, tuple[tuple[KeyChange, ...], list[str]]] = {}
    for step in steps:
        keys = tuple(key for key in step.keys if key.key not in _UNSPOKEN)
        if keys:
            mark = json.dumps([(key.key, key.old, key.new) for key in keys], default=str)
            groups.setdefault(mark, (keys, []))[1].append(step.worker)
    lines: list[Line] = []
    for keys, names in groups.values():
        if len(groups) > 1:
            lines.append(((cut(f" {', '.join(names)}", width), Tone.MUTED),))
        lines += key_lines(keys, width)
    return lines


def key_lines(keys: Sequence[KeyChange], width: int) -> list[Line]:
    """`key  old → new`; what doesn't fit beside its key stands below it."""
    column = min(max(map(len, (key.key for key in keys)), default=0), _KEY, max(width // 2, 12)) + 2
    lines: list[Line] = []
    for key in keys:
        told = f"{value(key.old)} → {value(key.new)}"
        room = width - column - 2
        parts = wrap(told, max(room, 12))
        head: Line = ((" ", Tone.TEXT), (left(cut(key.key, column - 1), column), Tone.MUTED))
        if len(key.key) >= column or len(parts) > 2 or max(map(cell_len, told.split())) > room:
            lines.append((head[0], (cut(key.key, width - 2), Tone.MUTED)))
            lines += [(("     ", Tone.TEXT), (part, Tone.TEXT)) for part in wrap(told, max(width - 6, 12))]
        else:
            lines.append((*head, (parts[0], Tone.TEXT)))
            lines += [((" " * (column + 1), Tone.TEXT), (part, Tone.TEXT)) for part in parts[1:]]
    return lines


_MOST_ROWS = 12


def _table(steps: Sequence[PlanStep], width: int) -> list[Line]:
    """Worker by worker: what happens to it, how long it is away, whom that hits."""
    column = min(max(len(step.worker) for step in steps), 24) + 2
    lines: list[Line] = [
        ((left(" worker", column + 1) + left("does", 12) + left("away about", 13) + "in flight", Tone.FAINT),)
    ]
    for step in steps[:_MOST_ROWS]:
        away = duration(step.downtime_s) if step.action.interrupts and step.action is not Action.STOP else ""
        line: Line = (
            (" ", Tone.TEXT),
            (left(cut(step.worker, column - 1), column), Tone.TEXT),
            (left(str(step.action), 12), _TONES.get(step.action, Tone.MUTED)),
        )
        if step.action.interrupts:
            line += ((left(away, 13), Tone.TEXT), _in_flight(step))
        else:
            line += ((_TELLS.get(step.action, ""), Tone.MUTED),)
        lines.append(clip(line, width))
    if len(steps) > _MOST_ROWS:
        lines.append(((f" and {count(len(steps) - _MOST_ROWS, 'worker')} more", Tone.MUTED),))
    return lines


def _in_flight(step: PlanStep) -> tuple[str, Tone]:
    if step.requests is None:
        return UNKNOWN, Tone.MUTED
    if not step.requests:
        return "0", Tone.MUTED
    given = f", drains {duration(step.drain_s)}" if step.drain_s else ", cut at once"
    return f"{step.requests:,}{given}", Tone.WARN


def _spaced(before: list[Line], lines: list[Line]) -> list[Line]:
    return [BLANK, *lines] if before and lines and before[-1] != BLANK else lines


def warning_lines(warnings: Iterable[PlanWarning], width: int) -> list[Line]:
    """What the host has to say, once for all workers of which it says the same."""
    workers: dict[tuple[str, str | None, bool], list[str]] = {}
    for warning in warnings:
        workers.setdefault((warning.message, warning.hint, warning.waits), []).append(warning.worker)
    lines: list[Line] = []
    for (message, hint, waits), names in workers.items():
        who = ", ".join(names) if len(names) < 4 else f"{names[0]} and {count(len(names) - 1, 'other')}"
        lines += hung("▲ ", Tone.WARN, f"{who} would wait: {message}" if waits else f"{who}: {message}", width)
        if hint:
            lines += [(("   ", Tone.TEXT), (part, Tone.MUTED)) for part in wrap(f"→ {hint}", max(width - 4, 10))]
    return lines


def value(given: object) -> str:
    if given is None:
        return "unset"
    return given if isinstance(given, str) and given else json.dumps(given, ensure_ascii=False, default=str)


def hung(sign: str, tone: Tone, text: str, width: int) -> list[Line]:
    """A sign and a sentence, its further lines below its first word."""
    indent = " " * (len(sign) + 1)
    parts = wrap(text, max(width - len(indent) - 1, 10))
    return [((f" {sign}" if n == 0 else indent, tone), (part, tone)) for n, part in enumerate(parts)]

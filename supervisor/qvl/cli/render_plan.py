"""A plan as text: what each worker would go through, and which keys force it. Pure."""

from __future__ import annotations

import json

from qvl.cli import table
from qvl.cli.terminal import Paint, plain
from qvl.cli.units import count, duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from qvl.client.documents import KeyChangeDoc, PlanDoc, PlanStepDoc, PlanWarningDoc

ACTION_STYLES = {"restart": "warn", "relayout": "warn", "stop": "bad", "start": "good", "live": "good"}
INTERRUPTING = ("stop", "restart", "relayout")


def plan_lines(doc: PlanDoc, *, width: int = 80, paint: Paint = plain) -> list[str]:
    steps = [step for step in doc["steps"] if step["action"] != "keep"]
    kept = len(doc["steps"]) - len(steps)
    if not steps:
        return [f"nothing would change: {count(kept, 'worker')} kept" if kept else "nothing would change"]
    names = max(len(step["worker"]) for step in steps)
    lines = []
    for step in steps:
        action = step["action"]
        after = ""
        if step["downtime_s"] is not None and action in INTERRUPTING:
            after = f"{table.GAP}about {duration(step['downtime_s'])} without it"
        lines.append(
            (paint(f"{action:<11}", ACTION_STYLES.get(action, "")) + f" {step['worker']:<{names}}{after}").rstrip()
        )
        for key in step["keys"]:
            lines += table.wrapped(change(key), width=width, first=" " * 12, rest=" " * 16)
        if step.get("requests"):  # an older daemon has no word for it
            lines += table.wrapped(cut_off(step), width=width, first=" " * 12, rest=" " * 16)
    for pool in doc["removes_pools"]:
        lines.append(paint(f"removes the pool {pool}: waits for `qvlctl apply`", "bad"))
    lines += warning_lines(doc.get("warnings", []), width, paint)
    lines.append(summary(len(steps), sum(step["action"] in INTERRUPTING for step in steps), kept))
    return lines


def warning_lines(warnings: Iterable[PlanWarningDoc], width: int, paint: Paint) -> list[str]:
    """What the host has to say, once for all workers of which it says the same."""
    workers: dict[tuple[str, str | None, bool], list[str]] = {}
    for warning in warnings:
        workers.setdefault((warning["message"], warning["hint"], warning["waits"]), []).append(warning["worker"])
    lines = []
    for (message, hint, waits), names in workers.items():
        who = ", ".join(names) if len(names) < 4 else f"{names[0]} and {count(len(names) - 1, 'other')}"
        told = f"{who} would wait: {message}" if waits else f"{who}: {message}"
        first, *rest = table.wrapped(told, width=width, first="warning: ", rest=" " * 9)
        lines += [paint("warning:", "warn") + first.removeprefix("warning:"), *rest]
        if hint:
            lines += table.wrapped(hint, width=width, first=" " * 9 + "hint: ", rest=" " * 15)
    return lines


def change(key: KeyChangeDoc) -> str:
    """`mem-fraction-static: 0.8 → 0.85`; a side that isn't there is said to be unset."""
    return f"{key['key']}: {value(key['from'])} → {value(key['to'])}"


def cut_off(step: PlanStepDoc) -> str:
    """Who is hit, and what they are given."""
    number, drain = step["requests"] or 0, step["drain_s"]
    who = "it gets" if number == 1 else "they get"
    given = f"{drain:g} s to finish (stop.drain)" if drain else "no time to finish (stop.drain = 0)"
    return f"interrupts {count(number, 'request')} in flight: {who} {given}"


def value(given: object) -> str:
    if given is None:
        return "unset"
    return given if isinstance(given, str) and given else json.dumps(given, ensure_ascii=False)


def summary(changed: int, interrupted: int, kept: int) -> str:
    parts = [
        f"{count(changed, 'worker')} would change",
        f"{interrupted} interrupted" if interrupted else "none interrupted",
    ]
    if kept:
        parts.append(f"{kept} kept")
    return ", ".join(parts)

"""Says on stderr what a wait waits for: each step once, or on a terminal one line that is rewritten in place."""

from __future__ import annotations

import time

from qvl.cli.render import doing, switching
from qvl.cli.terminal import ProgressLine
from qvl.cli.units import count, duration, now_utc
from qvl.cli.waiting import STOPPED, Goal, TransactionGoal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from qvl.client.documents import FrameDoc, WorkerDoc


class Progress:
    """Fed with every frame, and with None where none came; the line is a fact told once, or rewritten in place."""

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._line = ProgressLine()
        self._told: dict[str, str] = {}
        self._begun = time.monotonic()

    def update(self, frame: FrameDoc | None) -> None:
        if frame is not None and frame["type"] == "away":
            self._line.say(f"{frame['message']}; waiting for it to come back")
        if self._line.live:
            self._line.show(f"{at_the_moment(self._goal, now_utc())} ({duration(time.monotonic() - self._begun)})")
            return
        facts = facts_of(self._goal)
        for name, told in facts.items():
            if self._told.get(name) != told:
                self._line.say(f"{name}: {told}")
        self._told = facts

    def end(self) -> None:
        self._line.clear()


def facts_of(goal: Goal) -> dict[str, str]:
    """By worker or pool, what is worth a line where lines stay: no percents."""
    if not isinstance(goal, TransactionGoal):
        return {name: fact(worker) for name in goal.names if (worker := goal.fleet.find(name)) is not None}
    facts = {}
    for pool in goal.under_way():
        switch = pool["switch"]
        if switch:
            facts[switch["worker"] or pool["name"]] = switch["step"]
            if why := switch.get("why"):
                facts[pool["name"]] = f"{switch['step']}: {why}"
    return facts


def fact(worker: WorkerDoc) -> str:
    """The phase, the step of a start, or why there is none."""
    progress = worker["progress"]
    if worker["ready"]:
        return "ready"
    if worker["phase"] == "starting" and progress:
        return f"starting, {progress['step']}"
    if worker["phase"] in ("backoff", "failed") and worker["reason"]:
        return f"{worker['phase']}: {worker['reason']}"
    return worker["phase"]


def at_the_moment(goal: Goal, now: datetime) -> str:
    """One line on the whole, with percents and the time left."""
    if isinstance(goal, TransactionGoal):
        # An edit is one transaction for all pools: each of them tells the same.
        switch = next((pool["switch"] for pool in goal.under_way()), None)
        if switch is None:
            return "waiting for the daemon"
        worker = goal.fleet.workers.get(switch["worker"] or "")
        return switching(switch, now) + (f"; {moment(worker, now)}" if worker else "")
    behind = goal.behind()
    worker = goal.fleet.find(behind[0]) if behind else None
    first = f"{worker['name']}: {moment(worker, now)}" if worker else ""
    if len(goal.names) == 1:
        return first
    word = "stopped" if goal.goal == STOPPED else "ready"
    return (
        f"{len(goal.names) - len(behind)} of {count(len(goal.names), 'worker')} {word}{'; ' + first if first else ''}"
    )


def moment(worker: WorkerDoc, now: datetime) -> str:
    at = doing(worker, now)
    return "ready" if worker["ready"] else worker["phase"] + (f", {at}" if at else "")

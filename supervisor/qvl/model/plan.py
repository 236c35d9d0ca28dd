"""A plan: what an edit would do, worker by worker. Computed by `qvl.core.planning`, shown by everyone, applied once."""

from enum import StrEnum

import msgspec


class Action(StrEnum):
    KEEP = "keep"
    RECONFIGURE = "reconfigure"
    LIVE = "live"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RELAYOUT = "relayout"

    @property
    def interrupts(self) -> bool:
        return self in (Action.STOP, Action.RESTART, Action.RELAYOUT)


class KeyChange(msgspec.Struct, frozen=True, rename={"old": "from", "new": "to"}):
    """One key that differs; a missing side is None. Values of secret files never appear, only their names."""

    key: str
    old: object = None
    new: object = None


class PlanStep(msgspec.Struct, frozen=True):
    worker: str
    action: Action
    keys: tuple[KeyChange, ...] = ()
    downtime_s: float | None = None
    """Expected seconds without this worker, from remembered start-ups; None where nothing is known or nothing stops."""
    requests: int | None = None
    """Requests in flight that the step interrupts, running and queued; None: it interrupts none, or nobody knows."""
    drain_s: float | None = None
    """Seconds that they get to finish; None with `requests`."""


class PlanWarning(msgspec.Struct, frozen=True):
    """What this host has to say of a worker that the plan starts."""

    worker: str
    message: str
    hint: str | None = None
    waits: bool = False
    """It wouldn't be started as things stand, and would wait for that to be mended."""


class Plan(msgspec.Struct, frozen=True):
    revision: str
    """Hash of the configuration that it was computed from."""
    steps: tuple[PlanStep, ...]
    version: int = 1
    id: str = ""
    removes_pools: tuple[str, ...] = ()
    """Pools with workers up that the edit removes: such a plan waits for `apply`."""
    warnings: tuple[PlanWarning, ...] = ()
    """Of the workers that it starts or restarts; nothing of it keeps the plan from being applied."""

    @property
    def changes(self) -> bool:
        return any(step.action is not Action.KEEP for step in self.steps)

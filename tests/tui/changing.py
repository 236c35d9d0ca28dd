"""Pools that are being changed, and links that tell of them: what the screens of switching and of the file look at."""

from datetime import timedelta

import msgspec
from qvl.model.config import ConfigView
from qvl.model.event import Event, Frame, Severity, Snapshot
from qvl.model.status import SwitchStatus
from qvl.model.worker import Phase, Progress

from tests.tui.configs import eagle_plan, pending, refused, view
from tests.tui.fleet import NOW, FakeLink, snapshot, worker

POOL = "qwen3-vl"
BEGAN = NOW - timedelta(seconds=40)
SWITCH = SwitchStatus("switch", "eagle3", "restarting", "qwen3-vl-1", 1, 3, BEGAN, 47)
WHY = "qwen3-vl-1 did not get ready: out of GPU memory at load"


def pools(*workers: object, **changes: object) -> Snapshot:
    """One pool of three workers with these fields of its status."""
    told = snapshot(*(workers or [worker(f"qwen3-vl-{n}") for n in range(3)]))
    pool = msgspec.structs.replace(told.status.pools[0], **changes)
    return msgspec.structs.replace(told, status=msgspec.structs.replace(told.status, pools=(pool,)))


def happened(*told: tuple[float, str, str | None, dict[str, object]]) -> tuple[Event, ...]:
    """Events of the pool: seconds since the change began, kind, worker, facts."""
    return tuple(
        Event(seq=n, at=BEGAN + timedelta(seconds=after), kind=kind, message=kind, worker=who, pool=POOL, data=data)
        for n, (after, kind, who, data) in enumerate(told, start=1)
    )


def moves(who: str, began: float, *stages: tuple[str, float]) -> list[tuple[float, str, str | None, dict[str, object]]]:
    """A worker's phases: each with the seconds that it lasts."""
    found: list[tuple[float, str, str | None, dict[str, object]]] = []
    for phase, lasts in stages:
        found.append((began, "worker.phase", who, {"to": phase}))
        began += lasts
    return found


def step(after: float, who: str | None, name: str, **more: object) -> tuple[float, str, str | None, dict[str, object]]:
    return after, "switch", who, {"to": "eagle3", "step": name, "worker": who, **more}


THERE = (
    step(0, "qwen3-vl-0", "restarting"),
    *moves("qwen3-vl-0", 0, ("draining", 2), ("stopping", 1), ("releasing", 0.1), ("starting", 17), ("running", 1)),
    step(20.1, "qwen3-vl-0", "smoke test"),
    step(21, "qwen3-vl-1", "restarting"),
    *moves("qwen3-vl-1", 21, ("draining", 5), ("stopping", 1), ("releasing", 0.2), ("starting", 9)),
)


def under_way() -> tuple[Frame, ...]:
    """The first worker is through, the second one starts, the third waits for its turn."""
    second = worker("qwen3-vl-1", Phase.STARTING, profile="eagle3", progress=Progress("weights", 42, 9.0))
    workers = worker("qwen3-vl-0", profile="eagle3"), second, worker("qwen3-vl-2")
    return pools(*workers, switch=SWITCH, profile="standard"), *happened(*THERE)


def going_back() -> tuple[Frame, ...]:
    """The second one failed: it is on its way back."""
    back = msgspec.structs.replace(SWITCH, step="rolling back", done=0, total=2, percent=20, why=WHY)
    second = worker("qwen3-vl-1", Phase.STARTING, progress=Progress("weights", 40, 12.0))
    told = happened(
        *THERE,
        (36, "worker.phase", "qwen3-vl-1", {"from": "starting", "to": "failed"}),
        step(36, None, "rolling back", why=WHY),
        step(36, "qwen3-vl-1", "rolling back", why=WHY),
        *moves("qwen3-vl-1", 36.2, ("releasing", 0.1), ("starting", 3)),
    )
    return pools(worker("qwen3-vl-0", profile="eagle3"), second, worker("qwen3-vl-2"), switch=back), *told


def outcome(seq: int = 90, *, good: bool = True) -> Event:
    message = "switched to profile eagle3" if good else f"went back to profile standard: {WHY}"
    data: dict[str, object] = {"to": "eagle3", "outcome": "done" if good else "rolled-back"}
    severity = Severity.INFO if good else Severity.ERROR
    at = NOW + timedelta(seconds=20)
    return Event(seq=seq, at=at, kind="switch", message=message, pool=POOL, data=data, severity=severity)


def link(*frames: Frame, role: str = "operator", configuration: ConfigView | None = None, name: str = "") -> FakeLink:
    """It knows a plan of three workers, and a configuration."""
    made = FakeLink(*(frames or (pools(),)), role=role, name=name)
    made.switch_plan = eagle_plan(*(f"qwen3-vl-{n}" for n in range(3)))
    made.configuration = configuration or view()
    return made


def of_config(configuration: ConfigView, role: str = "operator", name: str = "") -> FakeLink:
    """A daemon whose status says of the file what this view does."""
    told = pools()
    known = msgspec.structs.replace(told.status.supervisor, config=configuration.status)
    told = msgspec.structs.replace(told, status=msgspec.structs.replace(told.status, supervisor=known))
    return link(told, role=role, configuration=configuration, name=name)


CONFIGS = {"applied": view, "refused": refused, "pending": pending}

"""One fleet in each of its states, told in full: whatever screen looks at it has something to show."""

from collections.abc import Callable

import msgspec
from qvl.model.detail import WorkerDetail
from qvl.model.event import Event, Frame, Snapshot
from qvl.model.status import WorkerStatus

from tests.tui.details import SCENES as DETAILS
from tests.tui.details import detail
from tests.tui.fleet import backoff, event, failed, snapshot, starting, troubled, worker
from tests.tui.lived import lived
from tests.tui.logs.link import LogLink
from tests.tui.logs.scenes import run

SIZES = ((80, 24), (120, 40), (200, 60))
FIRST = "qwen3-vl-0"
"""The worker in focus."""


def told(*frames: Frame, role: str = "operator") -> LogLink:
    """A link whose daemon knows all about the first worker, has watched the fleet for a day, and has its logs."""
    link = LogLink(*frames, role=role)
    (first,) = [frame for frame in frames if isinstance(frame, Snapshot)]
    names = [known.name for known in first.status.workers]
    link.before = lived(*names)
    for known in first.status.workers:
        link.details[known.name] = detail_of(known)
        link.of(known.name).write(run(60, 30, dies=known.last_exit is not None).encode())
    return link


def detail_of(known: WorkerStatus) -> WorkerDetail:
    scenes = {"starting": "starting", "failed": "failed", "stopped": "stopped"}
    scene = DETAILS.get(scenes.get(known.phase, ""))
    if scene is None:
        return detail(known, exits=())
    return msgspec.structs.replace(scene().details[FIRST], worker=known)


def two(first: WorkerStatus) -> Snapshot:
    return snapshot(first, worker("qwen3-vl-1"))


def happened() -> tuple[Event, ...]:
    return event(9, "qwen3-vl-1 is ready after 31 s", worker="qwen3-vl-1"), event(10, "config applied: revision a1")


STATES: dict[str, Callable[[], LogLink]] = {
    "empty": lambda: told(snapshot()),
    "starting": lambda: told(two(starting(FIRST)), *happened()),
    "running": lambda: told(two(worker(FIRST)), *happened()),
    "backoff": lambda: told(two(backoff(FIRST)), *happened()),
    "failed": lambda: told(two(failed(FIRST)), *happened()),
    "disconnected": lambda: told(*troubled()),
    "viewer": lambda: told(two(worker(FIRST)), *happened(), role="viewer"),
}

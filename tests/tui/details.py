"""What a daemon tells of single workers, and links that tell it: scenes for the worker's screen."""

from datetime import timedelta

from msgspec.structs import replace
from qvl.model.detail import (
    EngineCapacity,
    PastExit,
    ProcessInfo,
    StartDetail,
    StepState,
    StepTime,
    WorkerDetail,
)
from qvl.model.status import WorkerStatus
from qvl.model.worker import Cause, Phase

from tests.tui.fleet import GIB, NOW, FakeLink, failed, gpu, snapshot, starting, worker

STEPS = ("launch", "import", "weights", "kv-cache", "graphs", "warm-up")
TOOK = (9.1, 13.0, 2.5, 0.02, 6.8, 3.0)
EXPECTED = (9.5, 12.8, 2.5, 0.2, 3.4, 3.0)

CAPACITY = EngineCapacity(1, round(16.52 * GIB), 356176, round(48.92 * GIB), 32768, 4096, round(70.61 * GIB))
PROCESSES = (
    ProcessInfo(4100, 812, "python3.12", "S", 3 * GIB, 40.0, 96, None, (), root=True),
    ProcessInfo(4131, 4100, "sglang::scheduler_TP0", "R", 4 * GIB, 640.0, 80, 70 * GIB, (0,)),
    ProcessInfo(4190, 4131, "ptxas", "Z", 0, 0.1, 1),
    ProcessInfo(4132, 4100, "sglang::detokenizer", "S", 900 << 20, 12.0, 12),
)
EXITS = (
    PastExit(
        NOW - timedelta(minutes=45),
        Cause.OUT_OF_GPU_MEMORY,
        1,
        None,
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 141 GiB",
        "lower mem-fraction-static, or free what else holds GPU 0",
        False,
        41.0,
        "standard",
    ),
    PastExit(NOW - timedelta(hours=3), Cause.REQUESTED, None, 15, None, None, True, 86400.0, "standard"),
    PastExit(NOW - timedelta(days=2), Cause.KILLED, None, 9, "killed by signal 9"),
)


def start(*, at: int | None = None, over: bool = True, watched: bool = True) -> StartDetail:
    """A start that stands at step number `at`, or one that got ready."""
    steps = []
    for place, (step, took, expected) in enumerate(zip(STEPS, TOOK, EXPECTED, strict=True)):
        state = StepState.DONE if at is None or place < at else StepState.NOW if place == at else StepState.AHEAD
        seconds: float | None = took if state in (StepState.DONE, StepState.NOW) else None
        if not watched:
            state, seconds = StepState.UNKNOWN, None
        steps.append(StepTime(step, state, seconds, expected))
    known = [step.seconds for step in steps if step.seconds is not None]
    return StartDetail(
        at=NOW - timedelta(minutes=42),
        profile="standard",
        steps=tuple(steps),
        ready=at is None,
        over=over,
        fraction=0.62 if not over else None,
        seconds=round(sum(known), 1) if watched else None,
        expected_s=round(sum(EXPECTED), 1),
    )


def detail(status: WorkerStatus, **changes: object) -> WorkerDetail:
    """Of a worker that serves, unless told otherwise."""
    known: dict[str, object] = {
        "worker": status,
        "start": start(),
        "capacity": CAPACITY,
        "processes": PROCESSES,
        "processes_left_out": 0,
        "exits": EXITS,
    }
    return WorkerDetail(**(known | changes))  # type: ignore[arg-type]


LOG = b"".join(
    b"[2026-03-04 12:%02d:00] Decode batch, #running-req: 3, #token: 512, gen throughput (token/s): %d.5\n" % (n, n)
    for n in range(30)
) + (
    b'[2026-03-04 12:30:00] INFO:     127.0.0.1:4242 - "GET /health HTTP/1.1" 200 OK\n'
    b"/opt/x.py:7: FutureWarning: this is old\n"
    b"[2026-03-04 12:31:00 TP0] torch.OutOfMemoryError: CUDA out of memory\n"
)


def link_of(status: WorkerStatus, told: WorkerDetail | None, *others: WorkerStatus, role: str = "operator") -> FakeLink:
    """A fleet whose first worker is `status`."""
    link = FakeLink(snapshot(status, *others, gpus=tuple(gpu(n) for n in range(1 + len(others)))), role=role)
    if told is not None:
        link.details[status.name] = told
    link.write(LOG)
    return link


def ready() -> FakeLink:
    status = worker(restarts=1, max_restarts=8, drift=("context-length 32000 → 65536",))
    return link_of(status, detail(status), worker("qwen3-vl-1"))


def under_way() -> FakeLink:
    status = starting("qwen3-vl-0", 42, since=NOW - timedelta(seconds=25))
    begun = replace(start(at=2, over=False), at=status.since)
    told = detail(status, start=begun, capacity=EngineCapacity(weights=CAPACITY.weights))
    return link_of(status, told)


def given_up() -> FakeLink:
    status = failed("qwen3-vl-0", since=NOW - timedelta(minutes=3))
    return link_of(status, detail(status, start=start(at=4), processes=()))


def of_ones_own() -> FakeLink:
    """An engine that tells nothing of itself."""
    status = worker("embed-0", engine="own", profile="embed")
    step = StepTime("launch", StepState.DONE, 1.2)
    rest = tuple(StepTime(name, StepState.SKIPPED) for name in STEPS[1:])
    told = StartDetail(NOW - timedelta(hours=2), "embed", (step, *rest), ready=True, over=True, seconds=1.2)
    shell = ProcessInfo(4100, 812, "sh", "S", 2 << 20, 0.0, 1, root=True)
    return link_of(status, detail(status, start=told, capacity=None, processes=(shell,), exits=()))


def of_an_older_daemon() -> FakeLink:
    return link_of(failed("qwen3-vl-0"), None)


def stopped() -> FakeLink:
    status = worker(phase=Phase.STOPPED)
    return link_of(status, detail(status, processes=()))


SCENES = {
    "ready": ready,
    "starting": under_way,
    "failed": given_up,
    "own": of_ones_own,
    "older": of_an_older_daemon,
    "stopped": stopped,
}

"""The answer of `GET /v1/workers/{name}`: all that is known of one worker beside its status. Fields may be added."""

from datetime import datetime
from enum import StrEnum

import msgspec

from qvl.model.status import WorkerStatus
from qvl.model.worker import Cause


class StepState(StrEnum):
    DONE = "done"
    NOW = "now"
    """Under way; where the start is over without getting ready, the step at which it ended."""
    SKIPPED = "skipped"
    """Later steps have begun and this one was not seen: the engine was told not to, or says nothing of it."""
    AHEAD = "ahead"
    UNKNOWN = "unknown"
    """It is over, but the daemon did not see it, as it did not run then."""


class StepTime(msgspec.Struct, frozen=True):
    """One step of a start; `seconds` it took, or has taken so far; None where it has not begun or nobody measured."""

    step: str
    state: StepState
    seconds: float | None = None
    expected_s: float | None = None
    """What it took in the last good start of this profile before this one; None where there was none."""


class StartDetail(msgspec.Struct, frozen=True):
    """The start that is under way, or else the last one."""

    at: datetime
    profile: str
    steps: tuple[StepTime, ...]
    """All of them, in their order."""
    ready: bool = False
    over: bool = False
    """It got ready, or it ended before that."""
    fraction: float | None = None
    """0-1 within the step under way, where the engine tells."""
    seconds: float | None = None
    """From its begin until now, until it was ready, or until it ended."""
    expected_s: float | None = None
    """All that earlier starts lead one to expect."""


class EngineCapacity(msgspec.Struct, frozen=True):
    """What an engine said at its start that it has room for. None: it didn't say.

    Several ranks say it, each of its own card. Figures of memory are of the rank with the most of it in use, the number
    of tokens is the smallest that any rank has.
    """

    ranks: int = 1
    weights: int | None = None
    """Bytes on each card, of a draft model too."""
    kv_tokens: int | None = None
    kv_bytes: int | None = None
    """Bytes on each card, of a draft model too."""
    context_length: int | None = None
    max_running: int | None = None
    """Requests that run at once."""
    free: int | None = None
    """Bytes that are left on each card after all that, of the host's memory where it computes on processors."""


class ProcessInfo(msgspec.Struct, frozen=True):
    """A process of a worker's tree. Its name is what it calls itself, never its arguments: those may hold secrets."""

    pid: int
    ppid: int
    name: str
    state: str
    """The letter of proc(5): R runs, S sleeps, D waits for a device, T is stopped, Z has ended."""
    rss: int | None
    """Bytes of memory of the host; pages that are shared count for each who shares them."""
    cpu_s: float
    """Seconds on a processor since its start, with those of its ended children."""
    threads: int
    gpu_memory: int | None = None
    """Bytes on cards, as their driver tells; None where it tells of none."""
    gpus: tuple[int, ...] = ()
    """The cards on which it holds memory, by index."""
    root: bool = False
    """The worker's own root; others without a parent here were left by theirs."""


class PastExit(msgspec.Struct, frozen=True):
    """One end of a worker's process, as far as the journal goes back."""

    at: datetime
    cause: Cause
    code: int | None = None
    signal: int | None = None
    evidence: str | None = None
    hint: str | None = None
    was_ready: bool | None = None
    """It had been ready once; None where that was not written down."""
    lived_s: float | None = None
    """Seconds from its start to its end; None where there was no process, or it was not written down."""
    profile: str | None = None


class WorkerDetail(msgspec.Struct, frozen=True):
    worker: WorkerStatus
    start: StartDetail | None
    """None before the first one, and for one that ran already when a daemon came that keeps them."""
    capacity: EngineCapacity | None
    """Of the start above; None where its engine has said nothing of it."""
    processes: tuple[ProcessInfo, ...]
    """The root first, each child after its parent."""
    processes_left_out: int
    """Processes beyond those that are told."""
    exits: tuple[PastExit, ...]
    """The newest first."""

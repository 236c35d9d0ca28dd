"""A worker: what is wanted of it, what it is, and why its last process ended."""

from enum import StrEnum

import msgspec

from qvl.model.spec import Launch


class Wanted(StrEnum):
    """The operator's will. It outlives the daemon."""

    UP = "up"
    DOWN = "down"


class Phase(StrEnum):
    """What is. `ready` is a separate fact."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPING = "stopping"
    RELEASING = "releasing"
    PARKED = "parked"
    BACKOFF = "backoff"
    FAILED = "failed"

    @property
    def has_process(self) -> bool:
        return self in _ALIVE


_ALIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.DRAINING, Phase.STOPPING, Phase.PARKED})


class Cause(StrEnum):
    """Why a worker ended; `qvl.core.restart` says what follows from each."""

    REQUESTED = "requested"
    BAD_ARGUMENTS = "bad-arguments"
    MODEL_MISSING = "model-missing"
    PORT_IN_USE = "port-in-use"
    OUT_OF_GPU_MEMORY = "out-of-gpu-memory"
    OUT_OF_HOST_MEMORY = "out-of-host-memory"
    GPU_FAULT = "gpu-fault"
    COLLECTIVE_FAULT = "collective-fault"
    ENGINE_CRASH = "engine-crash"
    HANG = "hang"
    START_STALLED = "start-stalled"
    ENVIRONMENT = "environment"
    SHM_FULL = "shm-full"
    DISK_FULL = "disk-full"
    KILLED = "killed"
    EXITED = "exited"
    UNKNOWN = "unknown"


class Exit(msgspec.Struct, frozen=True):
    """The end of one process tree. `at` is unix time in seconds; exactly one of `code` and `signal` is set, or
    neither where the process never came to be."""

    at: float
    cause: Cause
    code: int | None = None
    signal: int | None = None
    evidence: str | None = None
    """The line or fact that the cause rests on."""
    hint: str | None = None
    """What to do next, in one sentence."""
    missing: str | None = None
    """A path whose absence kept the worker from starting: once it is there, the worker is started again."""


class Progress(msgspec.Struct, frozen=True):
    """How far a start has come: the step by name, percent of the whole start, seconds still expected."""

    step: str
    percent: int | None = None
    eta_s: float | None = None


class Process(msgspec.Struct, frozen=True):
    """The identity of a worker's root process and of its shim; pids count only with their start times and the boot."""

    pid: int
    pid_start: int
    shim_pid: int
    shim_start: int
    boot_id: str
    started_at: float
    """Unix time, seconds."""
    started_mono: float
    """CLOCK_MONOTONIC, seconds; comparable within one boot."""
    log_offset: int
    """Absolute offset in the worker's log at which this run begins."""
    nccl_port: int | None = None
    tmpdir: str = ""
    run: str = ""
    """A word of this run alone, which the whole tree has in its environment as QVL_RUN."""
    cgroup: str = ""
    """Directory of the control group that holds the tree and nothing else; empty where there is none."""
    oom_kills: int | None = None
    """What the kernel's counter of OOM kills around it stood at when it was started."""


class DeadlineKind(StrEnum):
    """What is due when a worker's one deadline passes."""

    STALL = "stall"
    CALM = "calm"
    DRAIN = "drain"
    TERM = "term"
    KILL = "kill"
    RELEASE = "release"
    RETRY = "retry"


class Deadline(msgspec.Struct, frozen=True):
    kind: DeadlineKind
    at: float
    """CLOCK_MONOTONIC, seconds."""


class Verdict(msgspec.Struct, frozen=True):
    """Our own reason for ending a process that was not asked to end: it becomes the cause of the exit."""

    cause: Cause
    evidence: str


class Live(msgspec.Struct, frozen=True):
    """What was changed in a process since its start, without another one."""

    started: Launch
    """What it was started with: its command line says so for as long as it lives."""
    tried: tuple[Launch, ...] = ()
    """Where changes were to lead that are under way or failed: it runs `WorkerRecord.launched`, or some of these."""


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered of one worker, as it lies on disk. Only `qvl.core.lifecycle.step` makes new ones."""

    name: str
    pool: str
    wanted: Wanted
    phase: Phase = Phase.STOPPED
    ready: bool = False
    generation: int = 0
    """Counts spawns; inputs about an older generation are stale."""
    since: float = 0.0
    """Unix time of the last change of phase."""
    restarts: int = 0
    """Unrequested ends since the operator last started it."""
    streak: int = 0
    """Unrequested ends in a row: the exponent of the backoff. Calm sets it to 0."""
    ends: tuple[float, ...] = ()
    """CLOCK_MONOTONIC times of the unrequested ends that count against the budget."""
    reason: str | None = None
    hint: str | None = None
    deadline: Deadline | None = None
    served: bool = False
    """The current or last process was ready once."""
    asked: bool = False
    """The current process was asked to end; whatever its exit code, that end is `requested`."""
    verdict: Verdict | None = None
    trial: bool = False
    """Under a transaction: the first unrequested end is final, so that the transaction can go back."""
    held: bool = False
    """Down for now though wanted up: the daemon stops, or a change needs its place. A new daemon starts it again."""
    final: bool = False
    """Ended by itself, and its restart mode says that this is the end of it."""
    last_exit: Exit | None = None
    progress: Progress | None = None
    process: Process | None = None
    launched: Launch | None = None
    """The configuration that the current process runs: the one that it was started with, but for `live`."""
    live: Live | None = None
    """None where nothing was changed in it since its start."""
    profile: str = ""
    """The profile that the current or last process ran."""

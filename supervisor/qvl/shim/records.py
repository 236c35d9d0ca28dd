"""What a shim is told, answers, pushes and leaves on disk: the one definition of these shapes.

The daemon's side only. The shim builds the same objects as plain dictionaries, because it may import nothing but the
standard library; the tests decode what a real shim says with these types, so the two cannot drift apart.

Times: `*_start` is the start time of a process in clock ticks since boot, field 22 of /proc/PID/stat (proc(5));
`*_mono` is CLOCK_MONOTONIC in seconds, which all processes of a boot share; `at` and `started_at` are Unix seconds.
A pid means something only together with its start time and the boot's id.
"""

from __future__ import annotations

from msgspec import Struct

from qvl.shim.wire import PROTOCOL_VERSION


class Bootstrap(Struct, frozen=True, kw_only=True):
    """All that a shim needs for a worker's whole life; it travels by the shim's stdin and is written nowhere."""

    worker: str
    generation: int
    """Counts the starts of this worker, so that news of an older process can be told from news of this one."""
    bundle: str
    """Existing directory, 0700, for this worker's socket and records. A path may be longer than 107 bytes."""
    argv: list[str]
    """The command line; argv[0] is searched in PATH of `env` where it has no slash."""
    env: dict[str, str]
    """The complete environment of the worker: nothing is inherited."""
    cwd: str
    log_dir: str
    max_size: int
    """Bytes after which a log segment ends, at the next end of a line."""
    keep: int
    """How many finished log segments stay beside the one that is written."""
    cgroup: str = ""
    """Directory of the control group that the worker's whole tree is to live in; empty: none."""
    secrets: list[str] = []
    """Values that never reach the log, neither as they are nor in a usual encoding."""
    protocol: int = PROTOCOL_VERSION

    def __repr__(self) -> str:
        """Names the launch without its environment and secrets, since a repr ends up in logs."""
        return f"Bootstrap(worker={self.worker!r}, generation={self.generation}, bundle={self.bundle!r})"


class Answer(Struct, frozen=True, kw_only=True):
    """The worker's process exists and has executed its program."""

    protocol: int
    shim_pid: int
    shim_start: int
    pid: int
    pid_start: int
    boot_id: str
    started_at: float
    started_mono: float
    log_offset: int
    """Absolute offset in the worker's log at which this run's output begins."""
    cgroup: str = ""


class ShimRecord(Answer, frozen=True, kw_only=True):
    """The bundle's shim.json: how a daemon that did not launch this shim finds it."""

    worker: str
    generation: int


class ExitStatus(Struct, frozen=True, kw_only=True):
    """How the worker's root process ended: exactly one of `code` and `signal` is set."""

    code: int | None
    signal: int | None
    at: float
    at_mono: float


class ExitRecord(ExitStatus, frozen=True, kw_only=True):
    """The bundle's exit.json, written when the root process ends and again when nothing of its tree is left."""

    protocol: int
    generation: int
    pid: int
    gone: bool
    """No process of the tree is left and all of its output is in the log."""
    log_end: int
    lost_bytes: int
    pids: list[int] = []
    """Processes that were seen in the tree: what they have left behind under their number is the worker's."""


class State(Struct, frozen=True, kw_only=True):
    """What a shim says first on each connection."""

    protocol: int
    generation: int
    shim_pid: int
    shim_start: int
    pid: int
    pid_start: int
    exited: ExitStatus | None
    gone: bool = False
    log_end: int
    lost_bytes: int
    """Bytes of output that this run could not store, since the shim started."""


class Exited(ExitStatus, frozen=True, kw_only=True, tag="exited", tag_field="type"):
    """Pushed when the root process has ended; the rest of its tree may still be ending."""


class Gone(Struct, frozen=True, kw_only=True, tag="gone", tag_field="type"):
    """Pushed when no process of the tree is left; the shim ends after it."""

    log_end: int
    lost_bytes: int


class Lost(Struct, frozen=True, kw_only=True, tag="lost", tag_field="type"):
    """Pushed, at most once a second, when output could not be stored."""

    lost_bytes: int


Push = Exited | Gone | Lost


class TreeProcess(Struct, frozen=True, kw_only=True):
    """One living process or zombie below the shim."""

    pid: int
    start: int
    ppid: int
    comm: str
    state: str
    """One letter, as in proc(5): R, S, D, Z, T …"""


class Run(Struct, frozen=True, kw_only=True):
    """One start of the worker, as the log directory's `runs` lists them."""

    generation: int
    offset: int
    """Absolute offset at which its output begins; it may have been rotated away."""
    at: float

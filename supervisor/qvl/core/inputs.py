"""What can happen to a worker (inputs) and what the machine orders (effects).

`qvl.core.lifecycle` gives them meaning.
"""

from dataclasses import dataclass

from qvl.model.spec import Launch, Policy
from qvl.model.worker import DeadlineKind, Exit, Process, Progress, Verdict


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment on both clocks: `mono` for deadlines, `wall` for people."""

    mono: float
    wall: float


# ---- inputs


@dataclass(frozen=True, slots=True)
class StartAsked:
    """An operator, or `autostart`. Forgets earlier failures."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    pass


@dataclass(frozen=True, slots=True)
class RestartAsked:
    """Stop if needed, then start with the specification of that moment. `trial`: under a transaction."""

    trial: bool = False


@dataclass(frozen=True, slots=True)
class HoldAsked:
    """End the process and start no other until asked; what the operator wants stays as it is."""


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """The transaction committed, or is over."""


@dataclass(frozen=True, slots=True)
class Respecified:
    """Its policy is another than `old`; what runs goes on."""

    old: Policy


@dataclass(frozen=True, slots=True)
class Mended:
    """What made the worker give up has changed: the configuration, or a thing that was missing is there."""

    what: str


@dataclass(frozen=True, slots=True)
class GateOpened:
    """The old tree is gone, the GPU's memory and the port are free."""


@dataclass(frozen=True, slots=True)
class GateHeld:
    """Something holds the GPU or the port: `by` names it."""

    by: str


@dataclass(frozen=True, slots=True)
class Spawned:
    generation: int
    process: Process
    launched: Launch
    profile: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """A sign of progress while starting; without a figure it only moves the stall deadline."""

    generation: int
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class BecameReady:
    generation: int


@dataclass(frozen=True, slots=True)
class BecameUnready:
    generation: int
    why: str


@dataclass(frozen=True, slots=True)
class Condemned:
    """An observation that the process can't go on. `gently`: it still serves (its shim is lost, say), so what is in
    flight is waited for."""

    generation: int
    verdict: Verdict
    gently: bool = False


@dataclass(frozen=True, slots=True)
class LiveBegun:
    """Its process is about to be changed to `launch`, without another start. `trial`: under a transaction."""

    generation: int
    launch: Launch
    trial: bool = False


@dataclass(frozen=True, slots=True)
class LiveDone:
    """Its process runs `launch` now."""

    generation: int
    launch: Launch
    profile: str


@dataclass(frozen=True, slots=True)
class Drained:
    generation: int


@dataclass(frozen=True, slots=True)
class RootEnded:
    """The root process is gone; the shim ends what it left."""

    generation: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The whole tree is gone (or never came to be)."""

    generation: int
    exit: Exit


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    kind: DeadlineKind


Input = (
    StartAsked
    | StopAsked
    | RestartAsked
    | HoldAsked
    | TrialEnded
    | Respecified
    | Mended
    | GateOpened
    | GateHeld
    | Spawned
    | Progressed
    | BecameReady
    | BecameUnready
    | Condemned
    | LiveBegun
    | LiveDone
    | Drained
    | RootEnded
    | Ended
    | DeadlinePassed
)

# ---- effects


@dataclass(frozen=True, slots=True)
class CheckGate:
    """Watch GPU memory and port; answered by GateHeld and GateOpened. Replaces an earlier watch."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the process; answered by Spawned or Ended."""

    generation: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Wait until no request is in flight; answered by Drained."""

    generation: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM to the root process."""

    generation: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the whole tree."""

    generation: int


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Set the worker's GPUs aside."""

    why: str


Effect = CheckGate | Spawn | Drain | Terminate | Kill | Quarantine

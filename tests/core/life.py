"""One worker for tests to tell what happens to it, and the configuration that it has."""

import msgspec
from qvl.core.inputs import (
    BecameReady,
    Effect,
    Ended,
    GateOpened,
    Input,
    Instant,
    RestartAsked,
    Spawned,
    StartAsked,
)
from qvl.core.lifecycle import step
from qvl.core.resume import resume
from qvl.model.spec import (
    Engine,
    EngineKind,
    HealthPolicy,
    Launch,
    Policy,
    RestartPolicy,
    StopPolicy,
    WorkerSpec,
)
from qvl.model.worker import (
    Cause,
    DeadlineKind,
    Exit,
    Phase,
    Process,
    Verdict,
    Wanted,
    WorkerRecord,
)

LAUNCH = Launch(
    engine=Engine(name="sglang", kind=EngineKind.SGLANG, python="/opt/python"),
    model="/models/qwen",
    args={"tp": 2, "mem-fraction-static": 0.85, "enable-metrics": True, "x": ["a", 1], "y": {"z": [1.0, None]}},
    gpus=(0, "GPU-1"),
)
PROCESS = Process(100, 5, 99, 4, "boot", 1.0, 2.0, 0, 29500, "/run/tmp")
HANG = Verdict(Cause.HANG, "no progress for 400 s")
LOST = Verdict(Cause.KILLED, "its shim was killed")
POLICY = Policy(
    restart=RestartPolicy(backoff=1, backoff_max=8, reset_after=600, max_restarts=3, window=1800),
    health=HealthPolicy(stall_timeout=300),
    stop=StopPolicy(drain=60, term=90),
)
T = 1000.0


def spec(policy: Policy = POLICY, kind: EngineKind = EngineKind.SGLANG) -> WorkerSpec:
    launch = msgspec.structs.replace(LAUNCH, engine=Engine(name="e", kind=kind))
    return WorkerSpec(name="chat-0", pool="chat", index=0, profile="standard", launch=launch, policy=policy)


def exit_of(cause: Cause, code: int | None = 1, signal: int | None = None, **more: str) -> Exit:
    return Exit(1.0, cause, None if signal else code, signal, **more)


class Life:
    """One worker, told what happens to it."""

    def __init__(self, policy: Policy = POLICY, kind: EngineKind = EngineKind.SGLANG, wanted: Wanted = Wanted.DOWN):
        self.record = WorkerRecord(name="chat-0", pool="chat", wanted=wanted)
        self.spec = spec(policy, kind)
        self.now = T

    def tell(self, *events: Input) -> tuple[Effect, ...]:
        """The effects of the last one."""
        effects: tuple[Effect, ...] = ()
        for event in events:
            done = step(self.record, self.spec, event, Instant(self.now, 1e9 + self.now))
            self.record, effects = done.record, done.effects
        return effects

    def resume(self, *, same_boot: bool = True) -> tuple[Effect, ...]:
        done = resume(self.record, self.spec.policy, Instant(self.now, 1e9 + self.now), same_boot=same_boot)
        self.record = done.record
        return done.effects

    @property
    def phase(self) -> Phase:
        return self.record.phase

    @property
    def due(self) -> tuple[DeadlineKind, float] | None:
        deadline = self.record.deadline
        return None if deadline is None else (deadline.kind, round(deadline.at - self.now, 6))

    def starting(self, *, trial: bool = False) -> "Life":
        self.tell(RestartAsked(trial) if trial else StartAsked(), GateOpened())
        self.tell(Spawned(self.record.generation, PROCESS, LAUNCH, "standard"))
        return self

    def running(self, *, trial: bool = False) -> "Life":
        self.starting(trial=trial).tell(BecameReady(self.record.generation))
        return self

    def end(self, cause: Cause, code: int | None = 1, signal: int | None = None, **more: str) -> tuple[Effect, ...]:
        return self.tell(Ended(self.record.generation, exit_of(cause, code, signal, **more)))

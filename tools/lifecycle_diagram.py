"""Writes docs/lifecycle.md: the state diagram of a worker, found by running `qvl.core.lifecycle.step`, never by hand.

    .venv/bin/python -m tools.lifecycle_diagram

From a worker that was never started every input is tried in every record that is ever reached, under policies that make
each decision fall both ways. Records that differ only in times and counts are taken for one.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from qvl.core.inputs import (
    BecameReady,
    BecameUnready,
    Condemned,
    DeadlinePassed,
    Drained,
    Effect,
    Ended,
    GateHeld,
    GateOpened,
    HoldAsked,
    Input,
    Instant,
    LiveBegun,
    LiveDone,
    Mended,
    Progressed,
    Respecified,
    RestartAsked,
    RootEnded,
    Spawned,
    StartAsked,
    StopAsked,
    TrialEnded,
)
from qvl.core.lifecycle import step
from qvl.core.restart import WAYS
from qvl.model.spec import (
    Engine,
    EngineKind,
    Launch,
    Policy,
    RestartMode,
    RestartPolicy,
    StopPolicy,
    Way,
    WorkerSpec,
)
from qvl.model.worker import (
    Cause,
    DeadlineKind,
    Exit,
    Phase,
    Process,
    Progress,
    Verdict,
    Wanted,
    WorkerRecord,
)

PAGE = Path(__file__).parents[1] / "docs" / "lifecycle.md"
NOW = Instant(1000.0, 1_700_000_000.0)
LAUNCH = Launch(engine=Engine(name="server", kind=EngineKind.COMMAND, command=("serve",)))

POLICIES = (
    Policy(),
    Policy(stop=StopPolicy(drain=0)),
    Policy(restart=RestartPolicy(mode=RestartMode.ON_FAILURE)),
    Policy(restart=RestartPolicy(mode=RestartMode.NEVER)),
    Policy(restart=RestartPolicy(max_restarts=1, causes={"gpu-fault": Way.QUARANTINE})),
)
ENDS = ((Cause.ENGINE_CRASH, 1), (Cause.EXITED, 0), (Cause.BAD_ARGUMENTS, 2), (Cause.GPU_FAULT, 1))

WORDS: dict[type[Input], str] = {
    StartAsked: "start",
    StopAsked: "stop",
    RestartAsked: "restart",
    HoldAsked: "hold",
    TrialEnded: "trial over",
    Respecified: "policy",
    Mended: "mended",
    GateOpened: "gate open",
    GateHeld: "gate held",
    Spawned: "spawned",
    Progressed: "progress",
    BecameReady: "ready",
    BecameUnready: "unready",
    Condemned: "condemned",
    LiveBegun: "live change",
    LiveDone: "live change done",
    Drained: "drained",
    RootEnded: "root ended",
    Ended: "ended",
    DeadlinePassed: "late",
}

MEANINGS: dict[Cause, str] = {
    Cause.BAD_ARGUMENTS: "the engine refused an argument, a value, or this kind of model",
    Cause.MODEL_MISSING: "a path, a name on the hub, or the right to read it",
    Cause.PORT_IN_USE: "somebody else listens there",
    Cause.OUT_OF_GPU_MEMORY: "while loading, or by a request",
    Cause.OUT_OF_HOST_MEMORY: "by its own word, or by the kernel's count of OOM kills in its control group",
    Cause.GPU_FAULT: "an Xid or a memory error of its card, or CUDA says so",
    Cause.COLLECTIVE_FAULT: "NCCL or Gloo, where no rank had a reason of its own",
    Cause.ENGINE_CRASH: "an exception, or a signal that only a fault raises",
    Cause.HANG: "alive without any progress; or the engine's own watchdog",
    Cause.START_STALLED: "no sign of progress for `health.stall_timeout` while starting",
    Cause.ENVIRONMENT: "a wrong or broken install",
    Cause.SHM_FULL: "no room in /dev/shm, or a bus error",
    Cause.DISK_FULL: "no room on a disk",
    Cause.KILLED: "a signal from outside, and nothing that explains it; or its shim was killed",
    Cause.EXITED: "it ended with 0 though nobody asked it to",
    Cause.UNKNOWN: "an exit code without a word",
}

Edge = tuple[Phase, Phase]
Key = tuple[object, ...]


def spec_with(policy: Policy) -> WorkerSpec:
    return WorkerSpec(name="pool-0", pool="pool", index=0, profile="standard", launch=LAUNCH, policy=policy)


def inputs(generation: int) -> Iterator[Input]:
    """One of each, of each kind that makes a difference, for the process of `generation`."""
    yield from (StartAsked(), StopAsked(), RestartAsked(), RestartAsked(trial=True), HoldAsked(), TrialEnded())
    yield from (Respecified(Policy()), Mended("the configuration"), GateHeld("pid 7"), GateOpened())
    process = Process(10, 1, 9, 1, "boot", NOW.wall, NOW.mono, 0)
    yield Spawned(generation, process, LAUNCH, "standard")
    yield Progressed(generation, Progress("weights", 40))
    yield from (BecameReady(generation), BecameUnready(generation, "no answer"), Drained(generation))
    yield from (Condemned(generation, Verdict(Cause.HANG, "no progress"), gently=gently) for gently in (False, True))
    yield from (LiveBegun(generation, LAUNCH), LiveBegun(generation, LAUNCH, trial=True))
    yield LiveDone(generation, LAUNCH, "standard")
    yield RootEnded(generation)
    for cause, code in ENDS:
        yield Ended(generation, Exit(NOW.wall, cause, code, evidence="its last words"))
    yield from map(DeadlinePassed, DeadlineKind)


def reachable() -> Iterator[tuple[WorkerRecord, Input, WorkerRecord, tuple[Effect, ...]]]:
    """Every record with every input and what comes of it, each kind of record once."""
    first = WorkerRecord(name="pool-0", pool="pool", wanted=Wanted.DOWN)
    seen, left = {_key(first)}, [first]
    while left:
        record = left.pop()
        for policy in POLICIES:
            for event in inputs(record.generation):
                done = step(record, spec_with(policy), event, NOW)
                yield record, event, done.record, done.effects
                if (key := _key(done.record)) not in seen:
                    seen.add(key)
                    left.append(done.record)


def _key(record: WorkerRecord) -> Key:
    return (
        record.phase,
        record.wanted,
        record.ready,
        record.asked,
        record.held,
        record.trial,
        record.final,
        record.verdict is not None,
        record.process is not None,
        record.live is not None and len(record.live.tried),
        record.deadline.kind if record.deadline else None,
        min(record.streak, 2),
        min(len(record.ends), 2),
    )


def word(event: Input) -> str:
    return f"{event.kind} deadline" if isinstance(event, DeadlinePassed) else WORDS[type(event)]


def edges() -> tuple[dict[Edge, list[str]], dict[Edge, list[str]]]:
    """What leads from one phase to another, and what is ordered on the way; in the order of the phases."""
    words: defaultdict[Edge, set[str]] = defaultdict(set)
    orders: defaultdict[Edge, set[str]] = defaultdict(set)
    for before, event, after, effects in reachable():
        edge = (before.phase, after.phase)
        if before.phase is not after.phase:
            words[edge].add(word(event))
            orders[edge].update(type(effect).__name__ for effect in effects)
    order = list(Phase)
    keys = sorted(words, key=lambda edge: (order.index(edge[0]), order.index(edge[1])))
    return {edge: sorted(words[edge]) for edge in keys}, {edge: sorted(orders[edge]) for edge in keys}


def render() -> str:
    words, orders = edges()
    lines = [
        "# The life of a worker",
        "",
        "Made by `python -m tools.lifecycle_diagram` from `qvl.core.lifecycle`; a test holds it in step.",
        "",
        "*wanted* (up or down) and *ready* are facts of their own. `stop` wants it down, `start` and `restart` want it",
        "up, `hold` ends it for a transaction and leaves what is wanted. What an end leads to depends on what is",
        "wanted, on its cause and on the pool's `restart` policy; where one word leads several ways, those decide.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> stopped",
        *(f"    {a} --> {b}: {', '.join(said)}" for (a, b), said in words.items()),
        "```",
        "",
        "| from | to | by | orders |",
        "|---|---|---|---|",
        *(f"| {a} | {b} | {', '.join(said)} | {', '.join(orders[a, b])} |" for (a, b), said in words.items()),
        "",
        "## What follows from a cause",
        "",
        "From `qvl.core.restart`; a pool's `restart.causes` overrides it row by row. Every end that nobody asked for",
        "is a failure, whatever its exit code.",
        "",
        "- `retry`: again after the backoff, up to `max_restarts` times within `window`.",
        "- `gate`: the same; the start waits until card and port are free, as every start does. Out of GPU memory",
        "  twice in a row while loading, on a card that was free, is given up.",
        "- `never`: until the configuration changes, `start` is typed, or what was missing is there.",
        "- `quarantine`: the card is set aside until somebody starts a worker on it.",
        "",
        "| cause | leads to | what it is |",
        "|---|---|---|",
        *(f"| `{cause}` | {WAYS[cause]} | {MEANINGS[cause]} |" for cause in Cause if cause is not Cause.REQUESTED),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(render())

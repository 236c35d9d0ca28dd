"""The life of one worker: every transition is here, and nothing else is.

Theory of operation. A `WorkerRecord` says what is wanted (`up` or `down`), what is (its phase) and whether it is ready;
these are three facts, never one. An `Input` is something that happened: an operator's word, an answer to an effect, an
observation, or the one deadline that a record may carry. `step` answers every pair of phase and input with a new record
and the effects to carry out; it never raises and never looks at a clock. "Restarting" is no phase: it is a worker that
is wanted up, seen while its old process goes.

    stopped ──start──▶ releasing ──gate open──▶ starting ──ready──▶ running
       ▲                 ▲    ▲                    │ end              │ stop/restart
       │ wanted down     │    └──retry due── backoff ◀── end ─────────┤
       └── releasing ◀── end ◀── stopping ◀── drained/late ── draining ◀┘
    failed is left only by an operator's word, by a mended cause, or by a changed configuration.

Inputs that concern a process carry the generation of the spawn that they speak of; stale ones are dropped here, in one
place. Which deadline is armed follows from the record alone, so a daemon that was restarted arms the same one.
"""

from dataclasses import dataclass

import msgspec

from qvl.core import live
from qvl.core.inputs import (
    BecameReady,
    BecameUnready,
    CheckGate,
    Condemned,
    DeadlinePassed,
    Drain,
    Drained,
    Effect,
    Ended,
    GateHeld,
    GateOpened,
    HoldAsked,
    Input,
    Instant,
    Kill,
    LiveBegun,
    LiveDone,
    Mended,
    Progressed,
    Quarantine,
    Respecified,
    RestartAsked,
    RootEnded,
    Spawn,
    Spawned,
    StartAsked,
    StopAsked,
    Terminate,
    TrialEnded,
)
from qvl.core.restart import GiveUp, RestartIn, decide, within
from qvl.model.spec import Policy, WorkerSpec
from qvl.model.worker import (
    Cause,
    Deadline,
    DeadlineKind,
    Exit,
    Phase,
    Progress,
    Verdict,
    Wanted,
    WorkerRecord,
)

KILL_PATIENCE = 10.0
"""Seconds after which a tree that outlived SIGKILL is killed again (and its worker says that it hangs on)."""

RELEASE_PATIENCE = 30.0
"""Seconds that a stopped worker waits for its GPU memory before it counts as stopped all the same."""


@dataclass(frozen=True, slots=True)
class Step:
    record: WorkerRecord
    effects: tuple[Effect, ...] = ()


def step(record: WorkerRecord, spec: WorkerSpec, event: Input, now: Instant) -> Step:
    """Answer one input. Total over phase and input: what has no meaning in a phase leaves the record as it is."""
    if _is_stale(record, event):
        return Step(record)
    match event:
        case StartAsked():
            return _start_asked(record, now)
        case StopAsked():
            return _stop_asked(record, spec.policy, now)
        case RestartAsked(trial=trial):
            return _restart_asked(record, spec.policy, now, trial=trial)
        case HoldAsked():
            return _hold_asked(record, spec.policy, now)
        case TrialEnded():
            return Step(msgspec.structs.replace(record, trial=False))
        case Respecified(old=old):
            return Step(_moved(record, old, spec.policy))
        case Mended(what=what):
            return _mended(record, what, now)
        case GateOpened():
            return _gate_opened(record, spec, now)
        case GateHeld(by=by):
            if record.phase is Phase.RELEASING:
                return Step(msgspec.structs.replace(record, reason=by))
        case Spawned(process=process, launched=launched, profile=profile):
            return _spawned(msgspec.structs.replace(record, process=process, launched=launched, profile=profile))
        case Progressed(progress=progress):
            if record.phase is Phase.STARTING:
                due = Deadline(DeadlineKind.STALL, now.mono + spec.policy.health.stall_timeout)
                return Step(msgspec.structs.replace(record, progress=progress or record.progress, deadline=due))
        case BecameReady():
            return _became_ready(record, spec.policy, now)
        case BecameUnready(why=why):
            if record.phase is Phase.RUNNING:
                # Calm is time in which it is ready: it begins anew once it is.
                return Step(msgspec.structs.replace(record, ready=False, reason=why, deadline=None))
        case Condemned(verdict=verdict, gently=gently):
            if record.phase in (Phase.STARTING, Phase.RUNNING, Phase.PARKED):
                return _condemn(record, spec.policy, verdict, now, gently=gently)
        case LiveBegun(launch=launch, trial=trial):
            return Step(live.begun(record, launch, trial=trial))
        case LiveDone(launch=launch, profile=profile):
            return Step(live.done(record, launch, profile))
        case Drained():
            if record.phase is Phase.DRAINING:
                return _terminate(record, spec.policy, now)
        case RootEnded():
            return _root_ended(record, now)
        case Ended(exit=end):
            return _ended(record, spec, end, now)
        case DeadlinePassed(kind=kind):
            return _deadline_passed(record, spec, kind, now)
    return Step(record)


def _is_stale(record: WorkerRecord, event: Input) -> bool:
    match event:
        case (
            Spawned() | Progressed() | BecameReady() | BecameUnready() | Condemned() | LiveBegun() | LiveDone()
            | Drained() | RootEnded() | Ended()
        ):  # fmt: skip
            return event.generation != record.generation or not record.phase.has_process
        case DeadlinePassed(kind=kind):
            return record.deadline is None or record.deadline.kind is not kind
        case _:
            return False


def enter(record: WorkerRecord, phase: Phase, now: Instant, deadline: Deadline | None = None) -> WorkerRecord:
    """Enter `phase`. What belongs to the old phase (its deadline, progress, sentence) stays behind."""
    since = record.since if record.phase is phase else now.wall
    return msgspec.structs.replace(
        record, phase=phase, since=since, deadline=deadline, ready=False, progress=None, reason=None, hint=None
    )


def _afresh(record: WorkerRecord) -> WorkerRecord:
    """Forget failures: the operator starts it anew. A trial goes on: the transaction waits for its outcome."""
    return msgspec.structs.replace(record, restarts=0, streak=0, ends=(), final=False, held=False)


def begin(record: WorkerRecord, now: Instant) -> Step:
    """The way to a process leads through the gate."""
    record = msgspec.structs.replace(record, wanted=Wanted.UP, asked=False, verdict=None, final=False, held=False)
    return Step(enter(record, Phase.RELEASING, now), (CheckGate(),))


def _start_asked(record: WorkerRecord, now: Instant) -> Step:
    match record.phase:
        case Phase.STOPPED | Phase.BACKOFF | Phase.FAILED:
            return begin(_afresh(record), now)
        case Phase.RELEASING:
            return Step(_afresh(msgspec.structs.replace(record, wanted=Wanted.UP, deadline=None)), (CheckGate(),))
        case _:
            return Step(msgspec.structs.replace(record, wanted=Wanted.UP, restarts=0, held=False))


def _stop_asked(record: WorkerRecord, policy: Policy, now: Instant) -> Step:
    record = msgspec.structs.replace(record, wanted=Wanted.DOWN, trial=False)
    match record.phase:
        case Phase.STOPPED | Phase.DRAINING | Phase.STOPPING:
            return Step(record)
        case Phase.RELEASING | Phase.BACKOFF | Phase.FAILED:
            return Step(enter(record, Phase.STOPPED, now))
        case Phase.STARTING | Phase.RUNNING | Phase.PARKED:
            return _let_go(record, policy, now)


def _restart_asked(record: WorkerRecord, policy: Policy, now: Instant, *, trial: bool) -> Step:
    record = msgspec.structs.replace(_afresh(record), wanted=Wanted.UP, trial=trial or record.trial)
    match record.phase:
        case Phase.STOPPED | Phase.BACKOFF | Phase.FAILED | Phase.RELEASING:
            return begin(record, now)
        case Phase.DRAINING | Phase.STOPPING:
            # Also one that is being killed by our own verdict: what was asked since is not its failure.
            return Step(msgspec.structs.replace(record, asked=True))
        case Phase.STARTING | Phase.RUNNING | Phase.PARKED:
            return _let_go(record, policy, now)


def _hold_asked(record: WorkerRecord, policy: Policy, now: Instant) -> Step:
    record = msgspec.structs.replace(record, held=True, trial=False)
    match record.phase:
        case Phase.STOPPED | Phase.FAILED | Phase.DRAINING | Phase.STOPPING:
            return Step(record)
        case Phase.RELEASING | Phase.BACKOFF:
            return Step(enter(record, Phase.STOPPED, now))
        case Phase.STARTING | Phase.RUNNING | Phase.PARKED:
            return _let_go(record, policy, now)


def _let_go(record: WorkerRecord, policy: Policy, now: Instant) -> Step:
    """Ask the process to end."""
    return _wind_down(msgspec.structs.replace(record, asked=True), policy, now)


def _wind_down(record: WorkerRecord, policy: Policy, now: Instant) -> Step:
    """A serving process finishes its requests first."""
    if record.phase is Phase.RUNNING and policy.stop.drain > 0:
        due = Deadline(DeadlineKind.DRAIN, now.mono + policy.stop.drain)
        draining = enter(record, Phase.DRAINING, now, due)
        # SGLang goes on accepting while it drains.
        others = "the gateway sends new ones elsewhere" if policy.routed else "new ones still reach it"
        reason = f"waits up to {policy.stop.drain:g} s for requests in flight; {others}"
        return Step(msgspec.structs.replace(draining, reason=reason), (Drain(record.generation),))
    return _terminate(record, policy, now)


def _terminate(record: WorkerRecord, policy: Policy, now: Instant) -> Step:
    due = Deadline(DeadlineKind.TERM, now.mono + policy.stop.term)
    return Step(enter(record, Phase.STOPPING, now, due), (Terminate(record.generation),))


def _condemn(record: WorkerRecord, policy: Policy, verdict: Verdict, now: Instant, *, gently: bool = False) -> Step:
    record = msgspec.structs.replace(record, verdict=verdict)
    if not gently:
        return _kill(record, verdict.evidence, now)
    done = _wind_down(record, policy, now)
    return Step(msgspec.structs.replace(done.record, reason=verdict.evidence), done.effects)


def _kill(record: WorkerRecord, why: str, now: Instant) -> Step:
    due = Deadline(DeadlineKind.KILL, now.mono + KILL_PATIENCE)
    killed = record if record.phase is Phase.STOPPING else enter(record, Phase.STOPPING, now)
    return Step(msgspec.structs.replace(killed, deadline=due, reason=why), (Kill(record.generation),))


def _mended(record: WorkerRecord, what: str, now: Instant) -> Step:
    if record.wanted is Wanted.UP and not record.held and record.phase in (Phase.FAILED, Phase.BACKOFF):
        return begin(msgspec.structs.replace(_afresh(record), restarts=record.restarts), now)
    return Step(record)


def _gate_opened(record: WorkerRecord, spec: WorkerSpec, now: Instant) -> Step:
    if record.phase is not Phase.RELEASING:
        return Step(record)
    if record.wanted is Wanted.DOWN or record.held:
        return Step(enter(record, Phase.STOPPED, now))
    due = Deadline(DeadlineKind.STALL, now.mono + spec.policy.health.stall_timeout)
    record = msgspec.structs.replace(
        enter(record, Phase.STARTING, now, due),
        generation=record.generation + 1,
        process=None,
        launched=spec.launch,
        live=None,
        profile=spec.profile,
        served=False,
        progress=Progress("launch", 0),
    )
    return Step(record, (Spawn(record.generation),))


def _spawned(record: WorkerRecord) -> Step:
    """A worker that was asked to end before its process came to be is told so now."""
    effects = (Terminate(record.generation),) if record.phase is Phase.STOPPING else ()
    return Step(record, effects)


def _became_ready(record: WorkerRecord, policy: Policy, now: Instant) -> Step:
    calm = Deadline(DeadlineKind.CALM, now.mono + policy.restart.reset_after)
    if record.phase is Phase.STARTING:
        return Step(msgspec.structs.replace(enter(record, Phase.RUNNING, now, calm), ready=True, served=True))
    if record.phase is Phase.RUNNING and not record.ready:
        return Step(msgspec.structs.replace(record, ready=True, reason=None, deadline=calm))
    return Step(record)


def _root_ended(record: WorkerRecord, now: Instant) -> Step:
    """From here on there is nobody to ask or to condemn: how it ended is on record, and its shim ends the rest."""
    if record.phase is Phase.STOPPING:
        return Step(record)
    due = Deadline(DeadlineKind.KILL, now.mono + KILL_PATIENCE)
    stopping = enter(record, Phase.STOPPING, now, due)
    return Step(msgspec.structs.replace(stopping, reason="its root process has ended, the rest of its tree is ended"))


def _ended(record: WorkerRecord, spec: WorkerSpec, end: Exit, now: Instant) -> Step:
    previous = record.last_exit
    if record.verdict is not None:
        end = _condemned_end(record.verdict, end)
    elif record.asked:
        end = msgspec.structs.replace(end, cause=Cause.REQUESTED, evidence=None, hint=None)
    requested = record.asked
    record = msgspec.structs.replace(record, last_exit=end, asked=False, verdict=None)
    record = msgspec.structs.replace(record, process=None, launched=None, live=None)
    stays_down = record.wanted is Wanted.DOWN or record.held
    if requested or stays_down:
        due = Deadline(DeadlineKind.RELEASE, now.mono + RELEASE_PATIENCE) if stays_down else None
        return Step(enter(record, Phase.RELEASING, now, due), (CheckGate(),))
    record = msgspec.structs.replace(
        record,
        restarts=record.restarts + 1,
        streak=record.streak + 1,
        ends=(*within(record.ends, spec.policy.restart.window, now.mono), now.mono),
    )
    if record.trial:
        # Still a trial: a daemon that follows must know that this is to be taken back.
        failed = _gave_up(record, end, f"{end.cause} while a change was tried", now)
        return Step(msgspec.structs.replace(failed, trial=True))
    decision = decide(
        spec.policy.restart,
        spec.launch.engine.kind,
        end,
        streak=record.streak,
        ends=record.ends,
        was_ready=record.served,
        repeated=previous is not None and previous.cause is end.cause and record.streak > 1,
        now=now.mono,
        seed=f"{record.name}/{record.generation}",
    )
    match decision:
        case RestartIn(delay=delay):
            due = Deadline(DeadlineKind.RETRY, now.mono + delay)
            reason = end.cause.value if end.evidence is None else f"{end.cause}: {end.evidence}"
            waiting = enter(record, Phase.BACKOFF, now, due)
            return Step(msgspec.structs.replace(waiting, reason=reason, hint=end.hint))
        case GiveUp(final=True, reason=reason):
            return Step(msgspec.structs.replace(enter(record, Phase.STOPPED, now), final=True, reason=reason))
        case GiveUp(reason=reason, quarantine=quarantine):
            return Step(_gave_up(record, end, reason, now), (quarantine_of(record, end),) if quarantine else ())


def quarantine_of(record: WorkerRecord, end: Exit) -> Quarantine:
    """The order to set the worker's cards aside, with the words that people will see at them."""
    return Quarantine(f"{end.cause} of {record.name}" + (f": {end.evidence}" if end.evidence else ""))


_SAYS_NOTHING = frozenset({Cause.KILLED, Cause.UNKNOWN, Cause.EXITED})
"""What the log and the exit of a process that we have killed come to where neither names a reason."""


def _condemned_end(verdict: Verdict, end: Exit) -> Exit:
    """Of a process that stood still, its own last words are the better reason, where it had any."""
    if verdict.cause in (Cause.HANG, Cause.START_STALLED) and end.cause not in _SAYS_NOTHING:
        return end
    return msgspec.structs.replace(end, cause=verdict.cause, evidence=verdict.evidence, hint=None)


def _gave_up(record: WorkerRecord, end: Exit, reason: str, now: Instant) -> WorkerRecord:
    if end.evidence:
        reason = f"{reason} ({end.evidence})"
    return msgspec.structs.replace(enter(record, Phase.FAILED, now), reason=reason, hint=end.hint, trial=False)


def _deadline_passed(record: WorkerRecord, spec: WorkerSpec, kind: DeadlineKind, now: Instant) -> Step:
    match kind:
        case DeadlineKind.STALL:
            step_name = record.progress.step if record.progress else "launch"
            stalled = f"no sign of progress for {spec.policy.health.stall_timeout:g} s at step {step_name}"
            return _condemn(record, spec.policy, Verdict(Cause.START_STALLED, stalled), now)
        case DeadlineKind.CALM:
            return Step(msgspec.structs.replace(record, streak=0, ends=(), deadline=None))
        case DeadlineKind.DRAIN:
            return _terminate(record, spec.policy, now)
        case DeadlineKind.TERM:
            return _kill(record, "it did not end on SIGTERM and is killed", now)
        case DeadlineKind.KILL:
            return _kill(record, "a process of it outlives SIGKILL: it hangs in the kernel", now)
        case DeadlineKind.RELEASE:
            return Step(enter(record, Phase.STOPPED, now))
        case DeadlineKind.RETRY:
            return Step(enter(record, Phase.RELEASING, now), (CheckGate(),))


def _moved(record: WorkerRecord, old: Policy, new: Policy) -> WorkerRecord:
    """The armed deadline as the new policy has it: later or earlier by what its duration has changed."""
    durations = {
        DeadlineKind.STALL: (old.health.stall_timeout, new.health.stall_timeout),
        DeadlineKind.CALM: (old.restart.reset_after, new.restart.reset_after),
        DeadlineKind.DRAIN: (old.stop.drain, new.stop.drain),
        DeadlineKind.TERM: (old.stop.term, new.stop.term),
    }
    due = record.deadline
    if due is None or due.kind not in durations:
        return record
    before, after = durations[due.kind]
    return msgspec.structs.replace(record, deadline=Deadline(due.kind, due.at + after - before))

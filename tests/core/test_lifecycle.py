"""The life of a worker: each arrow by an example; what always holds by a machine that does anything in any order."""

from itertools import product

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
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
    Mended,
    Progressed,
    Quarantine,
    RestartAsked,
    Spawn,
    Spawned,
    StartAsked,
    StopAsked,
    Terminate,
    TrialEnded,
)
from qvl.core.lifecycle import KILL_PATIENCE, RELEASE_PATIENCE, Step, resume, step
from qvl.core.restart import way_of
from qvl.model.spec import (
    Engine,
    EngineKind,
    HealthPolicy,
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
    Deadline,
    DeadlineKind,
    Exit,
    Phase,
    Process,
    Progress,
    Verdict,
    Wanted,
    WorkerRecord,
)

from tools.lifecycle_diagram import PAGE, inputs, reachable, render

LAUNCH = Launch(
    engine=Engine(name="sglang", kind=EngineKind.SGLANG, python="/opt/python"),
    model="/models/qwen",
    args={"tp": 2, "mem-fraction-static": 0.85, "enable-metrics": True, "x": ["a", 1], "y": {"z": [1.0, None]}},
    gpus=(0, "GPU-1"),
)
PROCESS = Process(100, 5, 99, 4, "boot", 1.0, 2.0, 0, 29500, "/run/tmp")
HANG = Verdict(Cause.HANG, "no progress for 400 s")
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


# ---- the arrows


def test_a_start_goes_through_the_gate() -> None:
    life = Life()
    assert life.tell(StartAsked()) == (CheckGate(),)
    assert (life.phase, life.record.wanted, life.due) == (Phase.RELEASING, Wanted.UP, None)
    life.tell(GateHeld("pid 7 of alice holds GPU 0"))
    assert (life.phase, life.record.reason) == (Phase.RELEASING, "pid 7 of alice holds GPU 0")
    assert life.tell(GateOpened()) == (Spawn(1),)
    assert (life.phase, life.record.reason, life.record.generation) == (Phase.STARTING, None, 1)
    assert life.due == (DeadlineKind.STALL, 300)


def test_progress_moves_the_stall_deadline_and_ready_ends_it() -> None:
    life = Life().starting()
    assert (life.record.process, life.record.launched, life.record.profile) == (PROCESS, LAUNCH, "standard")
    life.now += 200
    life.tell(Progressed(1, Progress("weights", 40, 21.0)))
    assert (life.record.progress, life.due) == (Progress("weights", 40, 21.0), (DeadlineKind.STALL, 300))
    life.now += 200
    life.tell(Progressed(1, None))
    assert (life.record.progress, life.due) == (Progress("weights", 40, 21.0), (DeadlineKind.STALL, 300))
    life.tell(BecameReady(1))
    assert (life.phase, life.record.ready, life.record.progress) == (Phase.RUNNING, True, None)
    assert life.due == (DeadlineKind.CALM, 600)


def test_a_stop_drains_then_ends_then_waits_for_the_gpu() -> None:
    life = Life().running()
    assert life.tell(StopAsked()) == (Drain(1),)
    assert (life.phase, life.record.ready, life.due) == (Phase.DRAINING, False, (DeadlineKind.DRAIN, 60))
    assert life.tell(Drained(1)) == (Terminate(1),)
    assert (life.phase, life.due) == (Phase.STOPPING, (DeadlineKind.TERM, 90))
    assert life.end(Cause.KILLED, signal=9) == (CheckGate(),)
    assert (life.phase, life.due) == (Phase.RELEASING, (DeadlineKind.RELEASE, RELEASE_PATIENCE))
    assert life.record.last_exit == Exit(1.0, Cause.REQUESTED, None, 9)
    assert life.tell(GateOpened()) == ()
    assert (life.phase, life.record.wanted, life.due, life.record.restarts) == (Phase.STOPPED, Wanted.DOWN, None, 0)


def test_a_drain_and_a_release_end_when_their_time_is_over() -> None:
    life = Life().running()
    life.tell(StopAsked())
    assert life.tell(DeadlinePassed(DeadlineKind.DRAIN)) == (Terminate(1),)
    life.end(Cause.KILLED, signal=9)
    assert life.tell(DeadlinePassed(DeadlineKind.RELEASE)) == ()
    assert life.phase is Phase.STOPPED


def test_what_does_not_end_on_sigterm_is_killed_until_it_is_gone() -> None:
    life = Life(Policy(stop=StopPolicy(drain=0, term=5))).running()
    assert life.tell(StopAsked()) == (Terminate(1),)
    assert life.due == (DeadlineKind.TERM, 5)
    assert life.tell(DeadlinePassed(DeadlineKind.TERM)) == (Kill(1),)
    assert (life.phase, life.due) == (Phase.STOPPING, (DeadlineKind.KILL, KILL_PATIENCE))
    assert life.record.reason == "it did not end on SIGTERM and is killed"
    assert life.tell(DeadlinePassed(DeadlineKind.KILL)) == (Kill(1),)
    assert (life.due, "outlives SIGKILL" in (life.record.reason or "")) == ((DeadlineKind.KILL, KILL_PATIENCE), True)


def test_a_starting_worker_is_stopped_without_a_drain() -> None:
    life = Life().starting()
    assert life.tell(StopAsked()) == (Terminate(1),)
    assert life.phase is Phase.STOPPING


def test_a_process_that_comes_to_be_after_its_stop_is_told() -> None:
    life = Life()
    life.tell(StartAsked(), GateOpened(), StopAsked())
    assert life.tell(Spawned(1, PROCESS, LAUNCH, "standard")) == (Terminate(1),)
    assert (life.phase, life.record.process) == (Phase.STOPPING, PROCESS)


@pytest.mark.parametrize("phase", [Phase.RELEASING, Phase.BACKOFF, Phase.FAILED])
def test_without_a_process_a_stop_is_done_at_once(phase: Phase) -> None:
    life = Life(wanted=Wanted.UP)
    life.record = msgspec.structs.replace(life.record, phase=phase, reason="why", hint="what")
    assert life.tell(StopAsked()) == ()
    assert (life.phase, life.record.reason, life.record.hint) == (Phase.STOPPED, None, None)


def test_a_restart_is_a_requested_end_and_a_new_process() -> None:
    life = Life().running()
    assert life.tell(RestartAsked()) == (Drain(1),)
    life.tell(Drained(1))
    assert life.end(Cause.ENGINE_CRASH, code=1) == (CheckGate(),)
    assert (life.phase, life.due, life.record.restarts) == (Phase.RELEASING, None, 0)
    assert life.record.last_exit == Exit(1.0, Cause.REQUESTED, 1)
    assert life.tell(GateOpened()) == (Spawn(2),)


def test_a_stop_that_is_taken_back_becomes_a_restart() -> None:
    life = Life().running()
    life.tell(StopAsked(), StartAsked(), Drained(1))
    life.end(Cause.KILLED, signal=9)
    assert (life.phase, life.due) == (Phase.RELEASING, None)
    assert life.tell(GateOpened()) == (Spawn(2),)


def test_a_start_while_the_gpu_is_still_being_freed_waits_for_it_without_a_limit() -> None:
    life = Life().running()
    life.tell(StopAsked(), Drained(1))
    life.end(Cause.KILLED, signal=9)
    assert life.tell(StartAsked()) == (CheckGate(),)
    assert (life.phase, life.due) == (Phase.RELEASING, None)


def test_an_end_that_nobody_asked_for_is_retried_later_and_later() -> None:
    life = Life().running()
    delays = []
    for generation in (1, 2, 3):
        assert life.end(Cause.ENGINE_CRASH, evidence="KeyError: 'x'", hint="read the log") == ()
        assert (life.phase, life.record.restarts, life.record.streak) == (Phase.BACKOFF, generation, generation)
        assert (life.record.reason, life.record.hint) == ("engine-crash: KeyError: 'x'", "read the log")
        assert life.due is not None
        assert life.due[0] is DeadlineKind.RETRY
        delays.append(life.due[1])
        assert life.tell(DeadlinePassed(DeadlineKind.RETRY)) == (CheckGate(),)
        assert life.tell(GateOpened()) == (Spawn(generation + 1),)
    assert delays == sorted(delays)
    assert [1 <= delays[0] <= 1.1, 2 <= delays[1] <= 2.2, 4 <= delays[2] <= 4.4] == [True] * 3
    life.end(Cause.ENGINE_CRASH)
    assert life.phase is Phase.FAILED
    assert "ended 4 times within 1800 s, more than restart.max_restarts = 3" in (life.record.reason or "")


def test_calm_forgives_but_does_not_hide() -> None:
    life = Life().running()
    life.end(Cause.ENGINE_CRASH)
    life.tell(DeadlinePassed(DeadlineKind.RETRY), GateOpened(), BecameReady(2))
    life.tell(DeadlinePassed(DeadlineKind.CALM))
    assert (life.record.streak, life.record.ends, life.record.restarts, life.due) == (0, (), 1, None)


def test_only_time_in_which_it_is_ready_is_calm() -> None:
    life = Life().running()
    life.now += 500
    life.tell(BecameUnready(1, "no answer"))
    assert (life.record.ready, life.record.reason, life.due) == (False, "no answer", None)
    life.now += 50
    life.tell(BecameReady(1))
    assert (life.record.ready, life.record.reason, life.due) == (True, None, (DeadlineKind.CALM, 600))


def test_a_start_that_stands_still_is_killed_for_it() -> None:
    life = Life().starting()
    life.tell(Progressed(1, Progress("graphs", 60)))
    assert life.tell(DeadlinePassed(DeadlineKind.STALL)) == (Kill(1),)
    life.end(Cause.KILLED, signal=9)
    assert life.record.last_exit is not None
    assert life.record.last_exit.cause is Cause.START_STALLED
    assert life.record.last_exit.evidence == "no sign of progress for 300 s at step graphs"
    assert (life.phase, life.record.restarts) == (Phase.BACKOFF, 1)


def test_our_verdict_is_the_cause_whatever_the_exit_says() -> None:
    life = Life().running()
    assert life.tell(Condemned(1, HANG)) == (Kill(1),)
    assert (life.phase, life.record.reason, life.due) == (
        Phase.STOPPING,
        HANG.evidence,
        (DeadlineKind.KILL, KILL_PATIENCE),
    )
    life.end(Cause.UNKNOWN, code=0)
    assert life.record.last_exit is not None
    assert (life.record.last_exit.cause, life.record.last_exit.evidence) == (Cause.HANG, HANG.evidence)
    assert (life.phase, life.record.verdict) == (Phase.BACKOFF, None)


def test_a_stop_while_our_verdict_kills_ends_down() -> None:
    life = Life().running()
    life.tell(Condemned(1, HANG), StopAsked())
    life.end(Cause.KILLED, signal=9)
    assert (life.phase, life.record.restarts) == (Phase.RELEASING, 0)


@pytest.mark.parametrize("trial", [False, True])
def test_a_restart_while_our_verdict_kills_is_not_charged_with_it(trial: bool) -> None:
    life = Life().running()
    life.tell(Condemned(1, HANG), RestartAsked(trial))
    life.end(Cause.KILLED, signal=9)
    assert (life.phase, life.record.restarts, life.record.trial) == (Phase.RELEASING, 0, trial)
    assert life.record.last_exit is not None
    assert life.record.last_exit.cause is Cause.HANG
    assert life.tell(GateOpened()) == (Spawn(2),)


@pytest.mark.parametrize("cause", [Cause.BAD_ARGUMENTS, Cause.MODEL_MISSING, Cause.ENVIRONMENT, Cause.DISK_FULL])
def test_what_a_retry_cannot_mend_is_given_up_and_mended_by_a_change(cause: Cause) -> None:
    life = Life().starting()
    assert life.end(cause, evidence="its words", hint="do this") == ()
    assert (life.phase, life.due, life.record.hint) == (Phase.FAILED, None, "do this")
    assert life.record.reason == f"{cause}: a retry can't mend this (its words)"
    assert life.tell(Mended("the model is there")) == (CheckGate(),)
    assert (life.phase, life.record.restarts, life.record.streak) == (Phase.RELEASING, 1, 0)


@pytest.mark.parametrize("event", [StartAsked(), RestartAsked(), RestartAsked(trial=True)])
def test_an_operator_brings_a_failed_one_back(event: Input) -> None:
    life = Life().starting()
    life.end(Cause.BAD_ARGUMENTS, code=2)
    assert life.tell(event) == (CheckGate(),)
    assert (life.phase, life.record.restarts, life.record.ends) == (Phase.RELEASING, 0, ())


def test_memory_that_does_not_suffice_twice_on_a_free_card_is_given_up() -> None:
    life = Life().starting()
    phases = []
    for _ in range(2):
        life.end(Cause.OUT_OF_GPU_MEMORY)
        phases.append(life.phase)
        life.tell(DeadlinePassed(DeadlineKind.RETRY), GateOpened())
    assert phases == [Phase.BACKOFF, Phase.FAILED]


def test_a_quarantined_card_is_named() -> None:
    policy = Policy(restart=RestartPolicy(causes={"gpu-fault": Way.QUARANTINE}))
    life = Life(policy).running()
    assert life.end(Cause.GPU_FAULT) == (Quarantine("gpu-fault: its GPU is set aside"),)
    assert life.phase is Phase.FAILED


def test_the_first_end_of_a_trial_is_final() -> None:
    life = Life().running()
    life.tell(RestartAsked(trial=True), Drained(1))
    life.end(Cause.KILLED, signal=9)  # the old process: asked for
    life.tell(GateOpened(), Spawned(2, PROCESS, LAUNCH, "standard"))
    assert life.record.trial
    life.end(Cause.ENGINE_CRASH)
    assert (life.phase, life.record.trial, life.record.reason) == (
        Phase.FAILED,
        False,
        "engine-crash while a change was tried",
    )


def test_a_trial_that_is_over_is_retried_like_any() -> None:
    life = Life().running(trial=True)
    life.tell(TrialEnded())
    life.end(Cause.ENGINE_CRASH)
    assert life.phase is Phase.BACKOFF


def test_a_held_worker_stays_down_though_it_is_wanted() -> None:
    life = Life().running()
    life.tell(HoldAsked(), Drained(1))
    life.end(Cause.KILLED, signal=9)
    assert life.due == (DeadlineKind.RELEASE, RELEASE_PATIENCE)
    life.tell(GateOpened())
    assert (life.phase, life.record.wanted, life.record.held) == (Phase.STOPPED, Wanted.UP, True)
    assert life.tell(Mended("the file")) == ()
    assert life.tell(RestartAsked(trial=True)) == (CheckGate(),)
    assert (life.phase, life.record.held) == (Phase.RELEASING, False)


def test_a_held_worker_that_had_failed_is_not_mended_behind_the_transaction() -> None:
    life = Life().starting()
    life.end(Cause.BAD_ARGUMENTS, code=2)
    assert life.tell(HoldAsked()) == ()
    assert life.tell(Mended("the file")) == ()
    assert (life.phase, life.record.held) == (Phase.FAILED, True)


@pytest.mark.parametrize("phase", [Phase.BACKOFF, Phase.RELEASING])
def test_without_a_process_a_hold_is_done_at_once(phase: Phase) -> None:
    life = Life(wanted=Wanted.UP)
    life.record = msgspec.structs.replace(life.record, phase=phase)
    assert life.tell(HoldAsked()) == ()
    assert (life.phase, life.record.held) == (Phase.STOPPED, True)


def test_exit_0_of_a_command_is_final_where_its_mode_says_so() -> None:
    policy = Policy(restart=RestartPolicy(mode=RestartMode.ON_FAILURE))
    life = Life(policy, EngineKind.COMMAND).running()
    life.end(Cause.EXITED, code=0)
    assert (life.phase, life.record.final, life.record.wanted) == (Phase.STOPPED, True, Wanted.UP)
    assert life.resume() == ()
    assert life.tell(StartAsked()) == (CheckGate(),)
    assert not life.record.final


def test_a_parked_worker_ends_without_a_drain_or_by_itself() -> None:
    for event in (StopAsked(), RestartAsked(), HoldAsked()):
        life = Life().running()
        life.record = msgspec.structs.replace(life.record, phase=Phase.PARKED, ready=False, deadline=None)
        assert life.tell(event) == (Terminate(1),)
    life = Life().running()
    life.record = msgspec.structs.replace(life.record, phase=Phase.PARKED, ready=False, deadline=None)
    life.end(Cause.KILLED, signal=9)
    assert life.phase is Phase.BACKOFF


# ---- a daemon that comes back


def test_what_was_going_on_goes_on() -> None:
    life = Life().running()
    assert life.resume() == ()
    assert (life.phase, life.record.ready, life.due) == (Phase.RUNNING, True, (DeadlineKind.CALM, 600))
    life.tell(StopAsked())
    assert life.resume() == (Drain(1),)
    life.tell(Drained(1))
    assert life.resume() == (Terminate(1),)
    life.end(Cause.KILLED, signal=9)
    assert life.resume() == (CheckGate(),)
    assert life.due == (DeadlineKind.RELEASE, RELEASE_PATIENCE)


def test_nobody_watched_a_start_meanwhile() -> None:
    life = Life().starting()
    life.now += 5000
    assert life.resume() == ()
    assert life.due == (DeadlineKind.STALL, 300)


def test_a_backoff_keeps_its_time() -> None:
    life = Life().running()
    life.end(Cause.ENGINE_CRASH)
    due = life.record.deadline
    assert life.resume() == ()
    assert (life.phase, life.record.deadline) == (Phase.BACKOFF, due)


@pytest.mark.parametrize("wanted", list(Wanted))
@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STOPPING, Phase.DRAINING])
def test_there_is_nothing_to_end_where_nothing_came_to_be(phase: Phase, wanted: Wanted) -> None:
    life = Life(wanted=wanted)
    late = Deadline(DeadlineKind.TERM, T)
    life.record = msgspec.structs.replace(life.record, phase=phase, generation=3, asked=True, deadline=late)
    effects = life.resume()
    if wanted is Wanted.UP:
        assert (life.phase, effects) == (Phase.RELEASING, (CheckGate(),))
    else:
        assert (life.phase, effects) == (Phase.STOPPED, ())
    assert (life.record.asked, life.due) == (False, None)


def test_a_hold_dies_with_its_daemon() -> None:
    life = Life().running()
    life.tell(HoldAsked(), Drained(1))
    life.end(Cause.KILLED, signal=9)
    assert life.resume() == (CheckGate(),)
    assert (life.phase, life.record.held, life.due) == (Phase.RELEASING, False, None)
    life.tell(GateOpened())
    assert life.phase is Phase.STARTING


@pytest.mark.parametrize(("event", "phase"), [(None, Phase.RELEASING), (StopAsked(), Phase.STOPPED)])
def test_a_reboot_leaves_no_process_and_no_grudge(event: Input | None, phase: Phase) -> None:
    life = Life().running()
    life.end(Cause.ENGINE_CRASH)
    life.tell(DeadlinePassed(DeadlineKind.RETRY), GateOpened(), Spawned(2, PROCESS, LAUNCH, "standard"))
    if event is not None:
        life.tell(event)
    life.resume(same_boot=False)
    assert (life.phase, life.record.process, life.record.streak, life.record.ends, life.due) == (
        phase,
        None,
        0,
        (),
        None,
    )


# ---- all of it

ASKED = (StartAsked, RestartAsked, Mended, StopAsked)


@pytest.mark.parametrize(("phase", "wanted"), list(product(Phase, Wanted)))
def test_every_phase_answers_every_input(phase: Phase, wanted: Wanted) -> None:
    """Also in records that no life leads to: a file on disk may have been written by an older program."""
    record = WorkerRecord(name="chat-0", pool="chat", wanted=wanted, phase=phase, generation=3)
    for generation in (2, 3, 4):
        for event in inputs(generation):
            assert isinstance(step(record, spec(), event, Instant(T, T)), Step)
            for kind in DeadlineKind:
                armed = msgspec.structs.replace(record, deadline=Deadline(kind, T))
                assert isinstance(step(armed, spec(), event, Instant(T, T)), Step)


def test_what_holds_in_every_record_that_is_ever_reached() -> None:
    for before, event, after, effects in reachable():
        check(before, event, after, effects)


def test_the_diagram_is_in_step() -> None:
    assert PAGE.read_text() == render(), "run: python -m tools.lifecycle_diagram"


ARMED: dict[Phase, set[DeadlineKind | None]] = {
    Phase.STOPPED: {None},
    Phase.STARTING: {DeadlineKind.STALL},
    Phase.RUNNING: {DeadlineKind.CALM, None},
    Phase.DRAINING: {DeadlineKind.DRAIN},
    Phase.STOPPING: {DeadlineKind.TERM, DeadlineKind.KILL},
    Phase.RELEASING: {DeadlineKind.RELEASE, None},
    Phase.PARKED: {None},
    Phase.BACKOFF: {DeadlineKind.RETRY},
    Phase.FAILED: {None},
}


def check(before: WorkerRecord, event: Input, after: WorkerRecord, effects: tuple[Effect, ...]) -> None:
    """What holds of every step."""
    assert msgspec.json.decode(msgspec.json.encode(after), type=WorkerRecord) == after
    assert (after.deadline.kind if after.deadline else None) in ARMED[after.phase]
    assert after.ready <= (after.phase is Phase.RUNNING)
    assert (after.progress is not None) <= (after.phase is Phase.STARTING)
    assert (after.process is not None) <= after.phase.has_process
    assert (after.verdict is not None) <= (after.phase is Phase.STOPPING)
    assert after.asked <= (after.phase in (Phase.DRAINING, Phase.STOPPING))
    assert after.final <= (after.phase is Phase.STOPPED)
    assert after.held <= (after.phase in (Phase.DRAINING, Phase.STOPPING, Phase.RELEASING, Phase.STOPPED, Phase.FAILED))
    assert after.generation - before.generation == sum(isinstance(effect, Spawn) for effect in effects)
    assert (after.since != before.since) <= (after.phase is not before.phase)
    if after.phase is Phase.RELEASING:
        assert (after.deadline is not None) == (after.wanted is Wanted.DOWN or after.held)
    for effect in effects:
        if isinstance(effect, Spawn):
            assert (before.phase, after.wanted, after.held) == (Phase.RELEASING, Wanted.UP, False)
        if isinstance(effect, Spawn | Terminate | Kill | Drain):
            assert effect.generation == after.generation
            assert after.phase.has_process
    if before.phase is Phase.FAILED and after.phase is not Phase.FAILED:
        assert isinstance(event, ASKED)
    if after.phase is Phase.FAILED:
        assert after.reason
    if after.restarts > before.restarts:
        assert isinstance(event, Ended)
        assert not before.asked
        assert before.wanted is Wanted.UP
    if isinstance(event, Ended) and before.asked and before.verdict is None and after != before:
        assert after.last_exit is not None
        assert after.last_exit.cause is Cause.REQUESTED
    if isinstance(event, Ended) and before.trial and not before.asked and after != before:
        assert after.phase is Phase.FAILED


@settings(max_examples=80, stateful_step_count=40, deadline=None)
class AnyLife(RuleBasedStateMachine):
    """A worker in a world where anything may come at any time: late, twice, or of an older process."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T
        self.record = WorkerRecord(name="chat-0", pool="chat", wanted=Wanted.DOWN)
        self.policy = POLICY
        self.kind = EngineKind.SGLANG
        self.living: set[int] = set()
        """Generations whose process lives, or may come to live."""

    @initialize(
        mode=st.sampled_from(RestartMode),
        kind=st.sampled_from([EngineKind.SGLANG, EngineKind.COMMAND]),
        drain=st.sampled_from([0.0, 60.0]),
        max_restarts=st.integers(0, 3),
        window=st.sampled_from([5.0, 1800.0]),
        causes=st.dictionaries(st.sampled_from([c.value for c in Cause]), st.sampled_from(Way), max_size=4),
    )
    def configure(
        self,
        mode: RestartMode,
        kind: EngineKind,
        drain: float,
        max_restarts: int,
        window: float,
        causes: dict[str, Way],
    ) -> None:
        restart = RestartPolicy(mode=mode, max_restarts=max_restarts, window=window, causes=causes, backoff_max=8)
        self.policy = Policy(restart=restart, stop=StopPolicy(drain=drain))
        self.kind = kind

    def tell(self, event: Input) -> None:
        before = self.record
        done = step(before, spec(self.policy, self.kind), event, Instant(self.now, 1e9 + self.now))
        check(before, event, done.record, done.effects)
        self.record = done.record
        for effect in done.effects:
            if isinstance(effect, Spawn):
                assert not self.living, "a second process beside a living one"
                self.living.add(effect.generation)
        if isinstance(event, Ended) and event.generation == before.generation:
            self.judge(before, event.exit)
        if isinstance(event, DeadlinePassed) and event.kind is DeadlineKind.CALM and before != self.record:
            assert (self.record.streak, self.record.ends) == (0, ())

    def judge(self, before: WorkerRecord, end: Exit) -> None:
        """What may follow from an end."""
        if not before.phase.has_process or before.asked or before.wanted is Wanted.DOWN or before.held:
            return
        cause = before.verdict.cause if before.verdict else end.cause
        after, policy = self.record, self.policy.restart
        assert after.restarts == before.restarts + 1
        if after.phase is Phase.BACKOFF:
            assert way_of(policy, cause) in (Way.RETRY, Way.GATE)
            assert policy.mode is not RestartMode.NEVER
            assert sum(self.now - at < policy.window for at in after.ends) <= policy.max_restarts
            assert after.deadline is not None
            assert 0 <= after.deadline.at - self.now <= policy.backoff_max
        else:
            assert after.phase is (Phase.STOPPED if after.final else Phase.FAILED)

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(event=st.sampled_from([StartAsked(), StopAsked(), RestartAsked(), RestartAsked(trial=True), HoldAsked()]))
    def someone_asks(self, event: Input) -> None:
        self.tell(event)

    @rule(event=st.sampled_from([TrialEnded(), Mended("the file"), GateHeld("pid 7")]))
    def the_daemon_says(self, event: Input) -> None:
        self.tell(event)

    @precondition(lambda self: self.record.phase is Phase.RELEASING)
    @rule()
    def the_gate_opens(self) -> None:
        self.tell(GateOpened())

    @precondition(lambda self: self.living)
    @rule()
    def it_comes_to_be(self) -> None:
        self.tell(Spawned(max(self.living), PROCESS, LAUNCH, "standard"))

    @precondition(lambda self: self.living)
    @rule(fraction=st.none() | st.integers(0, 100))
    def it_comes_up(self, fraction: int | None) -> None:
        self.tell(Progressed(max(self.living), None if fraction is None else Progress("weights", fraction)))

    @precondition(lambda self: self.living)
    @rule()
    def it_is_ready(self) -> None:
        self.tell(BecameReady(max(self.living)))

    @precondition(lambda self: self.living)
    @rule()
    def it_is_not_ready(self) -> None:
        self.tell(BecameUnready(max(self.living), "no answer"))

    @precondition(lambda self: self.living)
    @rule()
    def it_hangs(self) -> None:
        self.tell(Condemned(max(self.living), HANG))

    @precondition(lambda self: self.living)
    @rule()
    def it_is_idle(self) -> None:
        self.tell(Drained(max(self.living)))

    @precondition(lambda self: self.living)
    @rule(cause=st.sampled_from(Cause), code=st.sampled_from([0, 1, 2]))
    def it_ends(self, cause: Cause, code: int) -> None:
        generation = max(self.living)
        self.living.discard(generation)
        self.tell(Ended(generation, exit_of(cause, code, evidence="its last words")))

    @precondition(lambda self: self.record.deadline is not None)
    @rule()
    def its_time_is_over(self) -> None:
        assert self.record.deadline is not None
        self.now = max(self.now, self.record.deadline.at)
        self.tell(DeadlinePassed(self.record.deadline.kind))

    @rule(back=st.integers(1, 3), cause=st.sampled_from(Cause))
    def an_older_process_is_heard_of(self, back: int, cause: Cause) -> None:
        generation = self.record.generation - back
        for event in inputs(generation):
            if getattr(event, "generation", None) == generation:
                done = step(self.record, spec(self.policy, self.kind), event, Instant(self.now, self.now))
                assert (done.record, done.effects) == (self.record, ())

    @rule(kind=st.sampled_from(DeadlineKind))
    def another_deadline_is_heard_of(self, kind: DeadlineKind) -> None:
        if self.record.deadline is None or self.record.deadline.kind is not kind:
            done = step(self.record, spec(), DeadlinePassed(kind), Instant(self.now, self.now))
            assert done == Step(self.record)

    @rule(same_boot=st.booleans())
    def the_daemon_comes_back(self, same_boot: bool) -> None:
        if same_boot and self.record.process is None and self.record.phase.has_process:
            self.living.clear()  # it never came to be
        if not same_boot:
            self.living.clear()
        before = self.record
        done = resume(before, self.policy, Instant(self.now, 1e9 + self.now), same_boot=same_boot)
        self.record = done.record
        assert not any(isinstance(effect, Spawn) for effect in done.effects)
        assert done.record.generation == before.generation
        if not same_boot:
            assert not done.record.phase.has_process

    @invariant()
    def a_wanted_worker_is_on_its_way(self) -> None:
        """Wanted up and not held, it is never left standing where nothing will ever happen to it."""
        if self.record.wanted is Wanted.UP and not self.record.held and self.record.phase is Phase.STOPPED:
            assert self.record.final

    @invariant()
    def the_record_survives_the_disk(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.record), type=WorkerRecord) == self.record


TestAnyLife = AnyLife.TestCase

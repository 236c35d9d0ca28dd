"""The life of a worker, an example for each arrow of the diagram."""

import msgspec
import pytest
from qvl.core.inputs import (
    BecameReady,
    BecameUnready,
    CheckGate,
    Condemned,
    DeadlinePassed,
    Drain,
    Drained,
    GateHeld,
    GateOpened,
    HoldAsked,
    Input,
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
from qvl.core.lifecycle import KILL_PATIENCE, RELEASE_PATIENCE
from qvl.model.spec import (
    EngineKind,
    Policy,
    RestartMode,
    RestartPolicy,
    StopPolicy,
    Way,
)
from qvl.model.worker import (
    Cause,
    Deadline,
    DeadlineKind,
    Exit,
    Phase,
    Progress,
    Wanted,
)

from tests.core.life import HANG, LAUNCH, PROCESS, Life, T

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
    assert life.end(Cause.GPU_FAULT) == (Quarantine("gpu-fault of chat-0"),)
    assert life.phase is Phase.FAILED
    assert life.record.reason == "gpu-fault: its GPU is set aside"


def test_a_card_is_set_aside_with_the_words_that_its_worker_ended_with() -> None:
    policy = Policy(restart=RestartPolicy(causes={"gpu-fault": Way.QUARANTINE}))
    life = Life(policy).running()
    evidence = "Xid 79 on GPU 0: GPU has fallen off the bus"
    assert life.end(Cause.GPU_FAULT, evidence=evidence) == (Quarantine(f"gpu-fault of chat-0: {evidence}"),)


def test_the_first_end_of_a_trial_is_final() -> None:
    life = Life().running()
    life.tell(RestartAsked(trial=True), Drained(1))
    life.end(Cause.KILLED, signal=9)  # the old process: asked for
    life.tell(GateOpened(), Spawned(2, PROCESS, LAUNCH, "standard"))
    assert life.record.trial
    life.end(Cause.ENGINE_CRASH)
    assert (life.phase, life.record.trial, life.record.reason) == (
        Phase.FAILED,
        True,  # until the transaction has gone back: a daemon that follows must know
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

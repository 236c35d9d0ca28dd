"""What always holds of a worker: in each phase, in every record that is ever reached, in any order of events."""

from itertools import product

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from qvl.core.inputs import (
    BecameReady,
    BecameUnready,
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
from qvl.core.lifecycle import Step, step
from qvl.core.restart import way_of
from qvl.core.resume import resume
from qvl.model.spec import (
    EngineKind,
    HealthPolicy,
    Launch,
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
    WorkerRecord,
)

from tests.core.life import HANG, LAUNCH, LOST, POLICY, PROCESS, T, exit_of, spec
from tools.lifecycle_diagram import PAGE, inputs, reachable, render

OTHER = msgspec.structs.replace(LAUNCH, args={"log-requests": True})
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
    assert (after.live is not None) <= (after.process is not None)
    assert (after.verdict is not None) <= (after.phase in (Phase.DRAINING, Phase.STOPPING))
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


@settings(max_examples=200, stateful_step_count=50)
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
        assert self.record.last_exit is not None
        cause = self.record.last_exit.cause
        # What it said itself before it stood still goes before what we have seen of it.
        assert cause in ({before.verdict.cause, end.cause} if before.verdict else {end.cause})
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
    def its_shim_is_lost(self) -> None:
        self.tell(Condemned(max(self.living), LOST, gently=True))

    @precondition(lambda self: self.living)
    @rule(trial=st.booleans())
    def it_is_about_to_be_changed(self, trial: bool) -> None:
        self.tell(LiveBegun(max(self.living), OTHER, trial))

    @precondition(lambda self: self.living)
    @rule(launch=st.sampled_from([LAUNCH, OTHER]))
    def it_has_been_changed(self, launch: Launch) -> None:
        self.tell(LiveDone(max(self.living), launch, "standard"))

    @precondition(lambda self: self.living)
    @rule()
    def its_root_ends(self) -> None:
        self.tell(RootEnded(max(self.living)))

    @rule(drain=st.sampled_from([0.0, 60.0]), stall=st.sampled_from([1.0, 300.0]))
    def its_policy_changes(self, drain: float, stall: float) -> None:
        old, self.policy = (
            self.policy,
            msgspec.structs.replace(
                self.policy, stop=StopPolicy(drain=drain), health=HealthPolicy(stall_timeout=stall)
            ),
        )
        self.tell(Respecified(old))

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

"""What a new daemon does with a worker that an old one has left: the way back into `qvl.core.lifecycle`."""

import msgspec

from qvl.core.inputs import CheckGate, Drain, Instant, Terminate
from qvl.core.lifecycle import Step, begin, enter, quarantine_of
from qvl.core.restart import way_of
from qvl.model.spec import Policy, Way
from qvl.model.worker import Deadline, DeadlineKind, Phase, Wanted, WorkerRecord


def resume(record: WorkerRecord, policy: Policy, now: Instant, *, same_boot: bool) -> Step:
    """What a new daemon does with a worker it finds: go on where the old one was.

    Deadlines are of this boot; after a reboot no process lives, a backoff is due at once and old ends don't count.
    """
    record = msgspec.structs.replace(record, held=False)
    if not same_boot:
        if record.phase.has_process or record.phase is Phase.RELEASING:
            record = enter(record, Phase.STOPPED, now)
            record = msgspec.structs.replace(record, process=None, launched=None, live=None, asked=False, verdict=None)
        record = msgspec.structs.replace(record, ends=(), streak=0, final=False)
        if record.phase in (Phase.FAILED, Phase.STOPPED, Phase.BACKOFF) and record.wanted is Wanted.UP:
            return begin(record, now)
    match record.phase:
        case Phase.STOPPED if record.wanted is Wanted.UP and not record.final:
            return begin(record, now)
        case Phase.RELEASING if record.wanted is Wanted.UP:
            # It may have been held by a transaction that the old daemon took with it.
            return begin(record, now)
        case Phase.RELEASING:
            return Step(record, (CheckGate(),))
        case Phase.STARTING | Phase.DRAINING | Phase.STOPPING if record.process is None:
            # The old daemon died between its decision to start and the start: there is nothing to end.
            if record.wanted is Wanted.UP:
                return begin(record, now)
            record = msgspec.structs.replace(record, asked=False, verdict=None)
            return Step(enter(record, Phase.STOPPED, now))
        case Phase.STARTING:
            # Nobody watched its progress meanwhile.
            due = Deadline(DeadlineKind.STALL, now.mono + policy.health.stall_timeout)
            return Step(msgspec.structs.replace(record, deadline=due))
        case Phase.DRAINING:
            return Step(record, (Drain(record.generation),))
        case Phase.STOPPING:
            return Step(record, (Terminate(record.generation),))
        case Phase.FAILED if (end := record.last_exit) and way_of(policy.restart, end.cause) is Way.QUARANTINE:
            # The old daemon may have died before it had set the card aside.
            return Step(record, (quarantine_of(record, end),))
        case _:
            return Step(record)

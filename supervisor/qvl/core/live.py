"""Changes that a running process takes without another start.

Which arguments those are depends on the engine, its version and what is switched on already: `qvl.engines.live` says
so. Here is what follows from it for a plan and for a worker's record.
"""

from collections.abc import Collection, Iterable

import msgspec

from qvl.model.plan import KeyChange
from qvl.model.spec import Launch
from qvl.model.worker import Live, Phase, Wanted, WorkerRecord

PREFIX = "args."


def all_live(changes: Iterable[KeyChange], live: Collection[str]) -> bool:
    """Whether a running process takes all of `changes`; `live` are the arguments that it takes. One that it doesn't
    take costs a start, and that brings the others too."""
    return all(change.key.startswith(PREFIX) and _argument(change.key) in live for change in changes)


def _argument(key: str) -> str:
    """`log-level` of `args.log-level`. A table's leaves are named below the argument: `args.lora-paths.pinned`."""
    return key.removeprefix(PREFIX).partition(".")[0]


def takes_changes(record: WorkerRecord) -> bool:
    """Whether a change can be made to its process instead of another start. One that still starts is changed once it
    is ready."""
    return record.wanted is Wanted.UP and record.phase in (Phase.STARTING, Phase.RUNNING)


def in_doubt(record: WorkerRecord) -> bool:
    """Whether a change was cut off or failed half-way: what its process runs is to be set anew."""
    return record.live is not None and bool(record.live.tried)


def may_run(record: WorkerRecord) -> tuple[Launch, ...]:
    """Everything of which its process may run something."""
    tried = record.live.tried if record.live is not None else ()
    return (record.launched, *tried) if record.launched is not None else tried


def begun(record: WorkerRecord, launch: Launch, *, trial: bool) -> WorkerRecord:
    """A change to `launch` is about to be made. What was tried before and isn't settled stays in doubt."""
    if record.launched is None or record.process is None or record.phase is not Phase.RUNNING:
        return record
    live = record.live or Live(started=record.launched)
    if launch not in live.tried:
        live = msgspec.structs.replace(live, tried=(*live.tried, launch))
    return msgspec.structs.replace(record, live=live, trial=trial or record.trial)


def done(record: WorkerRecord, launch: Launch, profile: str) -> WorkerRecord:
    """Its process runs `launch` now, and nothing is in doubt."""
    if record.live is None:
        return record
    live = msgspec.structs.replace(record.live, tried=())
    return msgspec.structs.replace(record, launched=launch, profile=profile, live=live)

"""Take over what an earlier daemon left: living workers are adopted, ended ones counted, the rest goes on as it was."""

import contextlib
from collections.abc import Mapping

import msgspec

from qvl.core.resume import resume
from qvl.daemon import clock
from qvl.daemon.ending import RUN, variable
from qvl.daemon.launcher import process_of, remove_tmpdir
from qvl.daemon.store import RecordFile, Store
from qvl.daemon.supervisor import Supervisor
from qvl.model.spec import Engine, EngineKind, Launch, WorkerSpec
from qvl.model.worker import Phase, Process, Wanted, WorkerRecord
from qvl.shim import proc
from qvl.shim.client import ShimError, attach, read_record
from qvl.shim.records import ShimRecord


async def survey(store: Store) -> dict[str, ShimRecord]:
    """The shims that have left a record in their bundle, by worker, and those that live but found no room for one."""
    found = {}
    for name in store.bundles():
        bundle = store.bundle(name)
        shim = read_record(bundle)
        if shim is None or not proc.is_alive(shim.shim_pid, shim.shim_start):
            with contextlib.suppress(ShimError):
                link = await attach(bundle)
                try:
                    shim = shim if link.state.gone else await link.record()
                finally:
                    await link.close()
        if shim is not None and shim.worker == name and shim.boot_id == proc.boot_id():
            found[name] = shim
    return found


def adopt_all(
    supervisor: Supervisor,
    records: Mapping[str, RecordFile],
    shims: Mapping[str, ShimRecord],
    specs: Mapping[str, WorkerSpec],
) -> None:
    """In one turn of the loop: every record becomes a worker again; those that are configured no more are stopped."""
    for name, file in {**_without_record(records, shims), **records}.items():
        spec = specs.get(name)
        _adopt(supervisor, file, shims.get(name), spec or _leftover_spec(file))
        if spec is None:
            supervisor.remove(name)
    for name, spec in specs.items():
        if name not in supervisor.workers:
            supervisor.enter(spec)


def _adopt(supervisor: Supervisor, file: RecordFile, shim: ShimRecord | None, spec: WorkerSpec) -> None:
    record = file.record
    same_boot = file.boot_id == proc.boot_id()
    if shim is not None and _is_news(shim, record):
        # It was started, and the old daemon died before it could write that down. What it was started with stands in
        # the record from before its start on, unless that start is one that the record knows nothing of.
        known = record.process is None and record.launched is not None and shim.generation == record.generation
        record = msgspec.structs.replace(
            record,
            generation=shim.generation,
            phase=record.phase if record.phase.has_process else Phase.STARTING,
            process=process_of(shim, None, variable(shim.pid, "TMPDIR"), variable(shim.pid, RUN)),
            launched=record.launched if known else spec.launch,
            live=None,
            profile=record.profile if known else spec.profile,
        )
    if record.trial:
        supervisor.uncommitted.add(record.name)
    record = msgspec.structs.replace(record, trial=False, held=False)
    worker = supervisor.add(spec, record)
    process = record.process
    if process is None:
        # Of a start that came to nothing, something may lie about.
        supervisor.attendant.ended(worker, record)
        remove_tmpdir(supervisor.store.bundle(record.name))
    if process is not None and record.phase.has_process and same_boot:
        if _lives(process):
            supervisor.journal.publish(
                "worker.adopted",
                f"adopted in phase {record.phase} with pid {process.pid}",
                worker=record.name,
                pool=record.pool,
            )
        else:  # whoever follows its link finds that out, ends what is left and says how it ended
            worker.record = record = msgspec.structs.replace(record, ready=False)
    supervisor.take(worker, resume(record, spec.policy, clock.now(), same_boot=same_boot))


def _is_news(shim: ShimRecord, record: WorkerRecord) -> bool:
    """Whether a shim tells of a start that the record doesn't know of."""
    if record.process is not None:
        return shim.generation > record.generation
    awaited = record.phase.has_process and shim.generation >= record.generation
    return awaited or shim.generation > record.generation or _lives(shim)


def _without_record(records: Mapping[str, RecordFile], shims: Mapping[str, ShimRecord]) -> dict[str, RecordFile]:
    """Workers that live though their record is lost or was put aside: their shims know enough to take them over."""
    found = {}
    for name, shim in shims.items():
        if name not in records and _lives(shim):
            record = WorkerRecord(name=name, pool=name.rpartition("-")[0], wanted=Wanted.UP, since=shim.started_at)
            found[name] = RecordFile(shim.boot_id, record)
    return found


def _lives(process: Process | ShimRecord) -> bool:
    """A dead shim with a living worker counts: what is left of it is ended by whoever follows its link."""
    return proc.is_alive(process.shim_pid, process.shim_start) or proc.is_alive(process.pid, process.pid_start)


def _leftover_spec(file: RecordFile) -> WorkerSpec:
    """Enough of a specification to stop a worker that no configuration knows any more."""
    record = file.record
    nothing = Launch(engine=Engine(name="", kind=EngineKind.COMMAND, command=("true",)))
    return WorkerSpec(
        name=record.name,
        pool=record.pool,
        index=0,
        profile=record.profile,
        launch=record.launched or nothing,
        autostart=record.wanted is Wanted.UP,
    )

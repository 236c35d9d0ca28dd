"""Take over what an earlier daemon left: living workers are adopted, ended ones counted, the rest goes on as it was."""

from collections.abc import Mapping

import msgspec

from qvl.core.resume import resume
from qvl.daemon import clock
from qvl.daemon.ending import RUN, variable
from qvl.daemon.launcher import process_of
from qvl.daemon.store import RecordFile
from qvl.daemon.supervisor import Supervisor
from qvl.model.spec import Engine, EngineKind, Launch, WorkerSpec
from qvl.model.worker import Phase, Process, Wanted, WorkerRecord
from qvl.shim import proc
from qvl.shim.client import read_record
from qvl.shim.records import ShimRecord


def adopt_all(supervisor: Supervisor, records: Mapping[str, RecordFile], specs: Mapping[str, WorkerSpec]) -> None:
    """In one turn of the loop: every record becomes a worker again; those that are configured no more are stopped."""
    for name, file in {**_without_record(supervisor, records), **records}.items():
        spec = specs.get(name)
        _adopt(supervisor, file, spec or _leftover_spec(file))
        if spec is None:
            supervisor.remove(name)
    for name, spec in specs.items():
        if name not in supervisor.workers:
            supervisor.enter(spec)


def _adopt(supervisor: Supervisor, file: RecordFile, spec: WorkerSpec) -> None:
    record = file.record
    bundle = supervisor.store.bundle(record.name)
    same_boot = file.boot_id == proc.boot_id()
    shim = read_record(bundle)
    born = shim is not None and shim.boot_id == proc.boot_id() and shim.generation >= record.generation
    awaited = record.phase.has_process and record.process is None
    if born and shim is not None and (awaited or shim.generation > record.generation):
        # It was started, and the old daemon died before it could write that down.
        record = msgspec.structs.replace(
            record,
            generation=shim.generation,
            phase=record.phase if record.phase.has_process else Phase.STARTING,
            process=process_of(shim, None, variable(shim.pid, "TMPDIR"), variable(shim.pid, RUN)),
            launched=spec.launch,
            profile=spec.profile,
        )
    if record.trial:
        supervisor.uncommitted.add(record.name)
    record = msgspec.structs.replace(record, trial=False, held=False)
    worker = supervisor.add(spec, record)
    process = record.process
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


def _without_record(supervisor: Supervisor, records: Mapping[str, RecordFile]) -> dict[str, RecordFile]:
    """Workers that live though their record is lost or was put aside: their shims know enough to take them over."""
    found = {}
    for name in supervisor.store.bundles():
        shim = read_record(supervisor.store.bundle(name)) if name not in records else None
        if shim is not None and shim.worker == name and shim.boot_id == proc.boot_id() and _lives(shim):
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

"""Take over what an earlier daemon left: living workers are adopted, ended ones counted, the rest goes on as it was."""

from collections.abc import Mapping

import msgspec

from qvl.core.inputs import Ended
from qvl.core.lifecycle import resume
from qvl.daemon import clock
from qvl.daemon.ending import end_of
from qvl.daemon.launcher import Launcher, process_of
from qvl.daemon.store import RecordFile
from qvl.daemon.supervisor import Supervisor
from qvl.model.spec import Engine, EngineKind, Launch, WorkerSpec
from qvl.model.worker import Phase, Process, Wanted
from qvl.shim import proc
from qvl.shim.client import read_record


def adopt_all(
    supervisor: Supervisor, launcher: Launcher, records: Mapping[str, RecordFile], specs: Mapping[str, WorkerSpec]
) -> None:
    """In one turn of the loop: every record becomes a worker again; those that are configured no more are stopped."""
    for name, file in records.items():
        spec = specs.get(name)
        _adopt(supervisor, launcher, file, spec or _leftover_spec(file))
        if spec is None:
            supervisor.remove(name)
    for name, spec in specs.items():
        if name not in supervisor.workers:
            supervisor.enter(spec)


def _adopt(supervisor: Supervisor, launcher: Launcher, file: RecordFile, spec: WorkerSpec) -> None:
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
            process=process_of(shim, None, str(bundle / "tmp")),
            launched=spec.launch,
            profile=spec.profile,
        )
    record = msgspec.structs.replace(record, trial=False, held=False)
    worker = supervisor.add(spec, record)
    process = record.process
    if process is not None and record.phase.has_process and same_boot:
        if not _lives(process):
            end = end_of(bundle, record, launcher.log_dir(record.name), was_ready=record.phase is Phase.RUNNING)
            supervisor.feed(record.name, Ended(record.generation, end))
            return
        supervisor.journal.publish(
            "worker.adopted",
            f"adopted in phase {record.phase} with pid {process.pid}",
            worker=record.name,
            pool=record.pool,
        )
    supervisor.take(worker, resume(record, spec.policy, clock.now(), same_boot=same_boot))


def _lives(process: Process) -> bool:
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

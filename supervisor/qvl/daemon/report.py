"""Records as people and scripts see them: the status document."""

import os
import socket
import time
from collections.abc import Iterable

import qvl
from qvl.daemon.clock import wall_of
from qvl.daemon.worker import NO_METRICS, Worker
from qvl.model.gpu import GpuSample
from qvl.model.spec import PoolSpec, url
from qvl.model.status import (
    ConfigStatus,
    ExitStatus,
    GatewayStatus,
    PoolStatus,
    Status,
    SupervisorStatus,
    SwitchStatus,
    WorkerStatus,
    when,
)
from qvl.model.worker import DeadlineKind, Exit

STARTED_AT = time.time()


def worker_status(worker: Worker) -> WorkerStatus:
    record, spec = worker.record, worker.spec
    waiting = record.deadline is not None and record.deadline.kind is DeadlineKind.RETRY
    alive = record.phase.has_process
    return WorkerStatus(
        name=record.name,
        pool=record.pool,
        profile=record.profile if alive and record.profile else spec.profile,
        engine=spec.launch.engine.name,
        wanted=record.wanted,
        phase=record.phase,
        ready=record.ready,
        pid=record.process.pid if record.process is not None else None,
        gpus=spec.launch.gpus,
        port=spec.launch.port,
        endpoint=url(spec.launch.host, spec.launch.port),
        since=when(record.since),
        restarts=record.restarts,
        next_start_at=wall_of(record.deadline.at) if waiting and record.deadline is not None else None,
        reason=record.reason,
        drift=worker.drift,
        progress=worker.progress,
        last_exit=exit_status(record.last_exit) if record.last_exit is not None else None,
        metrics=worker.metrics if alive else NO_METRICS,
        hint=record.hint,
        max_restarts=spec.policy.restart.max_restarts,
    )


def exit_status(end: Exit) -> ExitStatus:
    return ExitStatus(when(end.at), end.code, end.signal, end.cause, end.evidence, end.hint)


def pool_status(
    pool: PoolSpec,
    workers: Iterable[Worker],
    override: str | None,
    switch: SwitchStatus | None,
    gateway: GatewayStatus | None = None,
) -> PoolStatus:
    mine = [worker for worker in workers if worker.record.pool == pool.name and not worker.spec.is_gateway]
    return PoolStatus(
        name=pool.name,
        profile=pool.profile,
        override=override,
        endpoint=pool.endpoint,
        ready=sum(worker.record.ready for worker in mine),
        total=len(mine),
        switch=switch,
        gateway=gateway,
    )


def supervisor_status(config: ConfigStatus, lost_log_bytes: int) -> SupervisorStatus:
    return SupervisorStatus(
        pid=os.getpid(),
        version=qvl.__version__,
        started_at=when(STARTED_AT),
        config=config,
        host=socket.gethostname(),
        lost_log_bytes=lost_log_bytes,
    )


def status(
    supervisor: SupervisorStatus,
    pools: Iterable[PoolStatus],
    workers: Iterable[Worker],
    gpus: tuple[GpuSample, ...],
) -> Status:
    return Status(
        supervisor=supervisor,
        pools=tuple(pools),
        workers=tuple(worker_status(worker) for worker in workers if not worker.spec.is_gateway),
        gpus=gpus,
    )

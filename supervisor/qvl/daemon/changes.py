"""The transactions under way: one a pool at a time, edits of the whole file after all of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from qvl.core.changeover import percent, share
from qvl.daemon.gateways import Gateways
from qvl.daemon.journal import Journal
from qvl.daemon.live import LiveChanges
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.transaction import Check, Transaction
from qvl.daemon.worker import Worker
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Severity
from qvl.model.plan import Action, Plan, PlanStep
from qvl.model.spec import WorkerSpec
from qvl.model.status import SwitchStatus, when

_EVENTS = {"apply": "plan", "restart": "restart"}
"""The kind of event that tells the steps of a change; of the others "switch"."""

EVERY_POOL = "*"
"""The key of a change that may concern any pool."""


class Changes:
    """Runs transactions and knows how far each is. `tell` is called whenever that changes, `spawn`
    has work done that nobody waits for."""

    def __init__(
        self,
        supervisor: Supervisor,
        gateways: Gateways,
        live: LiveChanges,
        journal: Journal,
        tell: Callable[[], None],
        spawn: Callable[[Awaitable[None]], None],
        check: Check | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._gateways = gateways
        self.live = live
        self._journal = journal
        self._tell = tell
        self._spawn = spawn
        self._check = check
        self._running: dict[str, Transaction] = {}
        self._status: dict[str, SwitchStatus] = {}
        self._generation: dict[str, int] = {}
        """That of the worker which is being changed, before it was."""
        self.idle = asyncio.Event()
        self.idle.set()

    def status(self, pool: str) -> SwitchStatus | None:
        """With how far it is by now."""
        key = pool if pool in self._status else EVERY_POOL
        known = self._status.get(key)
        if known is None:
            return None
        found = msgspec.structs.replace(known, percent=max(known.percent, self._percent(key, known)))
        self._status[key] = found
        return found

    def _percent(self, key: str, status: SwitchStatus) -> int:
        worker = self._supervisor.workers.get(status.worker or "")
        present = 0.0
        if worker is not None:
            record = worker.record
            restarted = record.generation > self._generation.get(key, record.generation)
            present = share(status.step, record.phase, worker.progress, restarted=restarted)
        return percent(status.done, status.total, present)

    def refuse_if_busy(self, pool: str) -> None:
        if pool in self._running or EVERY_POOL in self._running or (pool == EVERY_POOL and self._running):
            raise QvlError(
                ErrorCode.CONFLICT,
                f"a change of pool {pool} is under way",
                "wait for it, or take it back with `qvlctl switch --cancel`",
            )

    def cancel(self, pool: str) -> None:
        transaction = self._running.get(pool) or self._running.get(EVERY_POOL)
        if transaction is None:
            raise QvlError(ErrorCode.CONFLICT, f"no change of pool {pool} is under way", "`qvlctl status` shows them")
        transaction.cancel()

    def begin(
        self,
        key: str,
        kind: str,
        to: str,
        made: Plan,
        wanted: Sequence[WorkerSpec],
        commit: Callable[[], None],
    ) -> Awaitable[str | None]:
        """Take `key` for a plan, in the very turn in which nobody else had it. What is returned is to be awaited: it
        carries the plan out, calls `commit` where it came to its end, and returns why it went back, None once it is
        done. A switch is smoke-tested and on trial from its first worker on; an edit only where workers were serving.
        """
        self.refuse_if_busy(key)
        began = when(time.time())

        def watch(step: str, worker: str | None, done: int) -> None:
            before = self._status.get(key)
            mark = before.percent if before is not None and before.why == transaction.why else 0
            now = SwitchStatus(kind, to, step, worker, done, transaction.total, began, mark, transaction.why)
            if worker is not None and (before is None or (before.worker, before.why) != (worker, now.why)):
                known = self._supervisor.workers.get(worker)
                self._generation[key] = known.record.generation if known is not None else 0
            self._status[key] = now
            self._tell()
            if step != "preparing":
                self._publish(key, now)

        changed: set[str] = set()

        async def bring(worker: Worker, spec: WorkerSpec, trial: bool) -> str | None:
            changed.add(worker.name)
            return await self.live.bring(worker, spec, trial=trial)

        async def smoke(worker: Worker) -> str | None:
            return await self._gateways.accept(worker, anew=worker.name in changed)

        is_switch = kind in ("switch", "reset")
        transaction = Transaction(
            self._supervisor,
            made.steps,
            {spec.name: spec for spec in wanted},
            smoke=smoke if is_switch else None,
            admit=self._gateways.admit,
            bring=bring,
            watch=watch,
            commit=commit,
            all_on_trial=is_switch,
            check=self._check,
        )
        self._running[key] = transaction
        self.idle.clear()
        watch("preparing", None, 0)
        return self._run(key, transaction)

    def restart(self, pool: str, workers: Sequence[Worker]) -> Awaitable[None]:
        """Restart workers one after the other, each once the last gets requests again, and the first once those do that
        an earlier daemon has left on their way; it ends with the first that doesn't get ready."""
        profile = workers[0].spec.profile
        left = [w for w in self._supervisor.workers.values() if w.name in self._supervisor.uncommitted]
        awaited = [worker for worker in left if worker.record.pool == pool and worker not in workers]
        steps = [(worker, Action.KEEP) for worker in awaited] + [(worker, Action.RESTART) for worker in workers]
        made = Plan("", tuple(PlanStep(worker.name, action) for worker, action in steps))
        change = self.begin(pool, "restart", profile, made, [worker.spec for worker, _ in steps], lambda: None)

        async def go() -> None:
            wrong = await change
            outcome = "done" if wrong is None else "failed"
            sentence = "all were restarted" if wrong is None else f"the others were not restarted: {wrong}"
            severity = Severity.INFO if wrong is None else Severity.ERROR
            self._journal.publish("restart", sentence, severity=severity, pool=pool, data={"outcome": outcome})

        return go()

    def take_back(self) -> None:
        """What an earlier daemon had changed and never committed goes back; behind a gateway one after the other."""
        for pool, workers in self._supervisor.take_back().items():
            if pool in self._running or EVERY_POOL in self._running:  # that brings them to what is to be
                self._supervisor.uncommitted.difference_update(worker.name for worker in workers)
                continue
            self._spawn(self._back(self.restart(pool, workers), pool))

    async def _back(self, change: Awaitable[None], pool: str) -> None:
        await change
        await self._supervisor.ask(lambda: self._supervisor.settled(pool))

    async def _run(self, key: str, transaction: Transaction) -> str | None:
        try:
            return await transaction.run()
        finally:
            del self._running[key], self._status[key]
            self._generation.pop(key, None)
            if not self._running:
                self.idle.set()
            self._tell()

    def _publish(self, key: str, status: SwitchStatus) -> None:
        """A step as an event: what somebody sees who follows them, and finds later."""
        pool = None if key == EVERY_POOL else key
        shown = self.status(key) or status
        data = {name: getattr(shown, name) for name in ("to", "step", "worker", "done", "total", "percent", "why")}
        beginning = status.why is not None and status.worker is None
        told = f"{status.step}: {status.why}" if beginning else status.step
        self._journal.publish(
            _EVENTS.get(status.kind, "switch"),
            f"{told} ({shown.done} of {shown.total} workers done, {shown.percent}%)",
            severity=Severity.WARNING if beginning else Severity.INFO,
            pool=pool,
            worker=status.worker,
            data=data,
        )


def summary(made: Plan) -> str:
    """`2 restart, 1 start`, or `nothing to do`."""
    counts = {
        action: sum(step.action is action for step in made.steps) for action in Action if action is not Action.KEEP
    }
    return ", ".join(f"{count} {action}" for action, count in counts.items() if count) or "nothing to do"

"""A change of the fleet as a transaction: worker by worker, and back to what was ready if one doesn't make it.

A worker that was serving is on trial: its first unrequested end, or a failed smoke test, ends the transaction, and all
that it changed goes back. Workers that weren't serving get their new specification and a start, and bind nobody.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from qvl.core.inputs import HoldAsked, Mended, Respecified, RestartAsked, TrialEnded
from qvl.core.planning import is_same
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.worker import Worker
from qvl.model.plan import Action, PlanStep
from qvl.model.spec import WorkerSpec
from qvl.model.worker import Phase, Wanted

log = logging.getLogger(__name__)

T = TypeVar("T")

HELD_UP = 30.0
"""Seconds that a worker which wasn't serving has to begin its start, while those that serve wait for their turn."""

Bring = Callable[[Worker, WorkerSpec, bool], Coroutine[Any, Any, str | None]]
"""Makes a running worker what a specification says, without a restart, on trial or not; what went wrong, None if
nothing."""

Smoke = Callable[[Worker], Coroutine[Any, Any, str | None]]
"""What is wrong with a worker that says it is ready, None if nothing."""

Check = Callable[[WorkerSpec], Coroutine[Any, Any, str | None]]
"""Why a worker could not be started so, None if nothing is known of."""

Watch = Callable[[str, str | None, int], None]
"""Told of each step: its name, the worker, how many are done."""


class Failure(Exception):
    """The transaction can't go on; the message is the sentence for people."""


class Transaction:
    """`steps` of a plan towards `wanted`. `smoke`: what a worker has to pass; `admit` puts it behind its pool's
    gateway; `bring` changes one without a restart; `commit` writes down that from now on the new holds, in the turn in
    which it comes to hold. `all_on_trial`: also those that weren't serving (a switch)."""

    def __init__(
        self,
        supervisor: Supervisor,
        steps: Sequence[PlanStep],
        wanted: Mapping[str, WorkerSpec],
        *,
        smoke: Smoke | None,
        admit: Smoke,
        bring: Bring,
        watch: Watch,
        commit: Callable[[], None],
        all_on_trial: bool,
        check: Check | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._steps = steps
        self._wanted = wanted
        self._smoke = smoke
        self._admit = admit
        self._bring = bring
        self._watch = watch
        self._commit = commit
        self._all_on_trial = all_on_trial
        self._check = check
        self._before: dict[str, WorkerSpec] = {}
        self._live: dict[str, tuple[WorkerSpec, int]] = {}
        """What those were that were changed without a restart, and the generation of the process that was changed."""
        self._interrupted: set[str] = set()
        """Those of them whose process was ended to make room."""
        self._coming: dict[str, int] = {}
        """Those behind a gateway that were restarted and weren't serving, and their generation before that."""
        self._cancelled = asyncio.Event()
        self.total = sum(1 for step in steps if step.action in (Action.LIVE, Action.RESTART, Action.RELAYOUT))
        self.done = 0
        self.why: str | None = None
        """What makes it go back; from then on `done` and `total` count what is brought back."""

    def cancel(self) -> None:
        """Go back, as if the next step had failed."""
        self._cancelled.set()

    async def run(self) -> str | None:
        """Why it went back, None once it is done."""
        try:
            if (wrong := await self._unless_cancelled(self._look_ahead())) is not None:
                raise Failure(wrong)
            for step in self._steps:  # first: they interrupt nobody, and what one of them refuses has cost nothing
                if step.action is Action.LIVE:
                    await self._change_live(step.worker)
                    self.done += 1
            await self._await_left_behind()
            await self._unless_cancelled(self._make_room())
            for step in self._steps:
                if step.action in (Action.RESTART, Action.RELAYOUT):
                    await self._change(step.worker)
                    self.done += 1
        except Failure as failure:
            self.why = str(failure)
            self.done, self.total = 0, len(self._before) + len(self._live)
            self._watch("rolling back", None, 0)
            await self._go_back()
            return self.why
        await self._supervisor.ask(self._finish)
        return None

    async def _look_ahead(self) -> str | None:
        """Nobody that serves is stopped for a start that is known to come to nothing."""
        for step in self._steps:
            worker = self._supervisor.workers.get(step.worker)
            if self._check is None or worker is None or step.action not in (Action.RESTART, Action.RELAYOUT):
                continue
            serves = worker.record.wanted is Wanted.UP and worker.record.ready
            if serves and (wrong := await self._check(spec := self._wanted[step.worker])) is not None:
                return f"{step.worker} can't be started with profile {spec.profile}: {wrong}"
        return None

    async def _await_left_behind(self) -> None:
        """Workers that an earlier daemon had restarted for this, and left on their way, are to serve before the next
        one leaves. One that doesn't get there is taken back as all that was never committed."""
        if not any(step.action is Action.RESTART for step in self._steps):
            return
        for step in self._steps:
            name = step.worker
            worker = self._supervisor.workers.get(name)
            if worker is None or name not in self._supervisor.uncommitted or step.action is not Action.KEEP:
                continue
            self._watch("restarting", name, self.done)
            now = await self._unless_cancelled(self._supervisor.until(name, lambda w: _settled(w, -1)))
            if now is not None and now.record.phase in (Phase.FAILED, Phase.BACKOFF):
                raise Failure(f"{name} did not get ready: {now.record.reason}")
            await self._route(worker)

    async def _make_room(self) -> None:
        """What moves or leaves goes first, so that cards and ports are free for those that come. That holds for those
        too that are about to start on their old place."""
        if not any(step.action is Action.RELAYOUT for step in self._steps):
            return
        leaving = [s.worker for s in self._steps if s.action in (Action.STOP, Action.RELAYOUT)]
        self._watch("stopping", None, 0)
        await asyncio.gather(*(self._stop(name) for name in leaving))

    async def _stop(self, name: str) -> None:
        worker = self._supervisor.workers.get(name)
        if worker is None or worker.record.phase in (Phase.STOPPED, Phase.FAILED):
            return
        if worker.record.phase.has_process:
            self._interrupted.add(name)
        self._before.setdefault(name, worker.spec)
        self._supervisor.post(name, HoldAsked())
        await self._supervisor.until(name, lambda w: w is None or not _has_place(w))

    async def _change(self, name: str) -> None:
        """Bring one worker to its new specification and see it serve."""
        worker = self._supervisor.workers.get(name)
        spec = self._wanted[name]
        if worker is None:
            return
        if spec.policy.routed and worker.record.ready:
            await self._let_come()
        was_up = worker.record.wanted is Wanted.UP
        served = worker.record.ready or name in self._interrupted or name in self._supervisor.uncommitted
        on_trial = was_up and (served or self._all_on_trial)
        self._before.setdefault(name, worker.spec)
        generation = worker.record.generation

        def turn() -> None:
            worker.spec = spec
            if was_up:
                self._supervisor.feed(name, RestartAsked(trial=on_trial))
            else:
                self._supervisor.tell(worker)

        self._watch("restarting", name, self.done)
        await self._supervisor.ask(turn)
        if not on_trial:
            if was_up and spec.policy.routed:
                self._coming[name] = generation
            return
        await self._await_ready(name, generation)
        await self._prove(worker)
        await self._route(worker)

    async def _let_come(self) -> None:
        """Those that weren't serving when they were restarted bind nobody; but they have their chance to come back
        before one leaves that serves. What keeps one from its card may do so for good: that isn't waited for."""

        async def come(name: str, generation: int) -> Worker | None:
            def begun(worker: Worker | None) -> bool:
                return _settled(worker, generation) or (worker is not None and worker.record.generation > generation)

            try:
                async with asyncio.timeout(HELD_UP):
                    await self._supervisor.until(name, begun)
            except TimeoutError:
                return None
            return await self._supervisor.until(name, lambda w: _settled(w, generation))

        async def all_of_them() -> None:
            coming, self._coming = self._coming, {}
            for worker in await asyncio.gather(*(come(*each) for each in coming.items())):
                if worker is not None and worker.record.ready:
                    await self._admit(worker)

        if self._coming:
            await self._unless_cancelled(all_of_them())

    async def _route(self, worker: Worker) -> None:
        if not worker.spec.policy.routed or not worker.record.ready:
            return
        self._watch("routing", worker.name, self.done)
        if (wrong := await self._unless_cancelled(self._admit(worker))) is not None:
            raise Failure(f"{worker.name} gets no requests with profile {worker.record.profile}: {wrong}")

    async def _change_live(self, name: str) -> None:
        """Bring one worker to its new specification while it serves. One that doesn't serve yet gets it in the end, and
        is changed once it does; but a switch wants to see it serve now."""
        worker = self._supervisor.workers.get(name)
        if worker is None:
            return
        if not worker.record.ready:
            if self._all_on_trial:
                await self._change(name)
            return
        self._watch("changing live", name, self.done)
        before, generation = worker.spec, worker.record.generation
        self._live[name] = before, generation
        wanted = self._wanted[name]
        spec = msgspec.structs.replace(before, launch=wanted.launch, profile=wanted.profile)
        wrong = await self._unless_cancelled(self._bring(worker, spec, True))
        if not _runs(worker, generation):
            await self._await_ready(name, generation)  # it ended meanwhile, or was restarted, with what is new
        elif wrong is not None:
            raise Failure(f"{name} did not take it: {wrong}")
        await self._prove(worker)

    async def _prove(self, worker: Worker) -> None:
        if self._smoke is None or not worker.record.ready:
            return
        self._watch("smoke test", worker.name, self.done)
        if (wrong := await self._unless_cancelled(self._smoke(worker))) is not None:
            raise Failure(f"{worker.name} did not pass its smoke test with profile {worker.spec.profile}: {wrong}")

    async def _await_ready(self, name: str, generation: int) -> None:
        def decided(worker: Worker | None) -> bool:
            if worker is None or worker.record.wanted is Wanted.DOWN or worker.record.phase is Phase.FAILED:
                return True
            return worker.record.generation > generation and worker.record.ready

        worker = await self._unless_cancelled(self._supervisor.until(name, decided))
        if worker is not None and worker.record.phase is Phase.FAILED:
            raise Failure(f"{name} did not get ready: {worker.record.reason}")

    async def _unless_cancelled(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of `work`; Failure where the transaction is cancelled before or meanwhile."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            cancelled = group.create_task(self._cancelled.wait())
            await asyncio.wait((task, cancelled), return_when=asyncio.FIRST_COMPLETED)
            task.cancel()
            cancelled.cancel()
        if self._cancelled.is_set():
            raise Failure("it was cancelled")
        return task.result()

    async def _go_back(self) -> None:
        """Everything that was changed gets its old specification; what was up is started with it, worker by worker
        from the one that failed on, so that the others serve meanwhile. Those that moved go back at once."""
        for name, (before, generation) in reversed(self._live.items()):
            self._watch("rolling back", name, self.done)
            await self._restore_live(name, before, generation)
        moved = any(step.action is Action.RELAYOUT for step in self._steps)
        if moved:
            await asyncio.gather(*(self._stop(name) for name in self._before))
        back = list(reversed(self._before))
        for names in [back] if moved else [[name] for name in back]:
            self._watch("rolling back", names[0] if len(names) == 1 else None, self.done)
            await self._restore(names)
            self.done += len(names)

    async def _restore_live(self, name: str, before: WorkerSpec, generation: int) -> None:
        """Take a change back while the worker serves; one whose process ended meanwhile is started with what was."""
        worker = self._supervisor.workers.get(name)
        if worker is None:
            return
        if _runs(worker, generation):
            if (wrong := await self._bring(worker, before, worker.record.trial)) is not None:
                log.warning("%s is not what it was, and is tried again: %s", name, wrong)
            if _runs(worker, generation):
                # Not before: who finds it on trial after a crash knows that it is to go back.
                await self._supervisor.ask(lambda: self._supervisor.feed(name, TrialEnded()))
                self.done += 1
                return
        self._before[name] = before

    async def _restore(self, names: Sequence[str]) -> None:
        serving = {name for name in names if self._serves_as_before(name)}  # where nothing but a restart was asked for

        def turn() -> None:
            for name in names:
                worker = self._supervisor.workers.get(name)
                if worker is None:
                    continue
                worker.spec = self._before[name]
                if worker.record.wanted is Wanted.UP and name not in serving:
                    self._supervisor.feed(name, RestartAsked())
                # Not before: who finds it on trial after a crash knows that it is to go back.
                self._supervisor.feed(name, TrialEnded())

        generations = {n: w.record.generation for n, w in self._supervisor.workers.items() if n in names}
        await self._supervisor.ask(turn)
        for name, generation in generations.items():
            if name in serving:
                continue
            worker = await self._supervisor.until(name, lambda w, g=generation: _settled(w, g))  # type: ignore[misc]
            if worker is not None and worker.record.ready:
                await self._admit(worker)  # before the next one leaves

    def _serves_as_before(self, name: str) -> bool:
        worker = self._supervisor.workers.get(name)
        return worker is not None and worker.spec == self._before[name] and worker.record.ready

    def _finish(self) -> None:
        """New workers come; commit; trials end, policies change, old workers leave.

        Wherever a crash cuts this off, the one file of the commit decides: before it a new worker is one that nobody
        configured, and is forgotten; after it an old one is.
        """
        for step in self._steps:
            worker = self._supervisor.workers.get(step.worker)
            if step.action is Action.START and (worker is None or worker.removing):
                self._supervisor.enter(self._wanted[step.worker])
        self._commit()
        for name in (*self._before, *self._live):
            self._supervisor.feed(name, TrialEnded())
        for step in self._steps:
            worker = self._supervisor.workers.get(step.worker)
            match step.action:
                case Action.STOP if worker is not None:
                    self._supervisor.remove(step.worker)
                case Action.KEEP | Action.RECONFIGURE | Action.LIVE if worker is not None:
                    reconfigure(self._supervisor, worker, self._wanted[step.worker])


def keep(supervisor: Supervisor, wanted: Iterable[WorkerSpec], commit: Callable[[], None]) -> None:
    """Commit where every worker is as it is to be. One may be so by the doing of an earlier daemon, which died before
    it could commit: from now on that is what holds for it, or it would be taken back."""
    commit()
    for spec in wanted:
        worker = supervisor.workers.get(spec.name)
        if worker is not None and not worker.removing:
            reconfigure(supervisor, worker, spec)


def reconfigure(supervisor: Supervisor, worker: Worker, spec: WorkerSpec) -> None:
    """A new specification that needs no new process."""
    if is_same(worker.spec, spec):
        return
    old, worker.spec = worker.spec.policy, spec
    supervisor.attendant.respecified(worker)
    supervisor.feed(worker.name, Respecified(old))
    supervisor.feed(worker.name, Mended("its configuration changed"))
    supervisor.tell(worker)


def _runs(worker: Worker, generation: int) -> bool:
    return worker.record.phase is Phase.RUNNING and worker.record.generation == generation


def _has_place(worker: Worker) -> bool:
    """Whether it still takes its cards and port, or is about to."""
    return worker.record.phase.has_process or worker.record.phase is Phase.RELEASING


def _settled(worker: Worker | None, generation: int) -> bool:
    if worker is None or worker.record.wanted is Wanted.DOWN:
        return True
    if worker.record.phase in (Phase.FAILED, Phase.BACKOFF, Phase.STOPPED):  # stopped: it ended as it should
        return True
    return worker.record.generation > generation and worker.record.ready

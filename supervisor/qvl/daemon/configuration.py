"""The configuration while the daemon runs: what the file says, what was applied, and how the one becomes the other.

Three things are told apart: the file's `revision`, the `applied` configuration (what runs), and a `rejected` one that
was tried and went back, which isn't tried again until the file changes or someone types `apply`.
"""

import asyncio
import dataclasses
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from qvl.config.flags import installed_check
from qvl.config.fleet import Fleet
from qvl.config.load import Loaded, load
from qvl.config.settings import Config, read_once_edits
from qvl.config.state import ConfigState, Override, Rejected, hold
from qvl.daemon.changes import EVERY_POOL, Changes, summary
from qvl.daemon.journal import Journal
from qvl.daemon.planner import Planner, Prepared
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.transaction import keep
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Severity
from qvl.model.plan import Action, Plan
from qvl.model.spec import PoolSpec, WorkerSpec
from qvl.model.status import ConfigStatus

log = logging.getLogger(__name__)

PLANS = 32
"""Plans that are remembered for `apply`."""


class NoConfiguration(QvlError):
    """The file is refused and there is none that was applied before: there is nothing to run."""


class Configuration:
    """Everything here runs in the daemon's loop; changes of workers go through the supervisor's inbox."""

    def __init__(
        self,
        path: Path,
        state: ConfigState,
        supervisor: Supervisor,
        journal: Journal,
        *,
        planner: Planner,
        changes: Changes,
        tell: Callable[[], None],
        cache: Path,
        warned: Callable[[Plan, Sequence[WorkerSpec]], Awaitable[Plan]],
    ) -> None:
        self.path = path
        self.applied: Config | None = None
        self.pools: dict[str, PoolSpec] = {}
        self._state = state
        self._supervisor = supervisor
        self._journal = journal
        self._planner = planner
        self._changes = changes
        self._tell = tell
        self._cache, self.warned = cache, warned
        self._overrides: dict[str, Override] = {}
        self._rejected: Rejected | None = None
        self._revision: str | None = None
        self._error: str | None = None
        self._waits = False
        self._applying: str | None = None
        self._plans: dict[str, Prepared] = {}
        self._unwritten: dict[str, Callable[[], None]] = {}
        self._numbers = itertools.count(1)
        self._warned: set[str] = set()
        self._reloads = asyncio.Lock()
        self._next: tuple[Config, bool] | None = None
        """What is to be applied next, and whether somebody typed it."""
        self._to_apply = asyncio.Event()

    # ---- at the start

    def open(self) -> Config:
        """The configuration to begin with: the last applied one where there is one, else the file's.

        QvlError where there is neither. What the file says beyond the last applied one is planned by the first reload.
        """
        overrides, applied, rejected = self._state.overrides(), self._state.applied(), self._state.rejected()
        for remembered in (overrides, applied, rejected):
            if remembered.reason is not None:
                log.warning("%s", remembered.reason)
        self._overrides, self._rejected = overrides.value, rejected.value
        config = applied.value
        if config is None:
            loaded = self._load(self.path)
            self._note(loaded)
            if loaded.config is None:
                raise NoConfiguration(
                    ErrorCode.REFUSED,
                    f"configuration {self.path} is refused and there is no last applied one:\n{_lines(loaded)}",
                    f"mend it, then `qvlctl check {self.path}`",
                )
            config = loaded.config
        self.applied = config
        return config

    def first_fleet(self) -> dict[str, WorkerSpec]:
        """The workers to begin with; pools that this host can't place are told about."""
        assert self.applied is not None
        placed = self._planner.place(self.applied, self._overrides)
        for fault in placed.faults:
            self._error = str(fault)
            self._journal.publish("config.refused", str(fault), severity=Severity.ERROR)
        self._accept(self.applied, placed)
        return {worker.name: worker for worker in placed.workers}

    # ---- what the file says

    async def reload(self, *, asked: Plan | None = None) -> None:
        """Read the file, plan, and have it applied as `auto_apply` says; returns before it is.

        `asked`: the operator typed `apply` for this plan, so what was rejected is tried again and what waits is
        applied; QvlError where the file is another by now.
        """
        typed = asked is not None
        async with self._reloads:
            loaded = await asyncio.to_thread(self._load, self.path)
            self._note(loaded)
            if asked is not None and loaded.revision != asked.revision:
                raise QvlError(
                    ErrorCode.STALE_PLAN,
                    f"plan {asked.id} was made from revision {asked.revision}, the file is at "
                    f"{loaded.revision or 'none'} now",
                    "plan again: `qvlctl plan`, then `qvlctl apply`",
                )
            if loaded.config is None:
                self._refuse(_lines(loaded))
                return
            config = loaded.config
            prepared = self._planner.prepare(config, self._overrides)
            if prepared.fleet.faults:
                self._refuse("\n".join(map(str, prepared.fleet.faults)))
                return
            rejected = self._rejected
            if rejected is not None and rejected.revision == config.revision and not typed:
                self._error = rejected.error
                self._tell()
                return
            due = self._next[0].revision if self._next is not None else self._applying
            if config.revision == due and not typed:
                return  # it is under way: `apply` was typed before the edit was noticed
            self._forget_rejection()
            self._error = None
            self._waits = not typed and not self._planner.applies_itself(config, prepared.plan)
            if self._waits and prepared.plan.changes:
                removes = ", ".join(prepared.plan.removes_pools)
                why = f"it removes pool {removes} with workers up" if removes else "auto_apply leaves it to you"
                sentence = f"the edit waits for `qvlctl apply`, since {why}: {summary(prepared.plan)}"
                self._journal.publish("plan", sentence, severity=Severity.WARNING)
                self._tell()
                return
            self._waits = False
            self._next = (config, typed)
            self._to_apply.set()

    def settle(self) -> None:
        """What an earlier daemon had changed and never committed goes back, where nothing that is about to be applied
        says otherwise."""
        if self._next is None:
            self._changes.take_back()

    async def applier(self) -> None:
        """Applies what was read last, one configuration at a time, when no switch is under way."""
        while True:
            await self._to_apply.wait()
            while not self._changes.idle.is_set():  # a switch may have begun before we are woken
                await self._changes.idle.wait()
            due, self._next = self._next, None
            self._to_apply.clear()
            if due is not None:
                config, typed = due
                self._applying = config.revision
                await self._apply(self._planner.prepare(config, self._overrides), typed=typed)
                self._applying = None
                self._changes.take_back()  # what this apply has not changed, and an earlier daemon never committed

    async def plan(self, path: Path | None) -> Plan:
        """What the live file, or another, would do. QvlError with every fault where it is refused."""
        loaded = await asyncio.to_thread(self._load, path or self.path)
        if path is None:
            self._note(loaded)
        if loaded.config is None:
            raise QvlError(ErrorCode.REFUSED, _lines(loaded), f"mend {path or self.path}, then plan again")
        prepared = self._planner.prepare(loaded.config, self._overrides)
        if prepared.fleet.faults:
            faults = "\n".join(map(str, prepared.fleet.faults))
            raise QvlError(ErrorCode.REFUSED, faults, f"mend {path or self.path}, then plan again")
        number = f"{prepared.plan.revision}-{next(self._numbers)}"
        named = await self.warned(msgspec.structs.replace(prepared.plan, id=number), prepared.fleet.workers)
        self._plans[number] = msgspec.structs.replace(prepared, plan=named, path=path)
        while len(self._plans) > PLANS:
            del self._plans[next(iter(self._plans))]
        return named

    async def look(self) -> tuple[Loaded, Prepared | None]:
        """The live file as it is now, and what it would change: None where there are faults. Nothing comes of it."""
        loaded = await asyncio.to_thread(self._load, self.path)
        if loaded.config is None:
            return loaded, None
        prepared = self._planner.prepare(loaded.config, self._overrides)
        if faults := prepared.fleet.faults:
            return dataclasses.replace(loaded, config=None, faults=faults), None
        made = await self.warned(prepared.plan, prepared.fleet.workers)
        return loaded, msgspec.structs.replace(prepared, plan=made)

    async def apply(self, number: str) -> tuple[str, ...]:
        """Have a plan applied if it still holds; returns the workers that it concerns, before it is."""
        prepared = self._plans.get(number)
        if prepared is None:
            raise QvlError(ErrorCode.NOT_FOUND, f'there is no plan "{number}"', "plan again: `qvlctl plan`")
        if prepared.path is not None:
            raise QvlError(
                ErrorCode.CONFLICT,
                f"plan {number} is of {prepared.path}, not of the live file {self.path}",
                f"move it to {self.path}, then `qvlctl apply`",
            )
        await self.reload(asked=prepared.plan)
        return tuple(step.worker for step in prepared.plan.steps if step.action is not Action.KEEP)

    # ---- for status

    def override(self, pool: str) -> str | None:
        override = self._overrides.get(pool)
        return override.profile if override is not None else None

    def status(self) -> ConfigStatus:
        return ConfigStatus(
            path=str(self.path),
            revision=self._revision,
            applied=self.applied.revision if self.applied is not None else None,
            error=self._error,
            pending=self._waits,
        )

    # ---- for switching

    def with_override(self, pool: str, override: Override | None) -> Prepared:
        """The applied configuration with another override of one pool, planned for that pool."""
        config = self.applied
        if config is None:
            raise QvlError(ErrorCode.CONFLICT, "no configuration is applied yet")
        return self._planner.prepare(config, self._overridden(pool, override), pool)

    def commit_override(self, pool: str, override: Override | None, placed: Fleet) -> None:
        self._overrides = self._overridden(pool, override)  # of now: other pools have switched meanwhile
        self._write("overrides", lambda: self._state.save_overrides(self._overrides))
        self.pools = {s.name: s if s.name == pool else self.pools.get(s.name, s) for s in placed.pools}
        self._tell()

    # ---- parts

    def _overridden(self, pool: str, override: Override | None) -> dict[str, Override]:
        others = {name: held for name, held in self._overrides.items() if name != pool}
        return others if override is None else {**others, pool: override}

    def _load(self, path: Path) -> Loaded:
        return load(path, flag_check=installed_check(self._cache))

    def _note(self, loaded: Loaded) -> None:
        self._revision = loaded.revision or None
        warnings = {str(warning) for warning in loaded.warnings}
        for warning in warnings - self._warned:
            log.warning("%s", warning)
        self._warned = warnings

    def _refuse(self, error: str) -> None:
        if error != self._error:
            first, *more = error.splitlines()
            rest = f" (and {len(more)} more)" if more else ""
            self._journal.publish(
                "config.refused", f"{first}{rest}", severity=Severity.ERROR, data={"faults": error.splitlines()}
            )
        self._error = error
        self._waits = False
        self._tell()

    async def _apply(self, prepared: Prepared, *, typed: bool) -> None:
        config, made = prepared.config, prepared.plan
        changed = self.applied is None or self.applied.revision != config.revision

        def commit() -> None:
            self._note_settings(config)
            self._accept(config, prepared.fleet)

        wrong = None
        if made.changes:
            self._journal.publish("plan", f"applying revision {config.revision}: {summary(made)}")
            workers = prepared.fleet.workers
            wrong = await self._changes.begin(EVERY_POOL, "apply", config.revision, made, workers, commit)
        else:
            await self._supervisor.ask(lambda: keep(self._supervisor, prepared.fleet.workers, commit))
        if wrong is None:
            if changed or typed:
                data: dict[str, object] = {"revision": config.revision, "outcome": "done"}
                self._journal.publish("apply", f"revision {config.revision} is applied", data=data)
            self._tell()
            return
        self._error = f"revision {config.revision} was rejected: {wrong}"
        self._rejected = rejected = Rejected(config.revision, self._error)
        self._write("rejected", lambda: self._state.save_rejected(rejected))
        self._journal.publish(
            "apply", self._error, severity=Severity.ERROR, data={"revision": config.revision, "outcome": "rolled-back"}
        )
        self._tell()

    def _note_settings(self, config: Config) -> None:
        """Some settings are read at the start alone: an edit of them is told, so that nobody waits for its effect."""
        old = self.applied.supervisor if self.applied is not None else config.supervisor
        if edited := read_once_edits(old, config.supervisor):
            names = ", ".join(f"supervisor.{name}" for name in edited)
            sentence = f"{names}: takes effect with `qvlctl daemon restart`"
            self._journal.publish("plan", sentence, severity=Severity.WARNING)

    def _accept(self, config: Config, placed: Fleet) -> None:
        self.applied = config
        self._error = self._error if placed.faults else None
        # First: what follows from it, a successor makes up for. What it follows from must not be lost before it.
        self._write("applied", lambda: self._state.save_applied(config))
        held, ended = hold(self._overrides, config)
        for sentence in ended:
            self._journal.publish("switch", sentence)
        if held != self._overrides:
            self._overrides = held
            self._write("overrides", lambda: self._state.save_overrides(self._overrides))
        for note in placed.notes:
            log.warning("%s", note)
        self.pools = {pool.name: pool for pool in placed.pools}
        self._supervisor.forget_pools(config.pools)

    def _forget_rejection(self) -> None:
        if self._rejected is not None:
            self._rejected = None
            self._write("rejected", lambda: self._state.save_rejected(None))

    def retry(self) -> None:
        """Write again what could not be written."""
        for what, write in list(self._unwritten.items()):
            self._write(what, write)

    def _write(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if what not in self._unwritten:
                log.error("the configuration's state can't be written, it is kept in memory: %s", error)
            self._unwritten[what] = write
        else:
            self._unwritten.pop(what, None)


def _lines(loaded: Loaded) -> str:
    return "\n".join(map(str, loaded.faults))

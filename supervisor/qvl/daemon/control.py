"""What the API may ask: each method looks the request over, writes down who asked, and hands it to the one writer."""

import asyncio
import difflib
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import qvl
from qvl.api.control import Actor, LogSource, Verb
from qvl.config.origins import profile_infos
from qvl.core.inputs import Input, RestartAsked, StartAsked, StopAsked
from qvl.daemon import report
from qvl.daemon.changes import Changes, summary
from qvl.daemon.config_view import ConfigReader
from qvl.daemon.configuration import Configuration
from qvl.daemon.details import Details
from qvl.daemon.gateway_status import gateway_status
from qvl.daemon.gateways import Gateways
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.history import POINTS, HistoryRing
from qvl.daemon.journal import Journal
from qvl.daemon.launcher import Launcher
from qvl.daemon.resolved import Profiles, Resolver
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.switching import Switching
from qvl.daemon.worker import Worker
from qvl.model.api import Accepted, History, ProfileDetail, ProfileInfo, Resolved, VersionInfo
from qvl.model.config import ConfigView
from qvl.model.detail import WorkerDetail
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Change, Event, Frame
from qvl.model.plan import Plan
from qvl.model.spec import Launch
from qvl.model.status import PoolStatus, Status, SupervisorStatus, when
from qvl.model.worker import Wanted
from qvl.shim import logread

_INPUTS: dict[Verb, Input] = {Verb.START: StartAsked(), Verb.STOP: StopAsked(), Verb.RESTART: RestartAsked()}


class DaemonControl:
    """Implements `qvl.api.control.Control`. `spawn` starts work that goes on after the answer."""

    def __init__(
        self,
        supervisor: Supervisor,
        configuration: Configuration,
        switching: Switching,
        changes: Changes,
        journal: Journal,
        launcher: Launcher,
        gpus: GpuMonitor,
        history: HistoryRing,
        resolver: Resolver,
        gateways: Gateways,
        spawn: Callable[[Awaitable[None]], None],
        restart: Callable[[], None],
    ) -> None:
        self._supervisor = supervisor
        self._configuration = configuration
        self._switching = switching
        self._changes = changes
        self._journal = journal
        self._launcher = launcher
        self._gpus = gpus
        self._history = history
        self._resolver = resolver
        self._profiles = Profiles(supervisor, configuration, launcher, gpus)
        self._details = Details(launcher, gpus, journal)
        self._config = ConfigReader(configuration, self._launches)
        self._gateways = gateways
        self._spawn = spawn
        self._restart = restart
        self._told: tuple[tuple[PoolStatus, ...], SupervisorStatus] | None = None
        self.closing = False
        """The daemon goes: nothing new is begun, which it would have to wait for."""

    # ---- reads

    def status(self) -> Status:
        return report.status(self._daemon(), self._pools(), self._ordered(), self._gpus.latest)

    def events(self, since: int) -> list[Event]:
        return self._journal.since(since)

    def subscribe(self, since: int | None, *, changes: bool) -> AsyncIterator[Frame]:
        return self._journal.subscribe(since, changes=changes, status=self.status)

    def log_source(self, worker: str) -> LogSource:
        self._known(worker, self._supervisor.workers, "worker")
        directory = self._launcher.log_dir(worker)
        return LogSource(directory, lambda: tuple((run.generation, run.offset) for run in logread.runs(directory)))

    async def history(self, last: int | None) -> History:
        return await self._history.read(last)

    async def history_of(self, span: int, points: int | None) -> History:
        return await self._history.read_span(span, points or POINTS)

    def profiles(self) -> tuple[ProfileInfo, ...]:
        config = self._configuration.applied
        running = {name: pool.profile for name, pool in self._configuration.pools.items()}
        return profile_infos(config, running) if config is not None else ()

    async def profile(self, name: str, pool: str | None) -> ProfileDetail:
        return await self._profiles.detail(name, pool)

    async def detail(self, worker: str) -> WorkerDetail:
        self._known(worker, self._supervisor.workers, "worker")
        return await self._details.ask(self._supervisor.workers[worker])

    async def resolved(self, worker: str) -> Resolved:
        self._known(worker, self._supervisor.workers, "worker")
        return await self._resolver.ask(self._supervisor.workers[worker])

    async def config(self) -> ConfigView:
        return await self._config.read()

    async def version(self) -> VersionInfo:
        config = self._configuration.applied
        engines = dict(config.engines) if config is not None else {}
        drivers = {name: Launch(engine=engine) for name, engine in engines.items()}
        versions = await asyncio.to_thread(
            lambda: {name: self._launcher.driver(launch).version(launch) for name, launch in drivers.items()}
        )
        return VersionInfo(qvl.__version__, platform.python_version(), versions)

    # ---- acts

    async def act(self, verb: Verb, name: str, *, pool: bool, actor: Actor) -> Accepted:
        return await self._supervisor.ask(lambda: self._act(verb, name, pool=pool, actor=actor))

    def _act(self, verb: Verb, name: str, *, pool: bool, actor: Actor) -> Accepted:
        if pool:
            pools = list(self._configuration.pools) if name == "all" else [name]
            for one in pools:
                self._known(one, self._configuration.pools, "pool")
            # A gateway has nothing to gain from a restart of its pool, and all who talk to it would notice.
            workers = [
                w.name
                for w in self._ordered()
                if w.record.pool in pools and not w.removing and not (w.spec.is_gateway and verb is Verb.RESTART)
            ]
        else:
            self._known(name, self._supervisor.workers, "worker")
            pools, workers = [], [name]
            if self._supervisor.workers[name].removing and verb is not Verb.STOP:
                raise QvlError(
                    ErrorCode.CONFLICT,
                    f"worker {name} is configured no more: it stops, and is forgotten then",
                    "put its pool back into the configuration",
                )
        if verb is not Verb.STOP:
            self._refuse_while_closing()
        turns = self._turns(pools) if verb is Verb.RESTART else {}
        seq = self._journal.seq
        self._audit(
            actor, f"{verb} {name}", pool=name if pool and name != "all" else None, worker=None if pool else name
        )
        if pool:
            will = Wanted.DOWN if verb is Verb.STOP else Wanted.UP
            self._supervisor.pool_wanted.update(dict.fromkeys(pools, will))
            self._supervisor.store.save_pools(self._supervisor.pool_wanted)
        in_turn = {worker.name for serving in turns.values() for worker in serving}
        for worker in workers:
            if verb is not Verb.STOP:
                self._gpus.clear(self._supervisor.workers[worker].spec.launch.gpus)
            if worker not in in_turn:
                self._supervisor.feed(worker, _INPUTS[verb])
        for one, serving in turns.items():
            self._spawn(self._changes.restart(one, serving))
        return Accepted(seq, f"{verb} of {', '.join(workers) or 'no worker'}", tuple(workers))

    def _turns(self, pools: Iterable[str]) -> dict[str, list[Worker]]:
        """By pool with a gateway: those who serve, which are restarted one after the other so that nobody notices."""
        serving: dict[str, list[Worker]] = {}
        for worker in self._ordered():
            pool = worker.record.pool
            if pool in pools and worker.spec.policy.routed and worker.record.ready and not worker.removing:
                serving.setdefault(pool, []).append(worker)
        for pool in serving:
            self._changes.refuse_if_busy(pool)
        return serving

    async def switch(self, pool: str, profile: str | None, *, dry_run: bool, actor: Actor) -> Accepted | Plan:
        self._known(pool, self._configuration.pools, "pool")
        if profile is not None and self._configuration.applied is not None:
            self._known(profile, self._configuration.applied.profiles, "profile")
        if dry_run:
            return await self._switching.plan(pool, profile)
        self._refuse_while_closing()
        seq = self._journal.seq
        made, switch = self._switching.begin(pool, profile)
        self._audit(actor, f"switch to {profile or 'the profile of the file'}", pool=pool)
        self._spawn(switch)
        return Accepted(seq, f"switch of {pool}: {summary(made)}", tuple(step.worker for step in made.steps))

    async def cancel_switch(self, pool: str, *, actor: Actor) -> Accepted:
        self._known(pool, self._configuration.pools, "pool")
        seq = self._journal.seq
        self._changes.cancel(pool)
        self._audit(actor, "cancel the switch", pool=pool)
        return Accepted(seq, f"the change of {pool} goes back")

    async def plan(self, path: Path | None) -> Plan:
        return await self._configuration.plan(path)

    async def apply(self, plan_id: str, *, actor: Actor) -> Accepted:
        seq = self._journal.seq
        workers = await self._configuration.apply(plan_id)
        self._audit(actor, f"apply plan {plan_id}")
        return Accepted(seq, f"plan {plan_id} is being applied", workers)

    async def restart_daemon(self, *, actor: Actor) -> Accepted:
        self._audit(actor, "restart the daemon")
        self._restart()
        return Accepted(self._journal.seq, "the daemon restarts, workers go on serving")

    # ---- what watchers are told beside workers

    def tell(self) -> None:
        """Tell pools and the daemon's own state, if they differ from what was told last."""
        now = (self._pools(), self._daemon())
        if now != self._told:
            self._told = now
            self._journal.change(Change(at=when(time.time()), pools=now[0], supervisor=now[1]))

    def headline(self) -> str:
        """One line for systemd: counts and profiles."""
        workers = [worker for worker in self._supervisor.workers.values() if not worker.spec.is_gateway]
        ready = sum(worker.record.ready for worker in workers)
        failed = sum(worker.record.phase == "failed" for worker in workers)
        runs = ", ".join(f"{name} runs {pool.profile}" for name, pool in self._configuration.pools.items())
        return f"{ready}/{len(workers)} ready{f', {failed} failed' if failed else ''}{f'; {runs}' if runs else ''}"

    # ---- parts

    def _daemon(self) -> SupervisorStatus:
        lost = sum(worker.lost_bytes for worker in self._supervisor.workers.values())
        return report.supervisor_status(self._configuration.status(), lost)

    def _pools(self) -> tuple[PoolStatus, ...]:
        workers = self._ordered()
        fronts = {w.record.pool: gateway_status(w, self._gateways) for w in workers if w.spec.is_gateway}
        return tuple(
            report.pool_status(
                pool,
                workers,
                self._configuration.override(pool.name),
                self._changes.status(pool.name),
                fronts.get(pool.name),
            )
            for pool in self._configuration.pools.values()
        )

    def _ordered(self) -> list[Worker]:
        """Workers as the file orders their pools, then by index."""
        order = {name: index for index, name in enumerate(self._configuration.pools)}
        return sorted(
            self._supervisor.workers.values(),
            key=lambda w: (order.get(w.record.pool, len(order)), w.spec.index, w.name),
        )

    def _launches(self) -> Iterable[Launch]:
        """What runs, and what is to."""
        for worker in self._supervisor.workers.values():
            yield worker.spec.launch
            if worker.record.launched is not None:
                yield worker.record.launched

    def _refuse_while_closing(self) -> None:
        if self.closing:
            raise QvlError(ErrorCode.CONFLICT, "the daemon is stopping", "ask its successor, once it is there")

    def _audit(self, actor: Actor, what: str, *, pool: str | None = None, worker: str | None = None) -> None:
        who = f"{actor.user or 'somebody'} (uid {actor.uid}, pid {actor.pid}, {actor.command or 'unknown'})"
        self._journal.publish(
            "act",
            f"{who} asked: {what}",
            pool=pool,
            worker=worker,
            data={"uid": actor.uid, "gid": actor.gid, "pid": actor.pid, "command": actor.command, "user": actor.user},
        )

    @staticmethod
    def _known(name: str, known: Mapping[str, object] | Iterable[str], what: str) -> None:
        names = list(known)
        if name in names:
            return
        near = difflib.get_close_matches(name, names, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"{what}s: {', '.join(names) or 'none'}"
        raise QvlError(ErrorCode.NOT_FOUND, f'there is no {what} "{name}"', hint)

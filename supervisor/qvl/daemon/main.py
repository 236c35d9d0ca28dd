"""qvl-supervisor: the only place that constructs things, and the order in which they start and stop.

Up: lock, configuration, cards, adoption of what lives, sockets, READY=1, then what the file says beyond the last
applied configuration. Down: what `on_stop` says, or nothing but ourselves where systemd restarts us.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path

from qvl.api.server import ApiServer
from qvl.api.socket import Group, Listener, listen
from qvl.config.paths import Paths
from qvl.config.settings import Supervisor as Settings
from qvl.config.state import ConfigState
from qvl.core.inputs import DeadlinePassed, HoldAsked
from qvl.daemon.adoption import adopt_all, survey
from qvl.daemon.attendant import WorkerAttendant
from qvl.daemon.background import look_for_cards, look_for_missing, remember, sample
from qvl.daemon.carrying import Carrying
from qvl.daemon.changes import Changes
from qvl.daemon.configuration import Configuration, NoConfiguration
from qvl.daemon.control import DaemonControl
from qvl.daemon.engine_client import EngineClient
from qvl.daemon.gateways import Gateways
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.groups import Groups, delegated_root
from qvl.daemon.history import HistoryRing
from qvl.daemon.history_file import HistoryFile
from qvl.daemon.journal import Journal
from qvl.daemon.launcher import Launcher
from qvl.daemon.live import LiveChanges
from qvl.daemon.logs import say, set_up_logging
from qvl.daemon.notify import Notifier
from qvl.daemon.options import locate, parse
from qvl.daemon.planner import Planner
from qvl.daemon.resolved import Resolver
from qvl.daemon.smoke import smoke
from qvl.daemon.store import Store
from qvl.daemon.succession import hold_signals, replace_ourselves, take_signals
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.switching import Switching
from qvl.daemon.systemd_job import stop_is_restart
from qvl.daemon.watch import Signature, edits, signature
from qvl.daemon.worker import Worker
from qvl.engines.catalog import drivers
from qvl.gpus.base import GpuSource
from qvl.gpus.none import NoGpus
from qvl.gpus.simulated import SimulatedGpus
from qvl.model.error import QvlError
from qvl.model.worker import Phase
from qvl.shim import proc

log = logging.getLogger(__name__)

EX_CONFIG = 78
"""sysexits.h: the configuration is at fault. The unit doesn't restart on it."""

STUBBORN = 60.0
"""Seconds beyond drain and term after which a process counts as one that even SIGKILL doesn't end."""

PATIENCE = 30.0
"""Seconds that systemd waits for the next sign of life while workers end."""

SIMULATED = "simulated-gpus"
SECRETS = "secrets"
"""Beside the sockets: /run is in memory."""

_USER_SETTINGS = ("operator_group", "viewer_group")


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    set_up_logging()
    faulthandler.enable()  # a watchdog's SIGABRT leaves a stack
    try:
        paths, settings = locate(options)
        daemon = Daemon(paths, settings)
        again = asyncio.run(daemon.run())
    except QvlError as error:
        say(error)
        sys.exit(EX_CONFIG if isinstance(error, NoConfiguration) else 1)
    if again:
        replace_ourselves(told_to_stop=daemon.told_to_stop)


class Daemon:
    """One run from start to stop."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._settings = settings
        self._notifier = Notifier()
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._again = False
        self._ending = False
        self.told_to_stop = False

    async def run(self) -> bool:
        """True where the code is to be replaced and run anew."""
        store = Store(self._paths.state_dir, proc.boot_id())
        store.open()
        try:
            with contextlib.ExitStack() as sockets:
                async with asyncio.TaskGroup() as group:
                    await self._run(store, group, sockets)
        except* QvlError as errors:
            raise errors.exceptions[0] from None
        finally:
            store.close()
        return self._again

    async def _run(self, store: Store, group: asyncio.TaskGroup, sockets: contextlib.ExitStack) -> None:
        self._catch_signals()
        journal = Journal(store.directory / "events.jsonl")
        journal.open()
        simulated = self._paths.state_dir / SIMULATED
        source = _source(self._settings.gpus, simulated)
        gpus = GpuMonitor(source, store.load_cards(), store=store, journal=journal)
        await gpus.open()
        store.save_cards(gpus.inventory)
        cache, home = self._paths.state_dir / "cache", self._paths.state_dir / "gateway"
        carrying = Carrying(gpus, journal, {"logs": self._paths.log_dir, "state": self._paths.state_dir})
        launcher = Launcher(
            drivers(cache, home),
            gpus,
            self._paths.log_dir,
            self._paths.socket.parent / SECRETS,
            simulated if _is_simulated(self._settings.gpus) else None,
            Groups(await asyncio.to_thread(delegated_root)),
            carrying,
        )
        client = EngineClient()
        supervisor = Supervisor(store, journal)
        supervisor.pool_wanted = store.load_pools()
        gpus.roots = lambda: {
            pid: worker.name
            for worker in supervisor.workers.values()
            if (process := worker.record.process) is not None
            for pid in (process.shim_pid, process.pid)
        }
        attendant: WorkerAttendant

        async def smoke_test(worker: Worker) -> str | None:
            surface, key = attendant.surface(worker)
            return await smoke(client, worker, surface, key)

        gateways = Gateways(supervisor, journal, client.http, home, smoke_test)
        attendant = WorkerAttendant(supervisor, launcher, client, gpus, gateways, group)
        supervisor.attendant = attendant
        control: DaemonControl

        def tell() -> None:
            control.tell()

        switches: set[asyncio.Task[None]] = set()

        def spawn(work: Awaitable[None]) -> None:
            async def go() -> None:
                await work

            task = group.create_task(go())
            switches.add(task)
            task.add_done_callback(switches.discard)

        live = LiveChanges(supervisor, client, group, surface=attendant.surface, look_anew=attendant.look_for_drift)
        supervisor.can_settle = live.can_settle
        changes = Changes(supervisor, gateways, live, journal, tell, spawn, launcher.check)
        configuration = Configuration(
            self._paths.config,
            ConfigState(self._paths.state_dir),
            supervisor,
            journal,
            planner=Planner(supervisor, live, lambda: gpus.inventory, lambda: attendant.starts.remembered),
            changes=changes,
            tell=tell,
            cache=cache,
            warned=carrying.warned,
        )
        history, past = HistoryRing(), HistoryFile(self._paths.state_dir / "history")

        switching = Switching(configuration, changes, journal)
        control = DaemonControl(
            supervisor,
            configuration,
            switching,
            changes,
            journal,
            launcher,
            gpus,
            history,
            Resolver(client, attendant.surface, cache),
            gateways,
            spawn,
            self._restart,
        )
        configuration.open()
        operators, viewers = self._listen(sockets)
        server = ApiServer(control, operators, viewers)
        supervisor.on_change = tell
        supervisor.on_tick += [
            self._notifier.watchdog,
            lambda: self._tell_systemd(supervisor, control),
            attendant.lifeline.reap,
            configuration.retry,
            live.tick,
        ]
        loop_task = group.create_task(supervisor.run())
        shims = await survey(store)
        await supervisor.ask(lambda: adopt_all(supervisor, store.load_records(), shims, configuration.first_fleet()))
        answering = asyncio.Event()
        server_task = group.create_task(server.serve(answering.set))
        await answering.wait()
        journal.publish("daemon", f"qvl-supervisor started with pid {os.getpid()}")
        switching.tell_cut_off()
        self._notifier.ready(control.headline())
        background = [
            group.create_task(configuration.applier()),
            group.create_task(self._reloads(configuration, control)),
            group.create_task(past.keep(history)),
            group.create_task(remember(history, supervisor, gpus)),
            group.create_task(sample(gpus, journal)),
            group.create_task(look_for_cards(gpus, store, configuration)),
            group.create_task(look_for_missing(supervisor)),
        ]
        await self._stop.wait()
        control.closing = True
        await self._wind_down(supervisor, journal, configuration, [*background, *switches])
        await past.close(history)
        journal.close()
        await server.close()
        await server_task
        supervisor.close()
        await loop_task
        await client.close()
        gpus.close()

    # ---- what stops and reloads

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self._asked_to_stop)
        self._hangups: asyncio.Queue[None] = asyncio.Queue()
        loop.add_signal_handler(signal.SIGHUP, self._hangups.put_nowait, None)
        take_signals()

    def _asked_to_stop(self) -> None:
        if self.told_to_stop:
            self._force.set()
        self.told_to_stop = True
        self._stop.set()

    def _restart(self) -> None:
        self._again = True
        # The answer to whoever asked leaves first.
        asyncio.get_running_loop().call_later(0.1, self._stop.set)

    async def _reloads(self, configuration: Configuration, control: DaemonControl) -> None:
        """The file is read at the start, at each edit and at each SIGHUP."""
        seen = signature(self._paths.config)
        await configuration.reload()
        configuration.settle()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._on_edits(configuration, seen))
            while True:
                await self._hangups.get()
                self._notifier.reloading()
                try:
                    await configuration.reload()
                finally:
                    self._notifier.ready(control.headline())

    async def _on_edits(self, configuration: Configuration, seen: Signature) -> None:
        async for _ in edits(self._paths.config, seen):
            await configuration.reload()

    async def _wind_down(
        self,
        supervisor: Supervisor,
        journal: Journal,
        configuration: Configuration,
        background: list[asyncio.Task[None]],
    ) -> None:
        for task in background:
            task.cancel()
        settings = configuration.applied.supervisor if configuration.applied is not None else self._settings
        self._again = self._again and not self.told_to_stop
        if self._again:
            hold_signals()
        leaving = self._again or settings.on_stop == "leave" or await asyncio.to_thread(lambda: bool(stop_is_restart()))
        if leaving:
            journal.publish("daemon", "qvl-supervisor goes, workers go on serving")
            if not self._again:
                self._notifier.stopping("going, workers go on serving")
            return
        journal.publish("daemon", "qvl-supervisor stops, and its workers with it")
        self._notifier.stopping("stopping the workers")
        self._ending = True
        self._notifier.extend_timeout(PATIENCE)
        for name in list(supervisor.workers):
            supervisor.post(name, HoldAsked())
        stops = [worker.spec.policy.stop for worker in supervisor.workers.values()]
        limit = max((stop.drain + stop.term for stop in stops), default=0.0) + STUBBORN
        async with asyncio.TaskGroup() as group:
            force = group.create_task(self._hurry(supervisor))
            try:
                async with asyncio.timeout(limit):
                    for name in list(supervisor.workers):
                        await supervisor.until(name, _is_down)
            except TimeoutError:
                left = [name for name, worker in supervisor.workers.items() if not _is_down(worker)]
                log.error("left behind, since not even SIGKILL ends them: %s", ", ".join(left))
            force.cancel()

    async def _hurry(self, supervisor: Supervisor) -> None:
        """Each further signal ends patience: of those that drain, then of those that were asked politely."""
        while True:
            await self._force.wait()
            self._force.clear()
            for worker in supervisor.workers.values():
                if worker.record.deadline is not None:
                    supervisor.post(worker.name, DeadlinePassed(worker.record.deadline.kind))

    def _tell_systemd(self, supervisor: Supervisor, control: DaemonControl) -> None:
        """How it is; and for as long as workers take to end, that this is no hang."""
        if not self._ending:
            self._notifier.status(control.headline())
            return
        left = sum(worker.record.phase.has_process for worker in supervisor.workers.values())
        self._notifier.status(f"stopping, {left} of {len(supervisor.workers)} workers left")
        self._notifier.extend_timeout(PATIENCE)

    def _listen(self, sockets: contextlib.ExitStack) -> tuple[Listener, Listener]:
        listeners = []
        default = Settings()
        for path, name in zip((self._paths.socket, self._paths.view_socket), _USER_SETTINGS, strict=True):
            group = str(getattr(self._settings, name))
            listener = listen(path, Group(group, configured=group != getattr(default, name)))
            sockets.callback(listener.close)
            for note in listener.notes:
                log.warning("%s", note)
            listeners.append(listener)
        return listeners[0], listeners[1]


def _is_down(worker: Worker | None) -> bool:
    return worker is None or worker.record.phase in (Phase.STOPPED, Phase.FAILED)


def _is_simulated(gpus: str) -> bool:
    return gpus.startswith("simulated:")


def _source(gpus: str, simulated: Path) -> GpuSource:
    if _is_simulated(gpus):
        simulated.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SimulatedGpus(int(gpus.partition(":")[2]), simulated)
    if gpus == "nvml":
        from qvl.gpus.nvml import NvmlGpus  # a host without cards need not read all of NVML's names

        return NvmlGpus()
    return NoGpus()

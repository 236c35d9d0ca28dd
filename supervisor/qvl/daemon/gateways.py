"""Who is behind the gateway of a pool: a worker comes after its smoke test, and leaves before it drains.

The gateway itself is watched like any worker. While it runs, its list is made to follow the pool: at each change of a
worker, and each second, since it may have been restarted or told otherwise.
"""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from qvl.daemon.journal import Journal
from qvl.daemon.launcher import read_secrets
from qvl.daemon.router_client import Figures, Routed, RouterClient, RouterRefused, answers
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.transaction import Smoke
from qvl.daemon.worker import Worker
from qvl.engines.router import control_key
from qvl.model.event import Severity
from qvl.model.spec import url
from qvl.model.status import ExternalStatus
from qvl.model.worker import Phase

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between looks at what the gateway says of itself."""

SOON, SOON_FOR = 0.05, 2.0
"""Seconds between looks, and for how long, after it was told of a server that it has not listed yet."""

QUICK = 0.02
"""Seconds between looks while somebody waits for a worker to be listed, or not to be any more."""

ADMISSION = 60.0
"""Seconds that a worker has to be listed."""

FAREWELL = 5.0
"""Seconds after which a worker drains, though the gateway has not let go of it."""

ON_THE_WAY = 0.3
"""Seconds after which a request that the gateway had handed on has reached its worker."""

ASK_AGAIN = 10.0
"""Seconds after which a server that is still not listed is named once more: the router tries by itself meanwhile."""

LIST, FIGURES = "list", "figures"
"""What a gateway is asked for."""

SMOKE_PAUSE = 5.0
"""Seconds until a worker that did not pass is tested again."""


class Routes:
    """What is behind one gateway while it runs."""

    def __init__(self, client: RouterClient) -> None:
        self.client = client
        self.listed: dict[str, Routed] = {}
        self.figures = Figures()
        self.errors: dict[str, str] = {}
        """What it didn't answer at the last attempt, by what was asked."""
        self.asked: dict[str, float] = {}
        """When the router was told of a server that it has not listed yet."""
        self.reached: set[str] = set()
        """Servers elsewhere that are not listed, and answered when they were looked at last."""
        self.adopted = False
        """Whether it was seen whom an earlier daemon had it list."""
        self.lock = asyncio.Lock()
        """Held from reading the list to changing it."""
        self.nudged = asyncio.Event()

    @property
    def error(self) -> str | None:
        return self.errors.get(LIST) or self.errors.get(FIGURES)

    def pause(self, now: float) -> float:
        """Seconds until the next look."""
        return SOON if any(now - at < SOON_FOR for at in self.asked.values()) else PERIOD


class Gateways:
    """`home`: where the control key lies; `smoke`: the test that a worker passes before it is behind a gateway."""

    def __init__(
        self, supervisor: Supervisor, journal: Journal, http: httpx.AsyncClient, home: Path, smoke: Smoke
    ) -> None:
        self._supervisor = supervisor
        self._journal = journal
        self._http = http
        self._home = home
        self._smoke = smoke
        self._routes: dict[str, Routes] = {}
        self._accepted: dict[str, tuple[int, int]] = {}
        """Which run of each worker has passed its smoke test last."""
        self._tests: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.broken: defaultdict[str, int] = defaultdict(int)
        """By pool: requests that may have broken off with their worker, since the daemon's start."""

    # ---- for status

    def routes(self, pool: str) -> Routes | None:
        """None while the gateway doesn't run."""
        return self._routes.get(pool) if self._runs(pool) else None

    def routed(self, pool: str) -> tuple[str, ...]:
        """The workers that the gateway sends requests to."""
        if (routes := self.routes(pool)) is None:
            return ()
        return tuple(w.name for w in self._members(pool) if (r := routes.listed.get(_address(w))) and r.is_healthy)

    def external(self, gateway: Worker) -> tuple[ExternalStatus, ...]:
        routes = self.routes(gateway.record.pool)
        listed = routes.listed if routes is not None else {}
        return tuple(
            ExternalStatus(address, (known := listed.get(address)) is not None and known.is_healthy)
            for address in gateway.spec.external
        )

    # ---- for those who start and stop workers

    def nudge(self, pool: str) -> None:
        """A worker of this pool has changed."""
        if (routes := self._routes.get(pool)) is not None:
            routes.nudged.set()

    async def accept(self, worker: Worker, *, anew: bool = False) -> str | None:
        """Test a worker that says it is ready, once for each of its runs, or `anew`, since it was changed while it ran;
        what is wrong with it, None: nothing."""
        run = _run(worker)
        async with self._tests[worker.name]:
            if self._accepted.get(worker.name) == run and not anew:
                return None
            if (wrong := await self._smoke(worker)) is None:
                self._accepted[worker.name] = run
            return wrong

    async def admit(self, worker: Worker) -> str | None:
        """Have a ready worker get requests. What is wrong with it; None once it does, or where no gateway runs."""
        pool = worker.record.pool
        if not worker.spec.policy.routed or not self._runs(pool):
            return None
        if (wrong := await self.accept(worker)) is not None:
            return wrong
        self.nudge(pool)

        def done() -> bool:
            routes = self.routes(pool)
            known = routes.listed.get(_address(worker)) if routes is not None else None
            return not self._runs(pool) or not worker.record.ready or (known is not None and known.is_healthy)

        return None if await self._until(pool, done, ADMISSION) else f"the gateway does not take it in {ADMISSION:g} s"

    async def dismiss(self, worker: Worker) -> None:
        """Have the gateway send nothing more to a worker that is about to drain, and what it sent arrive there."""
        pool = worker.record.pool
        if not worker.spec.policy.routed or not self._runs(pool):
            return
        self.nudge(pool)

        def gone() -> bool:
            if (routes := self.routes(pool)) is None:
                return not self._runs(pool)  # a daemon that has just come has not looked at it yet
            return routes.adopted and _address(worker) not in routes.listed

        if not await self._until(pool, gone, FAREWELL):
            self._publish(worker, f"the gateway still sends it requests {FAREWELL:g} s after it was to stop")
        await asyncio.sleep(ON_THE_WAY)

    async def _until(self, pool: str, condition: Callable[[], bool], limit: float) -> bool:
        """Look at the list until `condition`; False where that takes longer than `limit` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while True:
                    if (routes := self.routes(pool)) is not None:
                        await self._try(pool, routes, LIST, self._follow(pool, routes))
                    if condition():
                        return True
                    await asyncio.sleep(QUICK)
        return False

    # ---- while a gateway runs

    async def keep(self, gateway: Worker) -> None:
        """Have its list follow the pool for as long as it runs."""
        pool, process = gateway.record.pool, gateway.record.process
        assert process is not None
        launch = gateway.record.launched or gateway.spec.launch
        routes = Routes(
            RouterClient(self._http, launch.host, launch.port, process.nccl_port, lambda: control_key(self._home))
        )
        self._routes[pool] = routes
        try:
            async with asyncio.TaskGroup() as tests:
                testing: dict[str, asyncio.Task[None]] = {}
                while True:
                    if routes.adopted:
                        for worker in self._untested(pool):
                            if worker.name not in testing or testing[worker.name].done():
                                testing[worker.name] = tests.create_task(self._test(worker))
                    for address in gateway.spec.external:
                        known = address in routes.listed or address in routes.reached
                        if not known and (address not in testing or testing[address].done()):
                            testing[address] = tests.create_task(self._look_at(routes, address))
                    await self._try(pool, routes, LIST, self._follow(pool, routes))
                    await self._try(pool, routes, FIGURES, self._count(routes))
                    self._supervisor.on_change()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(routes.pause(time.monotonic())):
                            await routes.nudged.wait()
                    routes.nudged.clear()
        finally:
            del self._routes[pool]
            self._supervisor.on_change()

    def _untested(self, pool: str) -> list[Worker]:
        members = self._members(pool)
        return [w for w in members if w.record.ready and self._accepted.get(w.name) != _run(w)]

    async def _test(self, worker: Worker) -> None:
        if (wrong := await self.accept(worker)) is None:
            self.nudge(worker.record.pool)
        elif worker.record.ready:
            self._publish(worker, f"it gets no requests, since it did not pass its smoke test: {wrong}")
            await asyncio.sleep(SMOKE_PAUSE)

    async def _look_at(self, routes: Routes, address: str) -> None:
        """See whether a server elsewhere answers. The router is told of none that doesn't: it would try for minutes,
        ten at a time, and whoever is to come or to leave meanwhile would wait for that."""
        if await answers(self._http, address):
            routes.reached.add(address)
            routes.nudged.set()
        else:
            await asyncio.sleep(PERIOD)

    def _adopt(self, pool: str, routes: Routes) -> None:
        """Who is listed by a gateway that an earlier daemon started has passed its test."""
        for worker in self._members(pool):
            if _address(worker) in routes.listed and worker.record.ready:
                self._accepted[worker.name] = _run(worker)
        routes.adopted = True
        routes.nudged.set()

    async def _follow(self, pool: str, routes: Routes) -> None:
        """Make the list what it should be, as far as one look goes."""
        async with routes.lock:
            routes.listed = await routes.client.workers()
            if not routes.adopted:
                self._adopt(pool, routes)
            gateway = self._gateway(pool)
            fit = {_address(w): w for w in self._members(pool) if self._is_fit(w)}
            wanted = {*fit, *(gateway.spec.external if gateway is not None else ())}
            for address in routes.listed.keys() - wanted:
                await self._note_loss(pool, routes, address)
                await routes.client.remove(routes.listed[address])
            now = time.monotonic()
            missing = wanted - routes.listed.keys()
            routes.asked = {address: at for address, at in routes.asked.items() if address in missing}
            for address in missing:
                known = address in fit or address in routes.reached
                if known and now - routes.asked.get(address, -ASK_AGAIN) >= ASK_AGAIN:
                    holder = fit.get(address, gateway)
                    await routes.client.add(address, _key(holder) if holder is not None else None)
                    routes.asked[address] = now
                    routes.reached.discard(address)

    def _is_fit(self, worker: Worker) -> bool:
        record = worker.record
        return record.phase is Phase.RUNNING and record.ready and self._accepted.get(worker.name) == _run(worker)

    async def _note_loss(self, pool: str, routes: Routes, address: str) -> None:
        """A worker that ends unasked takes along what it had in flight."""
        worker = next((w for w in self._members(pool) if _address(w) == address), None)
        if worker is None or worker.record.asked or worker.record.phase in (Phase.RUNNING, Phase.DRAINING):
            return
        before = routes.figures.active
        own = (worker.metrics.running or 0) + (worker.metrics.queued or 0)
        await self._try(pool, routes, FIGURES, self._count(routes))
        if lost := max(before.get(address, 0 if before else own), routes.figures.active.get(address, 0)):
            self.broken[pool] += lost
            self._publish(worker, f"it ended with {lost} in flight: streams broke off, the rest is tried elsewhere")

    async def _count(self, routes: Routes) -> None:
        routes.figures = await routes.client.figures() or routes.figures

    async def _try(self, pool: str, routes: Routes, what: str, work: Awaitable[None]) -> None:
        """What the gateway doesn't answer now is asked again soon; that it doesn't is told once."""
        error = None
        try:
            await work
        except (httpx.HTTPError, RouterRefused, ValueError, OSError) as failure:
            error = str(failure) or type(failure).__name__
        if error is None:
            routes.errors.pop(what, None)
        elif routes.errors.get(what) != error:
            log.warning("the gateway of pool %s: %s", pool, error)
            routes.errors[what] = error

    def _members(self, pool: str) -> list[Worker]:
        return [w for w in self._supervisor.workers.values() if w.record.pool == pool and w.spec.policy.routed]

    def _runs(self, pool: str) -> bool:
        gateway = self._gateway(pool)
        return gateway is not None and gateway.record.phase is Phase.RUNNING

    def _gateway(self, pool: str) -> Worker | None:
        workers = self._supervisor.workers.values()
        return next((w for w in workers if w.spec.is_gateway and w.record.pool == pool), None)

    def _publish(self, worker: Worker, sentence: str) -> None:
        self._journal.publish(
            "gateway", sentence, severity=Severity.WARNING, worker=worker.name, pool=worker.record.pool
        )


def _address(worker: Worker) -> str:
    """Where its present process listens."""
    launch = worker.record.launched or worker.spec.launch
    return url(launch.host, launch.port)


def _run(worker: Worker) -> tuple[int, int]:
    """Tells its present process from all others: one that was forgotten and comes back counts its runs from 1 again."""
    process = worker.record.process
    return worker.record.generation, process.pid_start if process is not None else 0


def _key(worker: Worker) -> str | None:
    return read_secrets(worker.record.launched or worker.spec.launch)[0]

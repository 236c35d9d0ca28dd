"""Asks a worker's server: is it ready, is it well, what are its figures. Decides nothing: rounds go to the core."""

import asyncio
import logging
import time
from collections.abc import Callable

import httpx

from qvl.core.probing import Health, Observation, judge, wants_deep
from qvl.daemon.tailer import Pulse
from qvl.daemon.worker import Worker
from qvl.engines.base import Surface
from qvl.engines.metrics import EngineSample, figures, parse, progressed
from qvl.host.ports import listening_inodes, owns
from qvl.model.spec import HealthPolicy, url
from qvl.model.worker import Verdict
from qvl.shim import proc

log = logging.getLogger(__name__)

STARTING_PERIOD = 0.25
"""Seconds between looks at a starting worker's port."""

SCRAPE_TIMEOUT = 5.0
WINDOW = 60.0
"""Seconds of scrapes that are kept for latencies."""

STARTED_AFTER = 1.0
"""Seconds that a process with `ready = "started"` has to live."""


class Prober:
    """One client for all workers; one task per worker, so that no request waits for another's."""

    def __init__(self) -> None:
        # Servers close a connection that was silent for 5 s; a request must not meet that.
        limits = httpx.Limits(max_keepalive_connections=64, keepalive_expiry=3.0)
        self._http = httpx.AsyncClient(trust_env=False, limits=limits)

    async def close(self) -> None:
        await self._http.aclose()

    async def until_ready(
        self, worker: Worker, surface: Surface, key: str | None, said_ready: Callable[[], bool]
    ) -> None:
        """Return once a starting worker would answer a request. `said_ready`: its log says so, which saves a
        generation. Where the surface is `owned`, an answer counts only from a socket of this worker's tree."""
        process = worker.record.process
        assert process is not None
        if not surface.ready:
            await asyncio.sleep(max(0.0, process.started_mono + STARTED_AFTER - time.monotonic()))
            return
        while True:
            if await self._is_ready(worker, surface, key, said_ready()):
                return
            await asyncio.sleep(STARTING_PERIOD)

    async def _is_ready(self, worker: Worker, surface: Surface, key: str | None, said: bool) -> bool:
        process = worker.record.process
        if process is None:
            return False
        if surface.owned and not await asyncio.to_thread(self._owns_port, process.pid, worker.spec.launch.port):
            return False
        if said and surface.alive:
            return (await self.get(worker, surface.alive, key, SCRAPE_TIMEOUT))[0]
        return (await self.get(worker, surface.ready, key, worker.spec.policy.health.timeout))[0]

    @staticmethod
    def _owns_port(root: int, port: int) -> bool:
        inodes = listening_inodes(port)
        return bool(inodes) and any(owns(pid, inodes) for pid in (root, *(p.pid for p in proc.descendants(root))))

    async def watch(
        self,
        worker: Worker,
        surface: Surface,
        key: str | None,
        pulse: Pulse,
        *,
        told: Callable[[bool, str | None, Verdict | None], None],
        measured: Callable[[], None],
    ) -> None:
        """Check a running worker for as long as it runs. `told` gets each round's outcome, `measured` follows a
        scrape."""
        now = time.monotonic()
        health = Health(moved_at=now, deep_at=now, ready=worker.record.ready)
        while True:
            policy = worker.spec.policy.health
            old = worker.window[-1] if worker.window else None
            sample = await self.scrape(worker, surface, key)
            if sample is not None:
                measured()
            seen = await self._round(
                worker, surface, key, policy, health, sample, moved=_moved(old, sample) or pulse.beat()
            )
            outcome = judge(health, policy, seen, time.monotonic())
            health = outcome.health
            told(outcome.ready, outcome.why, outcome.verdict)
            await asyncio.sleep(policy.interval)

    async def _round(
        self,
        worker: Worker,
        surface: Surface,
        key: str | None,
        policy: HealthPolicy,
        health: Health,
        sample: EngineSample | None,
        *,
        moved: bool,
    ) -> Observation:
        # A server that is too busy to tell its figures is as busy as it was when it told them last.
        last = sample or (worker.window[-1] if worker.window else None)
        busy = last is not None and last.busy
        answered, detail = sample is not None, "no answer from /metrics"
        if sample is None:
            # A server of which we know no figures may be busy for as long as its owner says.
            patience = min(SCRAPE_TIMEOUT, policy.timeout) if surface.metrics else policy.timeout
            answered, detail = await self.get(worker, surface.alive, key, patience) if surface.alive else (True, "")
        deep: bool | None = None
        if not moved and surface.deep and wants_deep(health, policy, busy=busy, now=time.monotonic()):
            deep, detail = await self.get(worker, surface.deep, key, policy.timeout)
        return Observation(answered=answered, progress=moved, busy=busy, deep=deep, detail=detail)

    async def scrape(self, worker: Worker, surface: Surface, key: str | None) -> EngineSample | None:
        """Read the figures into the worker's window; None where there are none to be had."""
        if not surface.metrics:
            return None
        try:
            async with asyncio.timeout(min(SCRAPE_TIMEOUT, worker.spec.policy.health.timeout)):
                answer = await self._http.get(_url(worker, surface.metrics), headers=_headers(key))
            sample = parse(answer.text, time.monotonic()) if answer.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError):
            return None
        if sample is None:
            return None
        worker.window = [s for s in worker.window if sample.at - s.at < WINDOW] + [sample]
        worker.metrics = figures(worker.window)
        return sample

    async def get(self, worker: Worker, path: str, key: str | None, timeout: float) -> tuple[bool, str]:
        """Whether `path` answers 200 within `timeout` seconds, and else what it did instead."""
        try:
            async with asyncio.timeout(timeout):
                answer = await self._http.get(_url(worker, path), headers=_headers(key), timeout=timeout)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return False, f"{path}: {type(error).__name__}" + (f" ({error})" if str(error) else "")
        return answer.status_code == 200, f"{path} answered {answer.status_code}"

    async def fetch(self, worker: Worker, path: str, key: str | None) -> dict[str, object]:
        """A JSON object, empty where `path` is unknown; httpx.HTTPError, TimeoutError or ValueError if none comes."""
        async with asyncio.timeout(SCRAPE_TIMEOUT):
            answer = await self._http.get(_url(worker, path), headers=_headers(key), timeout=SCRAPE_TIMEOUT)
        if answer.status_code == 404:
            return {}
        answer.raise_for_status()
        document = answer.json()
        return document if isinstance(document, dict) else {}

    async def post(self, worker: Worker, path: str, key: str | None, body: object, timeout: float) -> httpx.Response:
        """httpx.HTTPError or TimeoutError where there is no answer."""
        async with asyncio.timeout(timeout):
            return await self._http.post(_url(worker, path), headers=_headers(key), json=body, timeout=timeout)


def _moved(old: EngineSample | None, new: EngineSample | None) -> bool:
    return old is not None and new is not None and progressed(old, new)


def _url(worker: Worker, path: str) -> str:
    return url(worker.spec.launch.host, worker.spec.launch.port) + path


def _headers(key: str | None) -> dict[bytes, bytes]:
    return {b"Authorization": b"Bearer " + key.encode()} if key else {}

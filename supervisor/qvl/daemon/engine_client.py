"""Asks a worker's server over HTTP. What the answers mean is for others to say."""

import asyncio
import time

import httpx
import msgspec

from qvl.daemon.worker import Worker
from qvl.engines.base import Surface
from qvl.engines.metrics import EngineSample, figures, parse
from qvl.model.spec import url

QUICK = 5.0
"""Seconds for what the server process answers by itself."""

WINDOW = 60.0
"""Seconds of scrapes that are kept for latencies."""


class _Load(msgspec.Struct):
    num_running_reqs: int
    num_waiting_reqs: int


class _Loads(msgspec.Struct):
    """What SGLang's /v1/loads answers: an entry for each data-parallel rank."""

    loads: list[_Load]

    @property
    def in_flight(self) -> int:
        return sum(load.num_running_reqs + load.num_waiting_reqs for load in self.loads)


class EngineClient:
    """One pool of connections for all workers."""

    def __init__(self) -> None:
        # Servers close a connection that was silent for 5 s; a request must not meet that.
        limits = httpx.Limits(max_keepalive_connections=64, keepalive_expiry=3.0)
        self.http = httpx.AsyncClient(trust_env=False, limits=limits)

    async def close(self) -> None:
        await self.http.aclose()

    async def scrape(self, worker: Worker, surface: Surface, key: str | None) -> EngineSample | None:
        """Read the figures into the worker's window; None where there are none to be had, TimeoutError where nothing
        answers at all."""
        if not surface.metrics:
            return None
        async with asyncio.timeout(min(QUICK, worker.spec.policy.health.timeout)):
            try:
                answer = await self.http.get(_url(worker, surface.metrics), headers=_headers(key), timeout=QUICK)
                sample = parse(answer.text, time.monotonic()) if answer.status_code == 200 else None
            except httpx.TimeoutException:
                raise TimeoutError from None
            except (httpx.HTTPError, httpx.InvalidURL, ValueError):
                return None
        if sample is None:
            return None
        worker.window = [s for s in worker.window if sample.at - s.at < WINDOW] + [sample]
        worker.metrics = figures(worker.window)
        return sample

    async def in_flight(self, worker: Worker, surface: Surface, key: str | None) -> int | None:
        """Requests that run or wait right now; None where the engine has no word for it, or doesn't answer."""
        if not surface.loads:
            return None
        try:
            document = await self.fetch(worker, surface.loads, key)
            return msgspec.convert(document, _Loads).in_flight if document else None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError):
            return None

    async def get(self, worker: Worker, path: str, key: str | None, timeout: float) -> tuple[bool, str]:
        """Whether `path` answers 200 within `timeout` seconds, and else what it did instead."""
        try:
            async with asyncio.timeout(timeout):
                answer = await self.http.get(_url(worker, path), headers=_headers(key), timeout=timeout)
        except TimeoutError:
            return False, f"{path}: no answer within {timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return False, f"{path}: {type(error).__name__}" + (f" ({error})" if str(error) else "")
        return answer.status_code == 200, f"{path} answered {answer.status_code}"

    async def generate(self, worker: Worker, surface: Surface, key: str | None, timeout: float) -> tuple[bool, str]:
        """Whether the engine generates within `timeout` seconds, and else what it did instead."""
        if surface.question is None:
            return await self.get(worker, surface.deep, key, timeout)
        try:
            answer = await self.post(worker, surface.deep, key, surface.question, timeout)
        except TimeoutError:
            return False, f"{surface.deep}: no answer within {timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return False, f"{surface.deep}: {type(error).__name__}" + (f" ({error})" if str(error) else "")
        # What it refuses it has understood: a model for embeddings completes nothing.
        return answer.status_code < 500, f"{surface.deep} answered {answer.status_code}"

    async def fetch(self, worker: Worker, path: str, key: str | None, timeout: float = QUICK) -> dict[str, object]:
        """A JSON object, empty where `path` is unknown; httpx.HTTPError, TimeoutError or ValueError if none comes."""
        async with asyncio.timeout(timeout):
            answer = await self.http.get(_url(worker, path), headers=_headers(key), timeout=timeout)
        if answer.status_code == 404:
            return {}
        answer.raise_for_status()
        document = answer.json()
        return document if isinstance(document, dict) else {}

    async def post(self, worker: Worker, path: str, key: str | None, body: object, timeout: float) -> httpx.Response:
        """httpx.HTTPError or TimeoutError where there is no answer."""
        async with asyncio.timeout(timeout):
            return await self.http.post(_url(worker, path), headers=_headers(key), json=body, timeout=timeout)


def _url(worker: Worker, path: str) -> str:
    return url(worker.spec.launch.host, worker.spec.launch.port) + path


def _headers(key: str | None) -> dict[bytes, bytes]:
    return {b"Authorization": b"Bearer " + key.encode()} if key else {}

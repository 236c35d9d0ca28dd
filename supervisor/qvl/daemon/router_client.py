"""Asks a sglang-router over HTTP: who its workers are, take this one, leave that one, how much went through.

As sglang-router 0.3.2 answers: adding and removing are queued and answered with 202, a worker that can't be reached is
not listed until it can, and one that is removed goes on with what it has in flight.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from qvl.model.spec import url

TIMEOUT = 5.0
"""Seconds for one answer: the router itself is never busy for long."""

T = TypeVar("T")


class Routed(msgspec.Struct, frozen=True):
    """A worker as the router lists it."""

    id: str
    url: str
    is_healthy: bool


class _List(msgspec.Struct):
    workers: list[Routed]


class Figures(msgspec.Struct, frozen=True):
    """What went through a router since its start."""

    requests: int = 0
    failed: int = 0
    """Answered with 500 or above; a stream that breaks off isn't among them, its answer had begun."""
    retried: int = 0
    """Attempts that were made again with another worker."""
    active: dict[str, int] = {}
    """In flight now, by the URL of the worker; empty where its policy doesn't count (round_robin, random)."""


_REQUESTS = "smg_router_requests_total"
_RESPONSES = "smg_http_responses_total"
_RETRIES = "smg_worker_retries_total"
_ACTIVE = "smg_worker_requests_active"


class RouterRefused(Exception):
    """It answered with something else than what was asked for."""


class RouterClient:
    """One router. Its methods raise httpx.HTTPError where there is no answer and RouterRefused for a wrong one. `key`
    is asked for at each request: one that can't be read now may be later, and what it raises is raised."""

    def __init__(
        self, http: httpx.AsyncClient, host: str, port: int, metrics_port: int | None, key: Callable[[], str]
    ) -> None:
        self._http = http
        self._base = url(host, port)
        self._metrics_port = metrics_port
        self._key = key

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key()}"}

    async def workers(self) -> dict[str, Routed]:
        """By URL."""
        answer = await self._http.get(f"{self._base}/workers", headers=self._headers(), timeout=TIMEOUT)
        listed = _read(answer, 200, _List)
        return {routed.url: routed for routed in listed.workers}

    async def add(self, address: str, api_key: str | None) -> None:
        """Have it take a server; it is listed once it was reached."""
        body = {"url": address} | ({"api_key": api_key} if api_key else {})
        answer = await self._http.post(f"{self._base}/workers", headers=self._headers(), json=body, timeout=TIMEOUT)
        if answer.status_code not in (200, 202, 409):  # 409: it has it
            raise RouterRefused(f"POST /workers answered {answer.status_code}")

    async def remove(self, routed: Routed) -> None:
        """Have it send nothing more to a server."""
        address = f"{self._base}/workers/{routed.id}"
        answer = await self._http.delete(address, headers=self._headers(), timeout=TIMEOUT)
        if answer.status_code not in (200, 202, 404):
            raise RouterRefused(f"DELETE /workers answered {answer.status_code}")

    async def figures(self) -> Figures | None:
        """None where it tells none."""
        if self._metrics_port is None:
            return None
        answer = await self._http.get(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=TIMEOUT)
        return parse(answer.text) if answer.status_code == 200 else None


async def answers(http: httpx.AsyncClient, address: str) -> bool:
    """Whether a server of another host answers at all, whatever it says: it is asked without a key. Of one with TLS,
    whether it takes connections: whom to trust is for the router to say."""
    try:
        parts = urlsplit(address)
        if parts.scheme == "https":
            async with asyncio.timeout(TIMEOUT):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443)
            writer.close()
        else:
            async with asyncio.timeout(TIMEOUT):
                await http.get(f"{address.rstrip('/')}/v1/models", timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):  # TimeoutError is an OSError
        return False
    return True


def parse(text: str) -> Figures:
    """From its Prometheus text. ValueError where it is none."""
    wanted = (_REQUESTS, _RESPONSES, _RETRIES, _ACTIVE)
    lines = [line for line in text.splitlines() if line.startswith(wanted)]
    sums: dict[str, float] = defaultdict(float)
    active: dict[str, int] = {}
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            if sample.name == _ACTIVE:
                active[sample.labels.get("worker", "")] = int(sample.value)
            elif sample.name != _RESPONSES or sample.labels.get("status_code", "").startswith("5"):
                sums[sample.name] += sample.value
    return Figures(int(sums[_REQUESTS]), int(sums[_RESPONSES]), int(sums[_RETRIES]), active)


def _read(answer: httpx.Response, expected: int, kind: type[T]) -> T:
    if answer.status_code == 401:
        raise RouterRefused("it was started with another control key than the present one: restart it")
    if answer.status_code != expected:
        raise RouterRefused(f"{answer.request.url.path} answered {answer.status_code}")
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.DecodeError as error:
        raise RouterRefused(f"{answer.request.url.path}: {error}") from None

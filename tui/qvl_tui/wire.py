"""The Link over the daemon's unix socket, this host's or one that ssh brings here: `qvl.client.aio`."""

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from qvl.client.aio import Client, Way
from qvl.model.api import Accepted, History, ProfileDetail, ProfileInfo, Resolved, WhoAmI
from qvl.model.config import ConfigView
from qvl.model.detail import WorkerDetail
from qvl.model.event import Frame
from qvl.model.log import LogExtent, LogFound, LogSearch
from qvl.model.plan import Plan

from qvl_tui.link import Chunk
from qvl_tui.store import KEPT_SAMPLES


class SocketLink:
    """Reads fall back to `view` where `socket` may not be connected to. `name`: the host as the user calls it. `way`
    brings the socket here where it is another host's."""

    def __init__(self, socket: Path, view: Path | None = None, name: str = "", way: Way | None = None) -> None:
        self.where = str(socket)
        self.name = name
        self._client = Client(socket, view, way=way)

    def events(self, since: int) -> AsyncIterator[Frame]:
        return self._client.events(since, changes=True)

    async def log(self, worker: str, *, lines: int, since: int | None) -> AsyncIterator[Chunk]:
        if since is None:
            page = await self._client.log_page(worker, lines=lines)
            yield Chunk(page.offset, page.data)
            since = page.offset + len(page.data)
        async for data in self._client.log(worker, since=since, follow=True):
            yield Chunk(since, data)
            since += len(data)

    async def log_page(self, worker: str, since: int, limit: int) -> Chunk:
        page = await self._client.log_page(worker, since=since, limit=limit)
        return Chunk(page.offset, page.data)

    async def log_extent(self, worker: str) -> LogExtent:
        return await self._client.log_extent(worker)

    def log_search(self, worker: str, search: LogSearch) -> AsyncGenerator[LogFound, None]:
        return self._client.log_search(worker, search)

    async def whoami(self) -> WhoAmI:
        return await self._client.whoami()

    async def history(self) -> History:
        return await self._client.history(KEPT_SAMPLES)

    async def worker(self, name: str) -> WorkerDetail:
        return await self._client.worker(name)

    async def resolved(self, worker: str) -> Resolved:
        return await self._client.resolved(worker)

    async def history_of(self, span: int, points: int) -> History:
        return await self._client.history_of(span, points)

    async def profiles(self) -> tuple[ProfileInfo, ...]:
        return await self._client.profiles()

    async def act(self, verb: str, name: str, *, pool: bool) -> Accepted:
        return await (self._client.act_pool(verb, name) if pool else self._client.act_worker(verb, name))

    async def profile(self, name: str, pool: str) -> ProfileDetail:
        return await self._client.profile(name, pool)

    async def plan_switch(self, pool: str, profile: str | None) -> Plan:
        if profile is None:
            return await self._client.plan_reset(pool)
        return await self._client.plan_switch(pool, profile)

    async def switch(self, pool: str, profile: str | None) -> Accepted:
        if profile is None:
            return await self._client.reset_switch(pool)
        return await self._client.switch(pool, profile)

    async def cancel_switch(self, pool: str) -> Accepted:
        return await self._client.cancel_switch(pool)

    async def config(self) -> ConfigView:
        return await self._client.config()

    async def plan(self) -> Plan:
        return await self._client.plan()

    async def apply(self, plan_id: str) -> Accepted:
        return await self._client.apply(plan_id)

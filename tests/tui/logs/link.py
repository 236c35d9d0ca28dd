"""A Link with logs: real bytes by real offsets, searched by the search itself."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from qvl.model.event import Frame
from qvl.model.log import LogEnd, LogExtent, LogFound, LogProgress, LogRun, LogSearch
from qvl.search.scan import Scanner
from qvl_tui.link import Chunk

from tests.tui.fleet import FakeLink, snapshot, worker


class Log:
    def __init__(self, data: bytes = b"", begin: int = 0) -> None:
        self.data = data
        self.begin = begin
        self.runs: list[LogRun] = []
        self.grew = asyncio.Event()

    @property
    def end(self) -> int:
        return self.begin + len(self.data)

    def write(self, data: bytes) -> None:
        self.data += data
        self.grew.set()
        self.grew = asyncio.Event()

    def rotate(self, begin: int) -> None:
        """What lies before is gone."""
        self.data, self.begin = self.data[begin - self.begin :], begin

    def last(self, lines: int) -> int:
        """Where the last so many lines begin."""
        shown = self.data.splitlines(keepends=True)[-lines:] if lines else []
        return self.end - sum(map(len, shown))

    def read(self, since: int, limit: int) -> Chunk:
        at = min(max(since, self.begin), self.end)
        return Chunk(at, self.data[at - self.begin :][:limit])


class LogLink(FakeLink):
    def __init__(self, *frames: Frame, **more: str) -> None:
        super().__init__(*(frames or (snapshot(worker("w-0")),)), **more)
        self.files: dict[str, Log] = {}
        self.places: dict[object, tuple[str, int]] = {}
        """Of each reader: whose log, and up to where it was read."""
        self.streams: list[tuple[str, int | None]] = []
        """(worker, since) of each stream that was asked for."""
        self.pages: list[tuple[str, int, int]] = []
        self.searches: list[LogSearch] = []
        self.gate: asyncio.Event | None = None
        """Searches wait for it after their first word."""
        self.asked = asyncio.Event()
        """A search waits for its gate."""

    def of(self, worker: str = "w-0") -> Log:
        return self.files.setdefault(worker, Log())

    @property
    def pending(self) -> int:
        unread = sum(self.of(name).end - at for name, at in self.places.values()) if self.up else 0
        return super().pending + unread

    def drop(self) -> None:
        super().drop()
        for log in self.files.values():
            log.write(b"")

    async def log(self, worker: str, *, lines: int, since: int | None) -> AsyncIterator[Chunk]:
        self._reach()
        self.streams.append((worker, since))
        log, token = self.of(worker), object()
        at = log.last(lines) if since is None else since
        try:
            while self.up:
                self.places[token] = (worker, at)
                chunk = log.read(at, 65536)
                if chunk.data:
                    yield chunk
                    at = chunk.offset + len(chunk.data)
                else:
                    await log.grew.wait()
        finally:
            del self.places[token]

    async def log_page(self, worker: str, since: int, limit: int) -> Chunk:
        self._reach()
        self.pages.append((worker, since, limit))
        return self.of(worker).read(since, limit)

    async def log_extent(self, worker: str) -> LogExtent:
        self._reach()
        log = self.of(worker)
        return LogExtent(log.begin, log.end, tuple(log.runs))

    async def log_search(self, worker: str, search: LogSearch) -> AsyncGenerator[LogFound, None]:
        self._reach()
        self.searches.append(search)
        log = self.of(worker)
        back = search.before is not None
        at = min(search.before or 0, log.end) if back else max(search.since or 0, log.begin)
        yield LogProgress(at, 0)
        if self.gate is not None:
            self.asked.set()
            await self.gate.wait()
        data = log.read(log.begin, at - log.begin).data if back else log.read(at, log.end - at).data
        matches = list(Scanner(search).matches((log.begin if back else at, data)))
        if back:
            matches.reverse()
        for match in matches[: search.count]:
            yield match
            at = match.offset if back else match.offset + match.size
        found = min(len(matches), search.count)
        if found == search.count:
            yield LogEnd("count", at, found)
        else:
            yield LogEnd("exhausted", log.begin if back else log.end, found)

"""GET /v1/workers/{name}/log/search: a process for each search, few at once, ended when its client leaves.

Why a process: see `qvl.search`. The lines that it writes are the answer's lines; here they are only passed on.
"""

import asyncio
import contextlib
import logging
import sys
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.types import Receive, Scope, Send

from qvl.api.control import LogSource
from qvl.api.logs import Offset
from qvl.api.stream import NDJSON, StreamResponse, Streams, Write
from qvl.model.error import ErrorCode, QvlError
from qvl.model.log import LogEnd, LogFound, LogMatch, LogSearch

log = logging.getLogger(__name__)

AT_ONCE = 3
WAITING = 60
SILENCE = 90.0
"""Seconds without a word of the process. It promises one each quarter of a second, or after some seconds of processor
time, which last on a busy host, since workers come first; and a disk may hang."""
LONGEST = 900.0
"""Seconds that one search may take, its client's slowness included: others wait for its place."""
_PIECE = 64 * 1024
_REFUSED = "refused"


class SearchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to look for. Without `since` and `before` from the end backwards."""

    pattern: Annotated[
        str, Meta(max_length=1000, description="a regular expression of Python's `re`, for one line at a time")
    ] = ""
    level: Annotated[Literal["info", "warning", "error"], Meta(description="only in records this bad or worse")] = (
        "info"
    )
    since: Annotated[Offset, Meta(description="forwards from this offset")] | None = None
    before: Annotated[Offset, Meta(description="backwards from this offset")] | None = None
    count: Annotated[int, Meta(ge=1, le=10_000, description="end after so many matches")] = 100
    ignore_case: Annotated[bool, Meta(description="upper and lower case are the same")] = False

    def order(self) -> LogSearch:
        """Raises QvlError for a query that contradicts itself or looks for nothing."""
        if self.since is not None and self.before is not None:
            raise QvlError(ErrorCode.BAD_REQUEST, "`since` does not go with `before`", "a search has one direction")
        if not self.pattern and self.level == "info":
            raise QvlError(ErrorCode.BAD_REQUEST, "nothing to look for", "give a `pattern`, a `level`, or both")
        return LogSearch(
            pattern=self.pattern,
            level=self.level,
            since=self.since,
            before=sys.maxsize if self.since is None and self.before is None else self.before,
            count=self.count,
            ignore_case=self.ignore_case,
        )


class Searches:
    """The places for searches of one server."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self.running = 0

    async def begin(self, streams: Streams, source: LogSource, query: SearchQuery) -> "SearchResponse":
        """Raises QvlError where the pattern is none, or too many wait already."""
        order = query.order()
        if self._waiting >= WAITING:
            raise QvlError(ErrorCode.CONFLICT, f"{WAITING} searches wait already", "try again in a moment")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        self.running += 1
        answer = SearchResponse(streams, self, order)
        try:
            await answer.start(source)
        except BaseException:
            await answer.close()
            raise
        return answer

    def left(self) -> None:
        self.running -= 1
        self._places.release()


class SearchResponse(StreamResponse):
    """Holds its process and its place until `close`, which it calls itself once it is answered."""

    def __init__(self, streams: Streams, searches: Searches, order: LogSearch) -> None:
        super().__init__(streams, self._pass_on, NDJSON)
        self._searches = searches
        self._order = order
        self._process: asyncio.subprocess.Process | None = None
        self._first = b""
        self._at = 0
        self._closed = False

    async def start(self, source: LogSource) -> None:
        """Returns when the search has begun."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-W", "ignore", "-m", "qvl.search"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd="/",
            env={},
        )
        assert self._process.stdin is not None
        order = {"directory": str(source.directory), "search": self._order}
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(msgspec.json.encode(order))
            await self._process.stdin.drain()
        self._process.stdin.close()
        try:
            async with asyncio.timeout(SILENCE):
                self._first = await self._output.readline()
            first = msgspec.json.decode(self._first, type=LogFound)
        except (TimeoutError, ValueError) as error:
            raise QvlError(ErrorCode.INTERNAL, "the search did not begin", "journalctl -u qvl-supervisor -e") from error
        self._at = first.at if not isinstance(first, LogMatch) else first.offset
        if isinstance(first, LogEnd) and first.reason == _REFUSED:
            raise QvlError(
                ErrorCode.BAD_REQUEST,
                f"{self._order.pattern!r} is not a regular expression: {first.message}",
                "put a backslash before each of . * + ? ( ) [ ] { } | ^ $ \\ that is meant as it stands",
            )

    @property
    def _output(self) -> asyncio.StreamReader:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    async def _pass_on(self, write: Write) -> None:
        try:
            await self._pass_all_on(write)
        finally:
            await self.close()

    async def _pass_all_on(self, write: Write) -> None:
        tail = b""
        piece = self._first
        try:
            async with asyncio.timeout(LONGEST):
                while piece:
                    await write(piece)
                    tail = (tail + piece)[-_PIECE:]
                    async with asyncio.timeout(SILENCE):
                        piece = await self._output.read(_PIECE)
        except TimeoutError:
            await write(self._cut_off(tail, "the search took too long"))
            return
        if not _has_ended(tail):
            await write(self._cut_off(tail, "the search took more than it may"))

    def _cut_off(self, tail: bytes, message: str) -> bytes:
        """The end that the process did not write; on a line of its own, whatever it was at."""
        log.info("a search was cut off: %s", message)
        start = b"" if tail.endswith(b"\n") else b"\n"
        return start + msgspec.json.encode(LogEnd("limit", self._at, 0, message)) + b"\n"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.close()  # where it was never begun to be answered

    async def close(self) -> None:
        """End the process and give its place to the next."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        finally:
            self._searches.left()


def _has_ended(tail: bytes) -> bool:
    last = tail.rstrip(b"\n").rpartition(b"\n")[2]
    return last.startswith(b'{"type":"end"')

"""The way to the daemon: what the interface needs of it (`Link`), and the loop that keeps it (`follow`).

The loop connects, hands on every frame, and after a loss comes back by itself from the last event it holds. It decides
nothing about what is shown. `qvl_tui.wire` has the Link over the daemon's socket; tests script one.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import NamedTuple, Protocol

from qvl.model.api import Accepted, History, ProfileDetail, ProfileInfo, Resolved, WhoAmI
from qvl.model.config import ConfigView
from qvl.model.detail import WorkerDetail
from qvl.model.error import QvlError
from qvl.model.event import Frame
from qvl.model.log import LogExtent, LogFound, LogSearch
from qvl.model.plan import Plan

from qvl_tui.store import LinkPhase

SILENCE = 15.0
"""Seconds without a frame (the daemon sends a heartbeat each 5 s) after which a connection counts as dead."""


class Chunk(NamedTuple):
    """A piece of a worker's log; `offset` is the absolute place of its first byte."""

    offset: int
    data: bytes


class Link(Protocol):
    """All methods raise QvlError: UNREACHABLE where there is no daemon, anything else where it refuses."""

    where: str
    """What is connected to, for a sentence."""
    name: str
    """The host as the user called it; empty for this one."""

    def events(self, since: int) -> AsyncIterator[Frame]:
        """A Snapshot, the events after `since`, then what happens, Change frames included."""
        ...

    def log(self, worker: str, *, lines: int, since: int | None) -> AsyncIterator[Chunk]:
        """The log from `since` on, or its last `lines`; goes on with what is written."""
        ...

    async def log_page(self, worker: str, since: int, limit: int) -> Chunk:
        """At most `limit` bytes from `since` on, or from where the log now begins; none where it ends."""
        ...

    async def log_extent(self, worker: str) -> LogExtent: ...
    def log_search(self, worker: str, search: LogSearch) -> AsyncGenerator[LogFound, None]:
        """Matches as they are found, signs of life between them, and one LogEnd."""
        ...

    async def whoami(self) -> WhoAmI: ...
    async def history(self) -> History:
        """As much of the past as charts show."""
        ...

    async def worker(self, name: str) -> WorkerDetail:
        """What is known of it beside its status; NOT_FOUND also from a daemon that tells no such thing."""
        ...

    async def history_of(self, span: int, points: int) -> History:
        """The last `span` seconds in at most `points` steps. BAD_REQUEST from a daemon that is too old for that."""
        ...

    async def profiles(self) -> tuple[ProfileInfo, ...]: ...
    async def profile(self, name: str, pool: str) -> ProfileDetail:
        """As `pool` would run it."""
        ...

    async def resolved(self, worker: str) -> Resolved:
        """The engine is asked now, which may take 5 s."""
        ...

    async def act(self, verb: str, name: str, *, pool: bool) -> Accepted: ...
    async def plan_switch(self, pool: str, profile: str | None) -> Plan:
        """What `switch` would do."""
        ...

    async def switch(self, pool: str, profile: str | None) -> Accepted:
        """None: back to the file's profile."""
        ...

    async def cancel_switch(self, pool: str) -> Accepted: ...
    async def config(self) -> ConfigView:
        """The files of the configuration as they are now."""
        ...

    async def plan(self) -> Plan:
        """What they would change, to be applied by its id."""
        ...

    async def apply(self, plan_id: str) -> Accepted: ...


def delays() -> Iterator[float]:
    """Seconds to wait before each further attempt: quick at first, since a daemon that restarts is back in a second,
    and never longer than one is willing to look at a banner."""
    delay = 0.2
    while True:
        yield delay
        delay = min(delay * 1.6, 5.0)


class Listener(Protocol):
    """Who is told by `follow`. None of these may block."""

    def linked(self, phase: LinkPhase, reason: str = "") -> None: ...
    def received(self, frame: Frame) -> None: ...


async def follow(
    link: Link,
    since: Callable[[], int],
    listener: Listener,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    begun: AsyncIterator[Frame] | None = None,
) -> None:
    """Keep the stream of `link` for ever; `since` tells where to resume, `begun` is a stream to go on with. Ends only
    by cancellation."""
    waits = delays()
    while True:
        heard = False
        frames, begun = begun or link.events(since()), None
        try:
            async for frame in _audible(frames):
                if not heard:
                    heard, waits = True, delays()
                    listener.linked(LinkPhase.UP)
                listener.received(frame)
            reason = "the daemon closed the connection"
        except QvlError as error:
            reason = error.message
        except TimeoutError:
            reason = f"no word for {SILENCE:.0f} s"
        listener.linked(LinkPhase.DOWN, reason)
        await sleep(next(waits))


async def _audible(frames: AsyncIterator[Frame]) -> AsyncIterator[Frame]:
    """The frames, or TimeoutError after a silence: a daemon that is stopped or stuck keeps its socket open."""
    while True:
        async with asyncio.timeout(SILENCE):
            try:
                frame = await anext(frames)
            except StopAsyncIteration:
                return
        yield frame

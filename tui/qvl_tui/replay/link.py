"""What screens ask of a daemon, answered from a recording as of the moment that shows. What was not recorded is said to
be so, and nothing can be changed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

import msgspec
from qvl.client.sync import quoted
from qvl.model.api import Accepted, History, ProfileDetail, ProfileInfo, Resolved, WhoAmI
from qvl.model.config import ConfigView
from qvl.model.detail import WorkerDetail
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Frame
from qvl.model.log import LogExtent, LogFound, LogSearch
from qvl.model.plan import Plan
from qvl.recording.block import Content
from qvl.recording.records import Log

from qvl_tui.link import Chunk
from qvl_tui.replay.deck import Deck
from qvl_tui.replay.past import STEP_S, history
from qvl_tui.replay.searching import Order, answers
from qvl_tui.replay.shelf import Shelf
from qvl_tui.replay.tape import decoded
from qvl_tui.store import REPLAY

LOOK = 0.2
"""Seconds between looks for what was written next."""
PAGE = 64 * 1024
"""Bytes of a log that are read at once."""
BACK = 60
"""Blocks, of a minute at most, that are read for the first lines of a log."""

T = TypeVar("T")


class ReplayLink:
    name = ""

    def __init__(self, deck: Deck) -> None:
        self.where = str(deck.tape.path)
        self._deck = deck
        self._tape = deck.tape
        self._shelf = Shelf(deck.tape)
        self._reading = asyncio.Lock()

    def events(self, since: int) -> AsyncIterator[Frame]:
        """The deck tells the store itself: a stream of frames can't go back in time."""
        raise _refused("a recording has no stream of events")

    async def log(self, worker: str, *, lines: int, since: int | None) -> AsyncIterator[Chunk]:
        """Ends when another moment is gone to: what was shown is of another time then."""
        if not self._tape.recording.opening.logs:
            raise _missing(f"the log of {worker}", "record with --logs")
        jumps, at = self._deck.jumps, self._deck.at
        told = -1 if since is None else since
        pieces = await asyncio.to_thread(self._last, worker, lines, at) if since is None else []
        while since is not None:
            # What was written up to this moment; time goes on while one comes here.
            async with self._reading:
                chunk = await asyncio.to_thread(self._shelf.page, worker, told, PAGE, at)
            if not chunk.data:
                break
            told = chunk.offset + len(chunk.data)
            yield chunk
        index = self._tape.recording.find(at)
        block = await asyncio.to_thread(self._tape.logged, index, worker)
        while jumps == self._deck.jumps:
            for piece in pieces:
                if piece.offset + len(piece.data) > told:
                    told = piece.offset + len(piece.data)
                    yield Chunk(piece.offset, piece.data)
            await asyncio.sleep(LOOK)
            before, at = at, self._deck.at
            pieces = [piece for piece in block if before < piece.at <= at]
            while index < self._tape.recording.find(at):
                index += 1
                block = await asyncio.to_thread(self._tape.logged, index, worker)
                pieces += (piece for piece in block if before < piece.at <= at)

    async def log_page(self, worker: str, since: int, limit: int) -> Chunk:
        """At most `limit` bytes from `since` on, or from where the recording next has some; none at the end."""
        if not self._tape.recording.opening.logs:
            raise _missing(f"the log of {worker}", "record with --logs")
        async with self._reading:
            return await asyncio.to_thread(self._shelf.page, worker, since, limit, self._deck.at)

    async def log_extent(self, worker: str) -> LogExtent:
        if not self._tape.recording.opening.logs:
            raise _missing(f"the log of {worker}", "record with --logs")
        async with self._reading:
            return LogExtent(*await asyncio.to_thread(self._shelf.extent, worker, self._deck.at))

    async def log_search(self, worker: str, search: LogSearch) -> AsyncGenerator[LogFound, None]:
        extent, at = await self.log_extent(worker), self._deck.at
        order = Order(str(self._tape.path), worker, at, extent.begin, extent.end, search)
        async with aclosing(answers(order)) as told:
            async for found in told:
                yield found

    def _last(self, worker: str, lines: int, at: int) -> list[Log]:
        """The pieces that hold the last `lines` lines as of `at`."""
        found: list[Log] = []
        last = self._tape.recording.find(at)
        for index in self._tape.recording.having(Content.LOGS, last):
            if last - index > BACK or sum(piece.data.count(b"\n") for piece in found) >= lines:
                break
            found = [piece for piece in self._tape.logged(index, worker) if piece.at <= at] + found
        return found

    async def whoami(self) -> WhoAmI:
        known = await self._document("/v1/whoami", WhoAmI, "who recorded it")
        return msgspec.structs.replace(known, role=REPLAY)

    async def history(self) -> History:
        return await asyncio.to_thread(history, self._tape, self._deck.at)

    async def history_of(self, span: int, points: int) -> History:
        """The last `span` seconds in at most `points` steps."""
        step = max(STEP_S, -(-span // points))
        return await asyncio.to_thread(history, self._tape, self._deck.at, span, step)

    async def worker(self, name: str) -> WorkerDetail:
        """As of the last time that the recorder asked: when the worker got ready."""
        return await self._document(f"/v1/workers/{quoted(name)}", WorkerDetail, f"more of {name}")

    async def config(self) -> ConfigView:
        return await self._document("/v1/config", ConfigView, "the file")

    async def profiles(self) -> tuple[ProfileInfo, ...]:
        return await self._document("/v1/profiles", tuple[ProfileInfo, ...], "what profiles there were")

    async def profile(self, name: str, pool: str) -> ProfileDetail:
        raise _missing(f"what profile {name} says")

    async def resolved(self, worker: str) -> Resolved:
        """As of the last time that the recorder asked: when the worker got ready."""
        return await self._document(f"/v1/workers/{quoted(worker)}/resolved", Resolved, f"what {worker} was given")

    async def act(self, verb: str, name: str, *, pool: bool) -> Accepted:
        raise _refused(f"{verb} of {name} can't be asked")

    async def plan_switch(self, pool: str, profile: str | None) -> Plan:
        raise _missing(f"what a switch of {pool} would do")

    async def plan(self) -> Plan:
        raise _missing("what an edit would do")

    async def apply(self, plan_id: str) -> Accepted:
        raise _refused("nothing can be applied")

    async def switch(self, pool: str, profile: str | None) -> Accepted:
        raise _refused(f"{pool} can't be switched")

    async def cancel_switch(self, pool: str) -> Accepted:
        raise _refused(f"the change of {pool} can't be taken back")

    async def _document(self, target: str, kind: type[T], what: str) -> T:
        """The answer to a GET as of the moment that shows. Raises QvlError UNSUPPORTED where it was not recorded."""
        raw = await asyncio.to_thread(self._tape.document, target, self._deck.at)
        found = None if raw is None else decoded(msgspec.json.Decoder(kind), raw)
        if found is None:
            raise _missing(what)
        return found


def _refused(what: str) -> QvlError:
    return QvlError(ErrorCode.REFUSED, f"{what}: this is a recording", "look at the daemon itself: qvlctl tui")


def _missing(what: str, hint: str | None = None) -> QvlError:
    """Not NOT_FOUND: that is what a daemon answers that is too old to be asked."""
    return QvlError(ErrorCode.UNSUPPORTED, f"{what} was not recorded", hint)

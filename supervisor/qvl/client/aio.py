"""The asyncio way to the daemon, typed by the model: for the terminal UI and whatever else runs a loop.

It reconnects nothing and retries nothing: when to try again is its user's decision. Every failure is a QvlError.
"""

import errno
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from qvl.client.aio_http import Connection, Response, connect, request
from qvl.client.sync import quoted, refusal, unreachable
from qvl.model.api import (
    Accepted,
    History,
    PlanRequest,
    ProfileDetail,
    ProfileInfo,
    Resolved,
    SwitchRequest,
    VersionInfo,
    WhoAmI,
)
from qvl.model.config import ConfigView
from qvl.model.detail import WorkerDetail
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Event, Frame
from qvl.model.log import LogExtent, LogFound, LogSearch
from qvl.model.plan import Plan
from qvl.model.status import Status

ANSWER_SECONDS = 60.0
"""One answer may take this long; planning reads the engine's own flags, which may lie on a slow disk."""
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 16.0
"""Three heartbeats of the event stream and a little: after that it counts as lost."""

T = TypeVar("T")


class LogPage(msgspec.Struct, frozen=True):
    """A piece of a worker's log; the next one begins at `offset + len(data)`."""

    offset: int
    data: bytes


class Way(Protocol):
    """A socket that has to be brought here first."""

    async def socket(self) -> Path:
        """Where it is now. Raises QvlError where it can't be had."""
        ...

    async def trouble(self, error: Exception) -> QvlError:
        """What a request over it that failed means."""
        ...


class Client:
    """Requests to the daemon behind `socket`. Reads go to `view` where we may not connect to `socket`.

    With `way`, that says which socket is asked, and has chosen between the two.
    """

    def __init__(
        self, socket: Path, view: Path | None = None, *, silence: float = SILENCE_SECONDS, way: Way | None = None
    ) -> None:
        self.socket = socket
        self.view = view
        self.silence = silence
        self.way = way

    async def status(self) -> Status:
        return await self._get("/v1/status", Status)

    async def history(self, last: int | None = None) -> History:
        """The newest `last` samples of the last hour, all for None."""
        return await self._get("/v1/history" + (f"?last={last}" if last else ""), History)

    async def history_of(self, span: int, points: int) -> History:
        """The last `span` seconds, a day at most, in at most `points` steps. BAD_REQUEST from a daemon of before it."""
        return await self._get(f"/v1/history?span={span}&points={points}", History)

    async def profiles(self) -> tuple[ProfileInfo, ...]:
        return await self._get("/v1/profiles", tuple[ProfileInfo, ...])

    async def profile(self, name: str, pool: str | None = None) -> ProfileDetail:
        """As it would run in `pool`."""
        query = "" if pool is None else f"?pool={quoted(pool)}"
        return await self._get(f"/v1/profiles/{quoted(name)}{query}", ProfileDetail)

    async def worker(self, name: str) -> WorkerDetail:
        """Its start, capacity, processes and last ends; it is looked at now."""
        return await self._get(f"/v1/workers/{quoted(name)}", WorkerDetail)

    async def resolved(self, worker: str) -> Resolved:
        """What its engine made of its arguments; it is asked now, and may take 5 s."""
        return await self._get(f"/v1/workers/{quoted(worker)}/resolved", Resolved)

    async def config(self) -> ConfigView:
        """The configuration's files as they are now, and what is wrong with them."""
        return await self._get("/v1/config", ConfigView)

    async def version(self) -> VersionInfo:
        return await self._get("/v1/version", VersionInfo)

    async def whoami(self) -> WhoAmI:
        return await self._get("/v1/whoami", WhoAmI)

    async def act_worker(self, verb: str, name: str) -> Accepted:
        """`verb`: start, stop or restart."""
        return await self._send("POST", f"/v1/workers/{quoted(name)}/{verb}", Accepted)

    async def act_pool(self, verb: str, name: str) -> Accepted:
        """`verb`: start, stop or restart; pool `all` is every pool."""
        return await self._send("POST", f"/v1/pools/{quoted(name)}/{verb}", Accepted)

    async def switch(self, pool: str, profile: str) -> Accepted:
        return await self._send("POST", f"/v1/pools/{quoted(pool)}/switch", Accepted, SwitchRequest(profile))

    async def plan_switch(self, pool: str, profile: str) -> Plan:
        """What `switch` would do."""
        body = SwitchRequest(profile, dry_run=True)
        return await self._send("POST", f"/v1/pools/{quoted(pool)}/switch", Plan, body)

    async def reset_switch(self, pool: str) -> Accepted:
        """Back to the profile of the file."""
        return await self._send("DELETE", f"/v1/pools/{quoted(pool)}/switch", Accepted)

    async def plan_reset(self, pool: str) -> Plan:
        """What `reset_switch` would do."""
        return await self._send("DELETE", f"/v1/pools/{quoted(pool)}/switch?dry_run=1", Plan)

    async def cancel_switch(self, pool: str) -> Accepted:
        return await self._send("DELETE", f"/v1/pools/{quoted(pool)}/switch?cancel=1", Accepted)

    async def plan(self, path: Path | None = None) -> Plan:
        """What the live configuration, or the file at `path`, would change."""
        return await self._send("POST", "/v1/plans", Plan, PlanRequest(None if path is None else str(path.absolute())))

    async def apply(self, plan_id: str) -> Accepted:
        return await self._send("POST", f"/v1/plans/{quoted(plan_id)}/apply", Accepted)

    async def restart_daemon(self) -> Accepted:
        return await self._send("POST", "/v1/daemon/restart", Accepted)

    async def remembered(self, since: int = 0) -> list[Event]:
        """The events that the daemon remembers, without waiting for more."""
        async with self._open("GET", f"/v1/events?follow=0&since={since}") as response:
            decoder = msgspec.json.Decoder(Event)
            return [decoder.decode(line) async for line in _lines(response)]

    async def events(self, since: int | None = None, *, changes: bool = False) -> AsyncGenerator[Frame, None]:
        """A Snapshot, the events after `since`, then what happens. It ends where the daemon ends it, and raises
        QvlError where the connection breaks or nothing, not even a heartbeat, was heard for `silence` seconds."""
        target = f"/v1/events?changes={int(changes)}" + ("" if since is None else f"&since={since}")
        decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
        async with self._open("GET", target, silence=self.silence) as response:
            async for line in _lines(response):
                try:
                    frame = decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise _misunderstood("a frame of the event stream", error) from error
                yield frame

    async def log(
        self,
        worker: str,
        *,
        lines: int | None = None,
        before: int | None = None,
        since: int | None = None,
        follow: bool = False,
        previous: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """The log as it comes, in pieces that end anywhere."""
        target = _log_target(worker, lines, before, since, follow, previous)
        async with self._open("GET", target, silence=None if follow else ANSWER_SECONDS) as response:
            async for piece in response.pieces():
                yield piece

    async def log_page(
        self,
        worker: str,
        *,
        lines: int | None = None,
        before: int | None = None,
        since: int | None = None,
        limit: int | None = None,
        previous: bool = False,
    ) -> LogPage:
        """A part of the log with its offset, so that more can be asked for on either side of it. `limit`: so many
        bytes from `since` on, at most; none come where the log ends."""
        async with self._open("GET", _log_target(worker, lines, before, since, False, previous, limit)) as response:
            return LogPage(int(response.headers["x-qvl-offset"]), await response.body())

    async def log_extent(self, worker: str) -> LogExtent:
        return await self._get(f"/v1/workers/{quoted(worker)}/log/extent", LogExtent)

    async def log_search(self, worker: str, search: LogSearch) -> AsyncGenerator[LogFound, None]:
        """Matches as they are found, signs of life between them, and one LogEnd. Close it to end the search; a pattern
        that is none is a BAD_REQUEST that says why."""
        given: dict[str, object] = msgspec.to_builtins(search)
        query = "&".join(f"{name}={quoted(str(value))}" for name, value in given.items())
        target = f"/v1/workers/{quoted(worker)}/log/search?{query}"
        decoder: msgspec.json.Decoder[LogFound] = msgspec.json.Decoder(LogFound)
        async with self._open("GET", target) as response:
            async for line in _lines(response):
                try:
                    found = decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise _misunderstood("a line of a search", error) from error
                yield found

    async def _get(self, target: str, kind: type[T]) -> T:
        return await self._send("GET", target, kind)

    async def _send(self, method: str, target: str, kind: type[T], body: msgspec.Struct | None = None) -> T:
        async with self._open(method, target, body) as response:
            data = await response.body()
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise _misunderstood(f"the daemon's answer to {method} {target}", error) from error

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        target: str,
        body: msgspec.Struct | None = None,
        *,
        silence: float | None = ANSWER_SECONDS,
    ) -> AsyncIterator[Response]:
        payload = None if body is None else msgspec.json.encode(body)
        connection = await self._connect(reads=method == "GET")
        try:
            async with request(connection, method, target, payload, silence) as response:
                if response.status >= 400:
                    raise refusal(response.status, await response.body())
                yield response
        except (OSError, EOFError, ValueError) as error:
            raise await self._broken(error, silence) from error

    async def _broken(self, error: Exception, silence: float | None) -> QvlError:
        return _broken(self.socket, error, silence) if self.way is None else await self.way.trouble(error)

    async def _connect(self, *, reads: bool) -> Connection:
        if self.way is not None:
            socket = await self.way.socket()
            try:
                return await connect(socket, CONNECT_SECONDS)
            except OSError as error:
                raise await self.way.trouble(error) from error
        try:
            return await connect(self.socket, CONNECT_SECONDS)
        except TimeoutError as error:
            raise _broken(self.socket, error, CONNECT_SECONDS) from error
        except OSError as error:
            if not reads or self.view is None or error.errno not in (errno.EACCES, errno.EPERM):
                raise unreachable(str(self.socket), error) from error
            try:
                return await connect(self.view, CONNECT_SECONDS)
            except OSError:
                raise unreachable(str(self.socket), error) from error


async def _lines(response: Response) -> AsyncGenerator[bytes, None]:
    """Lines without their end."""
    rest = bytearray()
    async for piece in response.pieces():
        *lines, tail = (rest + piece).split(b"\n")
        for line in lines:
            yield bytes(line)
        rest = tail
    if rest:
        raise EOFError("the stream ended in the middle of a line")


def _log_target(
    worker: str,
    lines: int | None,
    before: int | None,
    since: int | None,
    follow: bool,
    previous: bool,
    limit: int | None = None,
) -> str:
    given = {
        "lines": lines,
        "before": before,
        "since": since,
        "limit": limit,
        "follow": follow or None,
        "previous": previous or None,
    }
    query = "&".join(f"{name}={int(value)}" for name, value in given.items() if value is not None)
    return f"/v1/workers/{quoted(worker)}/log" + (f"?{query}" if query else "")


def _misunderstood(what: str, error: msgspec.DecodeError) -> QvlError:
    return QvlError(
        ErrorCode.INTERNAL, f"{what} is not understood: {error}", "qvlctl version: are both of one release?"
    )


def _broken(path: Path, error: Exception, silence: float | None) -> QvlError:
    what = f"said nothing for {silence:g} s" if isinstance(error, TimeoutError) else f"broke off its answer ({error})"
    return QvlError(
        ErrorCode.UNREACHABLE,
        f"the daemon at {path} {what}",
        "see how it is: systemctl status qvl-supervisor; journalctl -u qvl-supervisor -e",
    )

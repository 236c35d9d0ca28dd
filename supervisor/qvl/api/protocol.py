"""One connection: uvicorn's h11 protocol, with the peer's identity, our error body and patience that ends.

uvicorn bounds what a client may make us hold (64 KiB of body, transport water marks for answers), but it waits forever:
for a request that never comes in whole, and for an answer that nobody reads. Here both end after `patience` seconds.
A deadline in the handlers could not do it: closing a transport waits for its unsent bytes; only abort() drops them.
"""

import asyncio
import logging
import os
import select
from collections.abc import Callable

import h11
import msgspec
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from qvl.api.control import Actor, Role
from qvl.api.peer import Access, actor_of
from qvl.model.error import ErrorCode, QvlError

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 512
"""All together; half of the usual limit of 1024 files stays for the daemon's own work."""
MAX_VIEWERS = 384
"""Of these for peers that may only look, so that they can't keep operators out."""
STUCK = 0.3
"""Seconds in which a reader must take something of what is left for it while the daemon ends."""
_LOOKS = 6
"""Looks at a connection within its patience."""


class Shared(msgspec.Struct):
    """What the connections of one server share beside uvicorn's own state."""

    access: Access
    view_path: str | None
    """The socket on which everyone is a viewer."""
    patience: float
    """Seconds."""
    on_last_closed: Callable[[], None]
    closing: bool = False


class Connection(H11Protocol):
    """`scope["state"]` holds `actor` (without the user's name) and `view` (came by the view socket)."""

    def __init__(self, config: Config, server_state: ServerState, shared: Shared) -> None:
        super().__init__(config=config, server_state=server_state, app_state={})
        self._shared = shared
        self._look_timer: asyncio.TimerHandle | None = None
        self._awaited_since: float | None = None
        self._unsent = 0
        self._unsent_since = 0.0
        self._half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        if self._shared.closing:  # it was on its way when the server stopped to listen
            transport.close()
            return
        sock = transport.get_extra_info("socket")
        view = self._shared.view_path is not None and os.fspath(sock.getsockname()) == self._shared.view_path
        try:
            actor = actor_of(sock, self._shared.access, view=view)
        except OSError as error:  # without a known peer there is nobody to answer
            log.warning("dropped a connection whose peer the kernel does not name: %s", error)
            transport.abort()
            return
        self.app_state = {"actor": actor, "view": view}
        self._awaited_since = self._unsent_since = self.loop.time()
        self._look_timer = self.loop.call_later(self._shared.patience / _LOOKS, self._look)
        if len(self.connections) > (MAX_CONNECTIONS if actor.role is Role.OPERATOR else MAX_VIEWERS):
            self._turn_away(actor)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
        super().connection_lost(exc)
        if not self.connections:
            self._shared.on_last_closed()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's always closes
        """True keeps the connection: `nc -N` and its like end their side only, and wait for the answer."""
        self._half_closed = self._answering() and not self._hung_up()
        if self._half_closed:
            self.cycle.keep_alive = False
        return self._half_closed

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent_since = self.loop.time()

    def on_response_complete(self) -> None:
        self._awaited_since = None  # the next request has its own patience
        super().on_response_complete()

    def leave(self) -> None:
        """Close now if idle; else after the answer that is under way, unless its reader takes none of it."""
        if not self._answering():
            self.transport.close()
            return
        self.cycle.keep_alive = False
        if (unsent := self.transport.get_write_buffer_size()) > 0:
            self.loop.call_later(STUCK, self._abort_if_stuck, unsent)

    def _abort_if_stuck(self, unsent: int) -> None:
        if self.transport.get_write_buffer_size() >= unsent:
            self.transport.abort()

    def abort(self) -> None:
        """Close now, dropping what is unsent."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls it for bytes that are not HTTP."""
        self._refuse(
            QvlError(
                ErrorCode.BAD_REQUEST,
                "that is not an HTTP/1.1 request",
                "try: curl --unix-socket PATH http://qvl/v1/status",
            )
        )

    def _turn_away(self, actor: Actor) -> None:
        log.warning("turned a connection away: too many uid=%d pid=%d", actor.uid, actor.pid)
        self._refuse(
            QvlError(
                ErrorCode.UNREACHABLE,
                f"too many connections ({len(self.connections) - 1})",
                "close some, then try again",
            )
        )

    def _refuse(self, error: QvlError) -> None:
        if self._answering() or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # in the middle of an answer nothing else can be said
            return
        body = msgspec.json.encode(error.body())
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (
            h11.Response(status_code=error.code.http, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            data = self.conn.send(event)
            if data:
                self.transport.write(data)
        self.transport.close()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _hung_up(self) -> bool:
        """Whether the peer is gone, which the end of its input alone does not tell. Unix sockets do: POLLHUP."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), 0)
        return bool(poll.poll(0))

    def _look(self) -> None:
        now, patience = self.loop.time(), self._shared.patience
        self._look_timer = self.loop.call_later(patience / _LOOKS, self._look)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._awaited_since = None
        elif self._awaited_since is None:
            self._awaited_since = now
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self._unsent_since = now
        self._unsent = unsent
        # Looks come a hair early or late: one that is due counts as late enough.
        late = now - patience * 0.98
        if self._half_closed and self._hung_up():
            self.transport.abort()
        elif self._unsent_since <= late:
            log.info("cut a client off that reads nothing %s", self._who())
            self.transport.abort()
        elif self._awaited_since is not None and self._awaited_since <= late:
            self.transport.abort()

    def _who(self) -> str:
        actor: Actor = self.app_state["actor"]
        return f"uid={actor.uid} pid={actor.pid} command={actor.command} unsent={self._unsent}"

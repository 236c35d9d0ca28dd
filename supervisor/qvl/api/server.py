"""Serves the API on sockets that are already listening, until it is closed.

uvicorn gives the HTTP/1.1 protocol. Its Server is not used: that one owns signals, lifespan and logging, wakes ten
times a second, and on shutdown waits for clients. These are the daemon's own business here; an idle API costs nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from uvicorn import Config
from uvicorn.server import ServerState

from qvl.api.app import build
from qvl.api.control import Control
from qvl.api.operation import Desk
from qvl.api.peer import own_access
from qvl.api.protocol import Connection, Shared
from qvl.api.routes import OPERATIONS
from qvl.api.socket import BACKLOG, Listener
from qvl.api.stream import Streams

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that a client may take to say its request, or to read anything of an answer."""
HEARTBEAT = 5.0
"""Seconds."""
CLOSE_SECONDS = 2.0
_HEAD_BYTES = 16 * 1024


class ApiServer:
    """`serve` runs until `close`. The listeners are the caller's: closing them removes the paths."""

    def __init__(
        self,
        control: Control,
        operators: Listener,
        viewers: Listener | None = None,
        *,
        patience: float = PATIENCE,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self._listeners: Sequence[Listener] = [operators] if viewers is None else [operators, viewers]
        self._streams = Streams()
        access = own_access(operators.group, operators.gid)
        self._config = Config(
            build(Desk(control, access, self._streams, heartbeat), OPERATIONS),
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,  # logging is the daemon's
            log_level=logging.CRITICAL,  # the guard has logged what failed; garbage that clients send is not news
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            workers=1,  # not from the environment
            timeout_keep_alive=5,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        self._config.load()
        self._state = ServerState()
        self._shared = Shared(access, str(viewers.path) if viewers else None, patience, self._last_closed)
        self._closing = asyncio.Event()
        self._empty = asyncio.Event()
        self._closed = asyncio.Event()
        self._serving = False

    @property
    def connections(self) -> int:
        return len(self._state.connections)

    @property
    def streams(self) -> int:
        return len(self._streams)

    @property
    def tasks(self) -> int:
        """Requests under way, streams among them."""
        return len(self._state.tasks)

    async def serve(self, ready: Callable[[], None]) -> None:
        """Answer until `close` is called; `ready` is called when the first answer is possible."""
        self._serving = True
        loop = asyncio.get_running_loop()
        connection = partial(Connection, self._config, self._state, self._shared)
        servers: list[asyncio.Server] = []
        try:
            for listener in self._listeners:
                servers.append(await loop.create_server(connection, sock=listener.sock, backlog=BACKLOG))
            ready()
            await self._closing.wait()
        finally:
            try:
                await self._part(servers)
            finally:
                self._closed.set()

    async def close(self) -> None:
        """End streams, let answers under way finish for a moment, then drop what is left. Takes 2 s at most."""
        self._closing.set()
        if self._serving:
            await self._closed.wait()

    def _last_closed(self) -> None:
        self._empty.set()

    async def _part(self, servers: Sequence[asyncio.Server]) -> None:
        self._shared.closing = True
        # Server.close() leaves those hanging that it has accepted and not yet handed to a protocol. So first nothing
        # more is accepted, and what was is handed on in one turn of the loop.
        for listener in self._listeners[: len(servers)]:
            asyncio.get_running_loop().remove_reader(listener.sock)
        await asyncio.sleep(0)
        for server in servers:
            server.close()
        self._streams.end()
        for connection in self._connections():
            connection.leave()
        await self._emptied(CLOSE_SECONDS * 0.75)
        for connection in self._connections():
            connection.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await self._emptied(CLOSE_SECONDS * 0.25)

    def _connections(self) -> list[Connection]:
        return [connection for connection in self._state.connections if isinstance(connection, Connection)]

    async def _emptied(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self._state.connections:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            log.info("%d connections still open", len(self._state.connections))

"""Serves the interface on loopback: the page, textual-serve's files for it, and a process for each page that is open.

It ends by a signal, and its processes with it: they are told, and where it was killed the kernel tells them.
"""

import asyncio
import json
import shlex
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

import textual_serve
from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from qvl_tui.web.guard import HEADERS, Guard

HERE = Path(__file__).parent
FILES = Path(textual_serve.__file__).parent / "static"
FONT_SIZE = 14
MOST = 1000
"""Cells that a terminal has in a direction."""
SESSIONS = 8
"""Pages at a time: each is a process of some 45 MiB."""
ENDING_SECONDS = 5.0
"""From the word to end to SIGKILL."""
BEAT_SECONDS = 15.0
"""A browser that doesn't answer for this long has gone."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    def __init__(self, command: Sequence[str], title: str) -> None:
        """`command`: what runs the interface."""
        # `exec`, so that what is signalled is the interface and no shell around it.
        self._command = f"exec {shlex.join(command)}"
        self._title = title
        self.guard = Guard()
        self._open: set[web.WebSocketResponse] = set()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded])
        root = self.guard.root
        app.router.add_get("/", self._door)
        app.router.add_get(f"{root}/", self._page)
        for name in ("style.css", "page.js"):
            app.router.add_get(f"{root}/{name}", self._file)
        app.router.add_get(f"{root}/ws", self._socket)
        app.router.add_static(f"{root}/static", FILES)
        app.on_shutdown.append(self._close)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        door = request.path == "/" and self.guard.admits(request.query.get("token", ""))
        why = self.guard.refusal(
            request.headers, request.path, request.cookies, door=door, socket=request.path.endswith("/ws")
        )
        if why is not None:
            return web.Response(status=403, text=f"{why}\n", headers=HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=f"{error.reason}\n")
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _door(self, request: web.Request) -> web.Response:
        """Hands out the cookie. The page is asked for by a document of ours and not by a redirect: a browser takes a
        redirected request for that of the site with the link, and keeps the cookie to itself."""
        text = f'<!DOCTYPE html><meta http-equiv="refresh" content="0;url={self.guard.root}/">'
        return web.Response(text=text, content_type="text/html", headers={"Set-Cookie": self.guard.cookie()})

    async def _page(self, request: web.Request) -> web.Response:
        # The window says how large the terminal is; how large its letters are is the reader's.
        size = max(_number(request, "fontsize", FONT_SIZE, most=40), 6)
        address = f"ws://{request.host}{self.guard.root}/ws"
        text = (HERE / "page.html").read_text(encoding="utf-8")
        text = text.format(title=escape(self._title), socket=address, size=size)
        return web.Response(text=text, content_type="text/html")

    async def _file(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(HERE / request.path.rpartition("/")[2])

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self._open) >= SESSIONS:
            raise web.HTTPServiceUnavailable(reason=f"{SESSIONS} pages are open already")
        websocket = web.WebSocketResponse(heartbeat=BEAT_SECONDS)
        self._open.add(websocket)
        service = Session(self._command, websocket)
        try:
            await websocket.prepare(request)
            await service.start(_number(request, "width", 80), _number(request, "height", 24))
            async for message in websocket:
                if message.type is WSMsgType.TEXT:
                    await service.heard(message.data)
        finally:
            self._open.discard(websocket)
            await service.end()
        return websocket

    async def _close(self, app: web.Application) -> None:
        await asyncio.gather(*(websocket.close(code=1001) for websocket in tuple(self._open)))


class Session(AppService):
    """One page and the process behind it."""

    def __init__(self, command: str, websocket: web.WebSocketResponse) -> None:
        super().__init__(
            command,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=self._over,
            download_manager=DownloadManager(),
        )
        self._websocket = websocket

    async def heard(self, message: str) -> None:
        """What the page says: keys, and what becomes of its window. What it should not say is passed over."""
        try:
            envelope: object = json.loads(message)
        except (ValueError, RecursionError):
            return
        match envelope:
            case ["stdin", str(data)]:
                await self.send_bytes(data.encode(errors="replace"))
            case ["resize", {"width": int(width), "height": int(height)}] if 0 < width <= MOST and 0 < height <= MOST:
                await self.set_terminal_size(width, height)
            case ["ping", data]:
                await self._websocket.send_json(["pong", data])
            case ["blur", *_]:
                await self.blur()
            case ["focus", *_]:
                await self.focus()

    async def end(self) -> None:
        """Tells the process to end, and sees to it that it does."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(ENDING_SECONDS):
                await self.stop()
        process = self._process
        if process is not None and process.returncode is None:
            try:
                async with asyncio.timeout(ENDING_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _over(self) -> None:
        await self._websocket.close()


def _number(request: web.Request, name: str, usual: int, most: int = MOST) -> int:
    value = request.query.get(name, "")
    return min(int(value), most) if value.isdecimal() and len(value) < 5 and int(value) else usual


async def serve_until_told(
    server: Server, listener: socket.socket, beside: Iterable[Coroutine[None, None, None]]
) -> None:
    """Until SIGINT, SIGTERM or SIGHUP, unless those were ignored before. `beside`: what goes on as long."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # as under nohup
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    tasks = [asyncio.create_task(one) for one in beside]
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=2 * ENDING_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        port = listener.getsockname()[1]
        print(f"http://127.0.0.1:{port}/?token={server.guard.token}", flush=True)
        print("whoever has this address is let in; Ctrl-C ends it, and no worker", file=sys.stderr)
        await told.wait()
    finally:
        for task in tasks:
            task.cancel()
        await runner.cleanup()

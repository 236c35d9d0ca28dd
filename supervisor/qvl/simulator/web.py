"""A small HTTP/1.1 server: enough for probes, clients and routers, and for what they do wrong.

One task a connection. Garbage is answered with 400, a client that does not read or goes away holds nobody else up.
Refuses HTTP/2, TLS, ranges, compression.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

_HEAD_LIMIT = 64 * 1024  # bytes
_BODY_LIMIT = 256 * 1024 * 1024  # bytes; images travel inside JSON


class HttpRequest(NamedTuple):
    method: str
    target: str
    """The path with its query, as it stood in the request line."""
    headers: Mapping[str, str]
    body: bytes
    client: str
    gone: Callable[[], bool]
    """Whether the client has hung up."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class HttpResponse(NamedTuple):
    status: int
    body: bytes | AsyncGenerator[bytes, None] = b""
    kind: str = "application/json"


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class BadRequest(Exception):
    """The bytes are not HTTP/1.1 as we speak it."""


def answer(value: object, status: int = 200) -> HttpResponse:
    return HttpResponse(status, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def phrase(status: int) -> str:
    return HTTPStatus(status).phrase


class HttpServer:
    """Listens until `close`; `active` counts the requests that have no complete answer yet."""

    def __init__(self, handler: Handler, began: Callable[[HttpRequest, int], None]) -> None:
        self.active = 0
        self._quiet = asyncio.Event()
        self._handler = handler
        self._began = began
        """Called when an answer begins, which is when uvicorn writes its access line."""
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError, with uvicorn's sentence, when the address is taken."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=_HEAD_LIMIT, backlog=2048)

    def close(self) -> None:
        """Refuse new connections; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def quiet(self) -> None:
        """Wait until no request is in progress."""
        while self.active:
            self._quiet.clear()
            await self._quiet.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except BadRequest:
            with contextlib.suppress(OSError):
                writer.write(
                    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
                    b"content-length: 30\r\n\r\nInvalid HTTP request received."
                )
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client is gone, and with it whoever could be told
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection may serve another."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.LimitOverrunError:
            raise BadRequest from None
        method, target, version, headers = _parsed(head)
        if "100-continue" in headers.get("expect", ""):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, headers)
        peer = writer.get_extra_info("peername") or ("", 0)

        def gone() -> bool:
            return writer.is_closing() or reader.at_eof()

        request = HttpRequest(method, target, headers, body, f"{peer[0]}:{peer[1]}", gone)
        self.active += 1
        try:
            response = await self._handler(request)
            self._began(request, response.status)
            keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
            await _send(writer, response, method == "HEAD", keep)
        finally:
            self.active -= 1
            self._quiet.set()
        return keep and not gone()


def _parsed(head: str) -> tuple[str, str, str, dict[str, str]]:
    first, *lines = head[:-4].split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0") or not words[0].isalpha():
        raise BadRequest
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest
        headers[name.lower()] = value.strip()
    return words[0], words[1], words[2], headers


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > _BODY_LIMIT:
        raise BadRequest
    return await reader.readexactly(int(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    total = 0
    while True:
        try:
            size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        except (ValueError, asyncio.LimitOverrunError):
            raise BadRequest from None
        total += size
        if size < 0 or total > _BODY_LIMIT:
            raise BadRequest
        parts.append((await reader.readexactly(size + 2))[:-2])
        if size == 0:
            return b"".join(parts)


async def _send(writer: asyncio.StreamWriter, response: HttpResponse, bodiless: bool, keep: bool) -> None:
    streamed = not isinstance(response.body, bytes)
    closing = "" if keep else "connection: close\r\n"
    length = "transfer-encoding: chunked" if streamed else f"content-length: {len(response.body)}"  # type: ignore[arg-type]
    head = (
        f"HTTP/1.1 {response.status} {phrase(response.status)}\r\nserver: uvicorn\r\n"
        f"content-type: {response.kind}\r\n{length}\r\n{closing}\r\n"
    )
    writer.write(head.encode("latin-1"))
    if isinstance(response.body, bytes):
        writer.write(b"" if bodiless else response.body)
        await writer.drain()
        return
    # Closed here and now, not when the collector comes by: its end is what aborts the request of a client that left.
    async with contextlib.aclosing(response.body) as parts:
        async for part in parts:
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()

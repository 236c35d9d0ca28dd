"""HTTP/1.1 over a unix socket for asyncio, by hand: the counterpart of `qvl.client.http`.

The usual client library takes as long to import and to set up as a fifth of the whole terminal interface. Here are one
request a connection, no redirects and no compression: it is for our own daemon only.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

PIECE = 65536
"""Bytes that one read takes at most."""


class Response:
    """The answer to one request; its body is read piece by piece.

    Reading raises OSError, EOFError where the peer ends early, ValueError where it speaks something else, and
    TimeoutError after `silence` seconds without a byte.
    """

    def __init__(self, reader: asyncio.StreamReader, silence: float | None) -> None:
        self._reader = reader
        self._silence = silence
        self.status = 0
        self.headers: dict[str, str] = {}

    async def read_head(self) -> None:
        _, _, status = (await self._line()).partition(b" ")
        self.status = int(status.partition(b" ")[0])
        while line := await self._line():
            name, _, value = line.partition(b":")
            self.headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()

    async def body(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body, in pieces that end anywhere."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await self._line()).partition(b";")[0], 16):
                async for piece in self._sized(size):
                    yield piece
                await self._line()
        elif "content-length" in self.headers:
            async for piece in self._sized(int(self.headers["content-length"])):
                yield piece
        else:
            while piece := await self._read(PIECE):
                yield piece

    async def _sized(self, left: int) -> AsyncGenerator[bytes, None]:
        while left > 0:
            piece = await self._read(min(left, PIECE))
            if not piece:
                raise EOFError("the connection ended in the middle of an answer")
            left -= len(piece)
            yield piece

    async def _read(self, most: int) -> bytes:
        async with asyncio.timeout(self._silence):
            return await self._reader.read(most)

    async def _line(self) -> bytes:
        """A line of the framing, without its end."""
        async with asyncio.timeout(self._silence):
            line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the connection ended in the middle of an answer")
        return line.rstrip(b"\r\n")


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(path: Path, timeout: float) -> Connection:
    """Raises OSError; TimeoutError is one."""
    async with asyncio.timeout(timeout):
        return await asyncio.open_unix_connection(path)


@asynccontextmanager
async def request(
    connection: Connection, method: str, target: str, payload: bytes | None, silence: float | None
) -> AsyncIterator[Response]:
    """Send a request over a fresh connection and read the head of its answer; the connection ends with the context.
    Raises what a Response does."""
    reader, writer = connection
    try:
        head = f"{method} {target} HTTP/1.1\r\nhost: qvl\r\nconnection: close\r\n"
        if payload is not None:
            head += f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n"
        writer.write(head.encode() + b"\r\n" + (payload or b""))
        async with asyncio.timeout(silence):
            await writer.drain()
        response = Response(reader, silence)
        await response.read_head()
        yield response
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

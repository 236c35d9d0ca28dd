"""Answers that go on: they end when the client leaves, when their source ends, or when the server closes.

A slow client holds up nothing but its own stream: writing waits for it (uvicorn's flow control), reading from the
source waits with it, and the source drops what it can't keep and says so with a `lost` frame. How long a client may be
stuck is the connection's business (qvl.api.protocol).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from qvl.api.control import Control
from qvl.model.event import Event, Frame, Heartbeat, Snapshot
from qvl.model.status import when

NDJSON = "application/x-ndjson"

Write = Callable[[bytes], Awaitable[None]]
Produce = Callable[[Write], Coroutine[None, None, None]]


class Streams:
    """The answers that go on right now, so that the server can end them before it closes."""

    def __init__(self) -> None:
        self._open: set[asyncio.Event] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    def end(self) -> None:
        """End all of them properly, and any that would begin from now on."""
        self._closed = True
        for over in self._open:
            over.set()

    @contextmanager
    def opened(self) -> Iterator[asyncio.Event]:
        over = asyncio.Event()
        if self._closed:
            over.set()
        self._open.add(over)
        try:
            yield over
        finally:
            self._open.discard(over)


class StreamResponse(Response):
    """Writes what `produce` writes until one side has had enough."""

    def __init__(
        self, streams: Streams, produce: Produce, media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._streams = streams
        self._produce = produce
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers({"cache-control": "no-store", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            with self._streams.opened() as over:
                await _until(over, partial(self._produce, write), partial(_gone, receive))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until(over: asyncio.Event, *work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Do all of `work` until the first of it is done or `over` is set; the rest is cancelled, or never begins."""

    async def first(part: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await part()
        finally:
            over.set()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(first(part)) for part in work]
        await over.wait()
        for task in tasks:
            task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def events(control: Control, since: int | None, heartbeat: float, *, changes: bool) -> Produce:
    """The lines of GET /v1/events: frames as they come, and a sign of life each `heartbeat` seconds."""
    encode = msgspec.json.Encoder().encode

    async def produce(write: Write) -> None:
        seq = since or 0

        async def put(frame: Frame) -> None:
            await write(encode(frame) + b"\n")

        async def beat() -> None:
            while True:
                await asyncio.sleep(heartbeat)
                await put(Heartbeat(when(time.time()), seq))

        frames = control.subscribe(since, changes=changes)
        try:
            async with asyncio.TaskGroup() as group:
                pulse = group.create_task(beat())
                async for frame in frames:
                    if isinstance(frame, Snapshot | Event):
                        seq = max(seq, frame.seq)  # remembered events come after the snapshot that counts them
                    await put(frame)
                pulse.cancel()
        finally:
            if isinstance(frames, AsyncGenerator):
                await frames.aclose()  # it is left between two frames where the client was the slow side

    return produce


def remembered(control: Control, since: int) -> Response:
    """The events that are remembered, once."""
    encode = msgspec.json.Encoder().encode
    lines = [encode(event) + b"\n" for event in control.events(since)]
    return Response(b"".join(lines), media_type=NDJSON, headers={"cache-control": "no-store"})

"""The daemon's side of a running shim: talk to it, and read what one left behind.

A connection goes through the bundle's descriptor, so a bundle's path may be longer than the 107 bytes of a unix
socket's address (unix(7)). It refuses to decide anything: whether a shim is adopted, stopped or forgotten is the
caller's business.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from typing import Literal, TypeVar

import msgspec

from qvl.shim import wire
from qvl.shim.launch import ShimError, launch
from qvl.shim.records import ExitRecord, Push, ShimRecord, State, TreeProcess

__all__ = ["Scope", "ShimError", "ShimLink", "attach", "launch", "read_exit", "read_record"]

log = logging.getLogger(__name__)

T = TypeVar("T")

Scope = Literal["root", "group", "tree"]
Path = str | os.PathLike[str]

REQUEST_TIMEOUT = 2.0


async def attach(bundle: Path, *, timeout: float = REQUEST_TIMEOUT) -> ShimLink:
    """Connect to the shim of a bundle; ShimError where none listens or it stays mute for `timeout` seconds."""
    loop = asyncio.get_running_loop()
    try:
        directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ShimError(f"no shim in {os.fspath(bundle)}: {error.strerror}", error.errno) from None
    link = ShimLink(os.fspath(bundle))
    try:
        async with asyncio.timeout(timeout):
            await loop.create_unix_connection(lambda: link, f"/proc/self/fd/{directory}/{wire.SOCKET_NAME}")
            await link.greeted()
    except OSError as error:
        await link.close()
        reason = "it stays mute" if isinstance(error, TimeoutError) else error.strerror
        raise ShimError(f"no shim answers in {link.bundle}: {reason}", error.errno) from None
    except BaseException:
        await link.close()
        raise
    finally:
        os.close(directory)
    return link


class ShimLink(asyncio.Protocol):
    """One connection to one shim. Made by `attach`; ends with `close`, or when the shim does."""

    state: State
    """What the shim said on connecting; later news come by `messages`."""

    def __init__(self, bundle: str) -> None:
        self.bundle = bundle
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = bytearray()
        self._pushes: asyncio.Queue[Push | None] = asyncio.Queue()
        self._greeting: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._replies: dict[int, asyncio.Future[bytes]] = {}
        self._requests = 0
        self._closed = asyncio.Event()

    async def signal(self, sig: int, scope: Scope = "root") -> None:
        """Send a signal to the root process, to its process group, or to every process of its tree."""
        await self._request({"op": "signal", "signal": int(sig), "scope": scope})

    async def kill(self) -> None:
        """Have the whole tree killed, again and again until it is empty; `Gone` tells when that is."""
        await self._request({"op": "kill"})

    async def tree(self) -> list[TreeProcess]:
        """Every process below the shim, zombies included."""
        return self._decode(await self._request({"op": "tree"}), _TreeReply).processes

    async def set_logs(self, max_size: int, keep: int) -> None:
        """Change the size in bytes at which log segments end, and how many finished ones stay."""
        await self._request({"op": "logs", "max_size": max_size, "keep": keep})

    async def refresh(self) -> State:
        """Ask for the state anew; it is also kept in `state`."""
        self.state = self._decode(await self._request({"op": "state"}), State)
        return self.state

    async def record(self) -> ShimRecord:
        """What the bundle's shim.json says, or would if its disk weren't full; ShimError from a shim that is older."""
        return self._decode(await self._request({"op": "record"}), ShimRecord)

    async def messages(self) -> AsyncIterator[Push]:
        """What the shim pushes, in order, until the connection ends. For one reader."""
        while (push := await self._pushes.get()) is not None:
            yield push
        self._pushes.put_nowait(None)

    async def close(self) -> None:
        """End the connection; the shim and its worker go on."""
        if self._transport is not None:
            self._transport.close()
            await self._closed.wait()
        self._greeting.cancel()

    async def greeted(self) -> None:
        """Wait for the first message; ConnectionError if the shim hangs up or greets with something else."""
        self.state = await self._greeting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            try:
                self._take(bytes(line))
            except ValueError as error:  # msgspec's errors are, and the UTF-8 decoder's
                log.warning("dropped a message of the shim in %s: %s", self.bundle, error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()
        self._pushes.put_nowait(None)
        if not self._greeting.done():
            self._greeting.set_exception(ConnectionResetError(None, "it hung up"))
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(ShimError(f"the shim in {self.bundle} hung up"))

    def _take(self, line: bytes) -> None:
        head = msgspec.json.decode(line, type=_Head)
        if head.id is not None:
            reply = self._replies.get(head.id)
            if reply is not None and not reply.done():
                reply.set_result(line)
        elif head.type == "state":
            if not self._greeting.done():
                self._greeting.set_result(msgspec.json.decode(line, type=State))
        elif head.type in _PUSHES:
            self._pushes.put_nowait(msgspec.json.decode(line, type=Push))
        elif head.error is not None:
            log.warning("the shim in %s refused a request: %s", self.bundle, head.error)

    async def _request(self, request: dict[str, object]) -> bytes:
        if self._transport is None or self._transport.is_closing():
            raise ShimError(f"not connected to the shim in {self.bundle}")
        self._requests += 1
        number = self._requests
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        self._transport.write(wire.encode({"id": number, **request}))
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                line = await reply
        except TimeoutError:
            raise ShimError(f"the shim in {self.bundle} did not answer {request['op']} in time") from None
        finally:
            del self._replies[number]
        head = self._decode(line, _Head)
        if not head.ok:
            raise ShimError(head.error or f"the shim refused {request['op']}")
        return line

    def _decode(self, line: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(line, type=kind)
        except ValueError as error:
            raise ShimError(f"the shim in {self.bundle} answers in an unknown way: {error}") from None


def read_record(bundle: Path) -> ShimRecord | None:
    """The bundle's shim.json; None, with the reason in the log, where there is none that can be understood."""
    return _read(os.path.join(bundle, wire.RECORD_NAME), ShimRecord)


def read_exit(bundle: Path) -> ExitRecord | None:
    """The bundle's exit.json; None, with the reason in the log, where there is none that can be understood."""
    return _read(os.path.join(bundle, wire.EXIT_NAME), ExitRecord)


class _Head(msgspec.Struct):
    """The fields by which a line from a shim is told apart."""

    id: int | None = None
    type: str = ""
    ok: bool = False
    error: str | None = None


class _TreeReply(msgspec.Struct):
    processes: list[TreeProcess]


_PUSHES = ("exited", "gone", "lost")


def _read(path: str, kind: type[T]) -> T | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("cannot read %s: %s", path, error)
        return None

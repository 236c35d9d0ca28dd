"""The daemon's side of a shim: launch one, attach to one, read what one left behind.

Launching is a bare posix_spawn whose child is reaped through a pidfd. asyncio's own subprocesses do not fit: their
transports kill the child when they are closed or collected, and a shim must outlive the daemon. Attaching goes through
the directory's descriptor, so a bundle's path may be longer than the 107 bytes of a unix socket's address (unix(7)).

It refuses to decide anything: whether a shim is adopted, stopped or forgotten is the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from typing import Literal, TypeVar

import msgspec

from qvl.shim import wire
from qvl.shim.records import Answer, Bootstrap, ExitRecord, Push, ShimRecord, State, TreeProcess

__all__ = ["Scope", "ShimError", "ShimLink", "attach", "launch", "read_exit", "read_record"]

log = logging.getLogger(__name__)

Scope = Literal["root", "group", "tree"]
Path = str | os.PathLike[str]

REQUEST_TIMEOUT = 2.0
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PROGRAM = f"import sys; sys.path.append({_ROOT!r}); from qvl.shim.main import main; main()"


class ShimError(Exception):
    """A shim refused, could not be reached, or did not answer in time. The message is a sentence."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.errno = errno
        """What the kernel said, where the failure is its: ENOENT for a missing interpreter, and so on."""


async def launch(bootstrap: Bootstrap, *, python: str = sys.executable, timeout: float = 10) -> Answer:
    """Start a shim and its worker; return once the worker has executed its program.

    Raises ShimError if the shim or the worker cannot start, or after `timeout` seconds; then nothing of it is left
    running: a shim whose answer nobody takes ends its worker. A cancelled launch may leave a worker, which is found by
    its bundle.
    """
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        with theirs:
            pid = _spawn(python, bootstrap, theirs)
        _reap_when_ended(loop, pid)
        try:
            async with asyncio.timeout(timeout):
                await loop.sock_sendall(ours, wire.encode(msgspec.structs.asdict(bootstrap)))
                line = await _read_line(loop, ours)
        except TimeoutError:
            line = _last_word(ours)
            if not line:
                raise ShimError(f"the shim of {bootstrap.worker} did not answer within {timeout:g} s") from None
        except OSError:  # it ended while we wrote; what it said before is still there
            line = _last_word(ours)
    return _parse_answer(line, bootstrap)


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
        return msgspec.json.decode(await self._request({"op": "tree"}), type=_TreeReply).processes

    async def set_logs(self, max_size: int, keep: int) -> None:
        """Change the size in bytes at which log segments end, and how many finished ones stay."""
        await self._request({"op": "logs", "max_size": max_size, "keep": keep})

    async def refresh(self) -> State:
        """Ask for the state anew; it is also kept in `state`."""
        self.state = msgspec.json.decode(await self._request({"op": "state"}), type=State)
        return self.state

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
            except msgspec.DecodeError as error:
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
        head = msgspec.json.decode(line, type=_Head)
        if not head.ok:
            raise ShimError(head.error or f"the shim refused {request['op']}")
        return line


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
    errno: int | None = None


class _TreeReply(msgspec.Struct):
    processes: list[TreeProcess]


_PUSHES = ("exited", "gone", "lost")


T = TypeVar("T")


def _read(path: str, kind: type[T]) -> T | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # msgspec's and the UTF-8 decoder's errors are ValueErrors
        log.warning("cannot read %s: %s", path, error)
        return None


def _spawn(python: str, bootstrap: Bootstrap, channel: socket.socket) -> int:
    """Start the shim's interpreter with `channel` as its stdin and stdout; its environment holds nothing of ours."""
    argv = [python, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, bootstrap.worker]
    try:
        errors = os.open(
            os.path.join(bootstrap.bundle, wire.ERROR_NAME),
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
            0o600,
        )
    except OSError as error:
        raise ShimError(f"bundle {bootstrap.bundle} cannot be written: {error.strerror}", error.errno) from None
    actions = [
        (os.POSIX_SPAWN_DUP2, channel.fileno(), 0),
        (os.POSIX_SPAWN_DUP2, channel.fileno(), 1),
        (os.POSIX_SPAWN_DUP2, errors, 2),
    ]
    try:
        return os.posix_spawn(python, argv, {}, file_actions=actions, setsid=True, setsigmask=())
    except OSError as error:
        raise ShimError(f"cannot run {python} for the shim: {error.strerror}", error.errno) from None
    finally:
        os.close(errors)


def _reap_when_ended(loop: asyncio.AbstractEventLoop, pid: int) -> None:
    """Have the loop take the shim's exit status, which says nothing, so that no zombie stays while the daemon lives."""
    try:
        watch = os.pidfd_open(pid)
    except OSError:  # a kernel before 5.3, or a sandbox that refuses the call
        _reap_by_polling(loop, pid)
        return

    def reap() -> None:
        loop.remove_reader(watch)
        os.close(watch)
        with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored here: the kernel has reaped it
            os.waitpid(pid, 0)

    loop.add_reader(watch, reap)


def _reap_by_polling(loop: asyncio.AbstractEventLoop, pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            loop.call_later(1, _reap_by_polling, loop, pid)


async def _read_line(loop: asyncio.AbstractEventLoop, channel: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = await loop.sock_recv(channel, wire.MAX_LINE)
        if not part:
            break
        line += part
    return line


def _last_word(channel: socket.socket) -> bytes:
    """Refuse further answers, then take one that was already given: the shim knows for certain which it was."""
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)
    try:
        return channel.recv(wire.MAX_LINE)
    except OSError:
        return b""


def _parse_answer(line: bytes, bootstrap: Bootstrap) -> Answer:
    try:
        head = msgspec.json.decode(line, type=_Head)
        if head.ok:
            return msgspec.json.decode(line, type=Answer)
    except ValueError:
        where = os.path.join(bootstrap.bundle, wire.ERROR_NAME)
        raise ShimError(f"the shim of {bootstrap.worker} ended without an answer; see {where}") from None
    raise ShimError(head.error or "the shim refused without saying why", head.errno)

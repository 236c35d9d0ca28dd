"""Starts a shim, which starts a worker, and waits for its one answer.

A bare posix_spawn whose child is reaped through a pidfd: asyncio's own subprocesses do not fit, because their
transports kill the child when they are closed or collected, and a shim must outlive the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys

import msgspec

from qvl.host.crashpoint import crash_point
from qvl.shim import wire
from qvl.shim.records import Answer, Bootstrap

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
        crash_point("before the shim gets its order")
        _reap_when_ended(loop, pid)
        try:
            async with asyncio.timeout(timeout):
                await loop.sock_sendall(ours, wire.encode(msgspec.structs.asdict(bootstrap)))
                crash_point("before the shim has answered")
                line = await _read_line(loop, ours)
        except TimeoutError:
            line = _last_word(ours)
            if not line:
                raise ShimError(f"the shim of {bootstrap.worker} did not answer within {timeout:g} s") from None
        except OSError:  # it ended while we wrote; what it said before is still there
            line = _last_word(ours)
    return _parse_answer(line, bootstrap)


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
        head = msgspec.json.decode(line, type=_Outcome)
        if head.ok:
            return msgspec.json.decode(line, type=Answer)
    except ValueError:
        where = os.path.join(bootstrap.bundle, wire.ERROR_NAME)
        raise ShimError(f"the shim of {bootstrap.worker} ended without an answer; see {where}") from None
    raise ShimError(head.error or "the shim refused without saying why", head.errno)


class _Outcome(msgspec.Struct):
    """The fields that tell whether there is an answer."""

    ok: bool
    error: str | None = None
    errno: int | None = None

"""The two sockets on disk: who may connect is settled here, before a byte of HTTP is read.

We bind them ourselves because a server library would create them with its own mode (uvicorn: 0666) and would remove
whatever lies at the path. This module never removes a socket that answers, nor a file that is not a socket.
"""

import errno
import fcntl
import grp
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qvl.api.peer import credentials
from qvl.model.error import ErrorCode, QvlError

MAX_PATH = 107
"""Bytes of a unix socket's path: `sun_path` holds 108 with the closing NUL (unix(7))."""
MODE = 0o660
BACKLOG = 1024
"""More than are ever served at once: a full backlog answers EAGAIN, which asyncio clients take for a connection."""
_LOCK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """The group that may connect. A `configured` one must exist; the default one may be missing."""

    name: str
    configured: bool = False

    def gid(self) -> int | None:
        """Raises QvlError where a configured group does not exist."""
        try:
            return grp.getgrnam(self.name).gr_gid
        except KeyError:
            if not self.configured:
                return None
            raise QvlError(
                ErrorCode.REFUSED,
                f'group "{self.name}" does not exist on this host',
                f"groupadd --system {self.name}, or name another one in [supervisor]",
            ) from None


@dataclass(slots=True)
class Listener:
    """A listening socket, and which inode it is, so that only our own is ever unlinked."""

    path: Path
    sock: socket.socket
    group: str
    gid: int | None
    notes: list[str] = field(default_factory=list)
    """What the operator should know, though it stopped nothing."""
    inode: tuple[int, int] = (0, 0)

    def close(self) -> None:
        """Stop listening and remove the path, unless somebody else has put theirs there. May be called twice."""
        self.sock.close()
        try:
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self.inode:
                os.unlink(self.path)
        except OSError:
            pass  # gone already, or its directory is: the next start clears what is left
        self.inode = (0, 0)


def listen(path: Path, group: Group) -> Listener:
    """Listen on `path`, for the owner and `group`. Raises QvlError with a sentence for whatever is in the way."""
    check_length(path)
    gid = group.gid()
    _make_directory(path.parent)
    with _one_at_a_time(path.parent):
        _clear(path)
        listener = _bind(path, group.name, gid)
    if gid is None:
        listener.notes.append(
            f'group "{group.name}" does not exist, so only root and the owner can use {path}: groupadd {group.name}'
        )
    return listener


def check_length(path: Path) -> None:
    """Raises QvlError for a path that the kernel would refuse with a riddle."""
    size = len(os.fsencode(path))
    if size > MAX_PATH:
        raise QvlError(
            ErrorCode.REFUSED,
            f"socket path {path} has {size} bytes, the kernel takes {MAX_PATH}",
            "name a shorter one with --socket or QVL_SOCKET",
        )


def _make_directory(directory: Path) -> None:
    """0755: two groups must get through it to two sockets, and each socket says for itself who may connect."""
    try:
        missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)  # whatever our umask is
    except OSError as error:
        raise _denied(directory, "make", error) from error


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Two daemons that start together must not each take the other's socket, bound but not yet listening, for a stale
    one. The lock is a courtesy: whoever can read the directory could hold it, so it is not waited for long."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # not readable for us, which does not keep us from binding in it
        yield
        return
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while time.monotonic() < deadline:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises QvlError for anything else that lies there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _denied(path, "look at", error) from error
    if not stat.S_ISSOCK(mode):
        raise QvlError(
            ErrorCode.CONFLICT,
            f"{path} is there and is not a socket",
            "move it away, or name another path with --socket",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog answers EAGAIN instead of keeping us
        try:
            probe.connect(os.fspath(path))
            _, _, pid = credentials(probe)
            raise _taken(path, f" by pid {pid}")
        except ConnectionRefusedError:
            pass
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EPROTOTYPE):
                raise _taken(path, "") from error
            raise _denied(path, "try", error) from error
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _denied(path, "remove the stale socket", error) from error


def _bind(path: Path, group: str, gid: int | None) -> Listener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the new file the mode of the unbound socket, less the umask: there is no moment in which it is
        # open to more than its owner, and the umask, which all threads share, is left alone.
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(os.fspath(path))
        made = os.lstat(path)
        listener = Listener(path, sock, group, gid, inode=(made.st_dev, made.st_ino))
        if gid is not None:
            _give(listener, gid)
        os.chmod(path, MODE)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return listener
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(path, "") from error
        raise _denied(path, "bind", error) from error


def _give(listener: Listener, gid: int) -> None:
    """Root may give a file to any group, others only to their own."""
    try:
        os.chown(listener.path, -1, gid, follow_symlinks=False)
    except PermissionError:
        listener.gid = None
        listener.notes.append(
            f'can\'t give {listener.path} to group "{listener.group}": run qvl-supervisor as root or as a member of it'
        )


def _taken(path: Path, whose: str) -> QvlError:
    return QvlError(
        ErrorCode.CONFLICT,
        f"{path} is already served{whose}",
        "stop that one first, or name another path with --socket",
    )


def _denied(path: Path, verb: str, error: OSError) -> QvlError:
    reason = (error.strerror or str(error)).lower()
    return QvlError(
        ErrorCode.REFUSED,
        f"can't {verb} {path}: {reason}" if verb != "bind" else f"can't bind {path}: {reason}",
        "name a path in a directory that you may write with --socket or QVL_SOCKET",
    )

"""Who is at the other end of a unix socket, by the kernel's word alone, and what they may do.

Nothing that a client says about itself is believed. Of its process only the short name is read (/proc/PID/comm): a
command line can hold secrets, and what is read here ends in logs and events.
"""

import errno
import os
import pwd
import socket
import struct
from asyncio import to_thread
from asyncio.trsock import TransportSocket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from qvl.api.control import Actor, Role
from qvl.model.error import ErrorCode, QvlError

SO_PEERGROUPS = 59
"""socket(7) of Linux 4.13 and later; Python's socket module does not name it."""
_UCRED = struct.Struct("iII")
_PYTHON_LIMIT = 1024
"""socket.getsockopt refuses larger buffers: 256 groups."""


@dataclass(frozen=True, slots=True)
class Access:
    """What it takes to act: root, the daemon's own user, or membership of the operator group."""

    group: str
    gid: int | None
    """None: the group does not exist on this host."""
    uid: int
    """The daemon's own."""

    def role(self, uid: int, groups: frozenset[int]) -> Role:
        if uid in (0, self.uid) or (self.gid is not None and self.gid in groups):
            return Role.OPERATOR
        return Role.VIEWER

    def refusal(self, actor: Actor) -> QvlError:
        """Why `actor` may not act, and the command that mends it."""
        user = actor.user or str(actor.uid)
        join = f"sudo usermod -aG {self.group} {user}, then log in anew"
        if self.gid is None:
            message = f'{user} (uid {actor.uid}) may look but not act: group "{self.group}" does not exist on this host'
            return QvlError(
                ErrorCode.FORBIDDEN,
                message,
                f"sudo groupadd --system {self.group} && {join}; sudo qvlctl daemon restart",
            )
        message = f'{user} (uid {actor.uid}) may look but not act: not in group "{self.group}"'
        return QvlError(ErrorCode.FORBIDDEN, message, join)


def credentials(sock: socket.socket | TransportSocket) -> tuple[int, int, int]:
    """(uid, gid, pid) of the peer as it was when it connected (on a client's side: when the server listened)."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid, gid, pid


def supplementary_groups(sock: socket.socket | TransportSocket) -> frozenset[int]:
    """The peer's groups beside its gid; empty where the kernel can't tell."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _PYTHON_LIMIT)
    except OSError as error:
        if error.errno != errno.ERANGE:
            return frozenset()
        raw = _many_groups(sock.fileno())
    return unpack_groups(raw)


def unpack_groups(raw: bytes) -> frozenset[int]:
    """An array of gid_t, 32 bits each in the byte order of this host."""
    return frozenset(struct.unpack(f"={len(raw) // 4}I", raw[: len(raw) // 4 * 4]))


def _many_groups(fd: int) -> bytes:
    """The same option for a peer with more than 256 groups, which Python's own call can't hold."""
    import ctypes  # rare, and it costs a megabyte

    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_uint32(0)
    # With no room at all the kernel says how much it wants (ERANGE, and the length in `size`).
    libc.getsockopt(fd, socket.SOL_SOCKET, SO_PEERGROUPS, None, ctypes.byref(size))
    room = ctypes.create_string_buffer(size.value)
    if libc.getsockopt(fd, socket.SOL_SOCKET, SO_PEERGROUPS, room, ctypes.byref(size)) != 0:
        return b""
    return room.raw[: size.value]


def actor_of(sock: socket.socket | TransportSocket, access: Access, *, view: bool) -> Actor:
    """The peer of an accepted connection. On the view socket everyone is a viewer."""
    uid, gid, pid = credentials(sock)
    role = Role.VIEWER if view else access.role(uid, supplementary_groups(sock) | {gid})
    return Actor(uid=uid, gid=gid, pid=pid, role=role, command=command_name(pid))


def command_name(pid: int) -> str:
    """The process's own short name, without anything that could forge a log line; empty where it can't be read."""
    try:
        raw = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").rstrip("\n")
    except OSError:
        return ""
    return "".join(char if char.isprintable() else "?" for char in raw)[:200]


async def named(actor: Actor) -> Actor:
    """`actor` with its user's name. In a thread: the name may come from a directory server that does not answer."""
    return msgspec.structs.replace(actor, user=await to_thread(user_name, actor.uid))


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def own_access(group: str, gid: int | None) -> Access:
    """The rule of this process: its own user may always act."""
    return Access(group, gid, os.geteuid())

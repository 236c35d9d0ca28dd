"""Who holds a TCP port, by /proc: the kernel's word, no guess by name."""

import errno
import os
import pwd
import socket
from pathlib import Path
from typing import NamedTuple

import msgspec

LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp (include/net/tcp_states.h)."""


class PortHolder(msgspec.Struct, frozen=True):
    pid: int | None
    command: str = ""
    user: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return "a process that can't be seen from here"
        return f"pid {self.pid} ({self.command}{', ' + self.user if self.user else ''})"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. SO_REUSEADDR as servers set it: connections that linger don't count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:  # refused where the kernel has no IPv6
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host or "0.0.0.0", port))
            probe.listen(1)
    except OSError as error:
        return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True


def listening_inodes(port: int) -> set[int]:
    """Inodes of the sockets that listen on `port`, on any address."""
    inodes: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(int(fields[9]))
    return inodes


class Holding(NamedTuple):
    """A process's descriptor of a socket, by its place in /proc."""

    path: str
    target: str

    def still(self) -> bool:
        """Whether it is open yet."""
        try:
            return os.readlink(self.path) == self.target
        except OSError:
            return False


def holding(pid: int, inodes: set[int]) -> Holding | None:
    """Which of these sockets process `pid` has open; None for none, and where it is gone or may not be looked into."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                try:
                    target = os.readlink(entry.path)
                except OSError:
                    continue
                if target in wanted:
                    return Holding(entry.path, target)
    except OSError:
        return None
    return None


def holder(port: int) -> PortHolder | None:
    """Who listens on `port`; None when nobody does."""
    inodes = listening_inodes(port)
    if not inodes:
        return None
    for entry in os.listdir("/proc"):
        if entry.isdigit() and holding(int(entry), inodes) is not None:
            return PortHolder(int(entry), command_of(int(entry)), user_of(int(entry)))
    return PortHolder(None)


def command_of(pid: int) -> str:
    """The kernel's short name of a process: arguments may hold secrets. It is cut after 15 bytes, maybe in a letter."""
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().decode(errors="replace").strip()
    except OSError:
        return ""


def user_of(pid: int) -> str:
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
        return pwd.getpwuid(uid).pw_name
    except (OSError, KeyError):
        return ""

"""The words that a shim and a daemon exchange, and the names under which a bundle keeps them.

Both sides import this module, so it costs the shim nothing beyond `json`, which the shim needs anyway. It knows how a
message becomes a line and a file; what the messages say is defined once, in `records`, which only the daemon imports.
It refuses to know about sockets, clocks or processes.

A message is one JSON object on one line. Both sides ignore fields that they do not know, so that a daemon may talk to
a shim that was started by an older or a newer one.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False  # what `typing` exports under this name, without the 0.8 MiB that importing it costs a shim
if TYPE_CHECKING:
    from collections.abc import Mapping

    Json = dict[str, object]

PROTOCOL_VERSION = 1

MAX_LINE = 64 * 1024
"""Longest request, in bytes. A peer that sends a longer one does not speak this protocol."""

SOCKET_NAME = "shim.sock"
RECORD_NAME = "shim.json"
EXIT_NAME = "exit.json"
RUNS_NAME = "runs"
ERROR_NAME = "shim.err"


def encode(message: Mapping[str, object]) -> bytes:
    """One line, in ASCII: a lone surrogate stands for a byte of an argument that is not UTF-8, and must survive."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Json:
    """Read one line; ValueError says in a sentence why it is no message."""
    try:
        message = json.loads(line)
    except RecursionError:
        raise ValueError("message is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"message is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ValueError(f"message is not a JSON object but {type(message).__name__}")
    return message


def text(message: Json, key: str) -> str:
    """A field that must be a string; ValueError names it otherwise."""
    value = message.get(key)
    if not isinstance(value, str):
        raise ValueError(f"message lacks the text {key!r}")
    return value


def number(message: Json, key: str, least: int = 0) -> int:
    """A field that must be an integer of at least `least`; ValueError names it otherwise."""
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"message lacks the number {key!r}, of at least {least}")
    return value


def write_atomic(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace a file, so that a reader sees the old text or the new one and never a part. OSError as it comes.

    Nothing is synced: these records speak of processes, which a power loss ends as well, and a sync would hold up
    the drain of a worker's output behind a busy disk.
    """
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise

"""Blocking HTTP/1.1 over a unix socket, by hand.

Importing http.client (with email and ssl behind it) takes longer than all the rest of `qvlctl status`, so the little
that is needed is written out: one request a connection, no redirects, no compression. It is for our own daemon only.
"""

from __future__ import annotations

import errno
import os
import socket

LONGEST_PATH = 107
"""Bytes that fit into sockaddr_un."""
PATIENCE = 60.0
"""Seconds that one read may take unless said otherwise; planning reads the engine's flags, maybe from a slow disk."""


class Response:
    """The answer to one request; its body is read piece by piece.

    A TimeoutError of any read leaves everything in place: the same call may be made again.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._raw = bytearray()
        """Received, not yet taken."""
        self._text = bytearray()
        """Taken out of its framing, not yet handed over as lines."""
        self._left: int | None = None
        """Bytes of the body, or of the current chunk, still to come; None: until the connection ends."""
        self._chunked = False
        self._ended = False
        self.status = int(self._line().split(None, 2)[1])
        self.headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(b":")
            self.headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            self._chunked, self._left = True, 0
        elif "content-length" in self.headers:
            self._left = int(self.headers["content-length"])

    def piece(self, timeout: float | None = PATIENCE) -> bytes:
        """The next bytes of the body; empty at its end. Raises EOFError where the peer ended early."""
        self._socket.settimeout(timeout)
        if self._chunked and self._left == 0 and not self._ended:
            while not (line := self._line()):
                pass  # the line end that closes the chunk before
            self._left = int(line.partition(b";")[0], 16)
            self._ended = self._left == 0
        if self._ended or self._left == 0:
            self._ended = True
            return b""
        if not self._raw and not self._fill():
            if self._left is None:
                self._ended = True
                return b""
            raise EOFError("the connection ended in the middle of an answer")
        size = len(self._raw) if self._left is None else min(len(self._raw), self._left)
        piece = bytes(self._raw[:size])
        del self._raw[:size]
        if self._left is not None:
            self._left -= size
        return piece

    def body(self) -> bytes:
        return b"".join(iter(self.piece, b""))

    def line(self, timeout: float | None = PATIENCE) -> bytes:
        """The next line with its line end; at the end of the body what is left, then empty."""
        searched = 0
        while (end := self._text.find(b"\n", searched)) < 0:
            searched = len(self._text)
            piece = self.piece(timeout)
            if not piece:
                end = searched - 1
                break
            self._text += piece
        line = bytes(self._text[: end + 1])
        del self._text[: end + 1]
        return line

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _fill(self) -> bool:
        data = self._socket.recv(65536)
        self._raw += data
        return bool(data)

    def _line(self) -> bytes:
        """A line of the framing, without its end."""
        while (end := self._raw.find(b"\n")) < 0:
            if not self._fill():
                raise EOFError("the connection ended in the middle of an answer")
        line = bytes(self._raw[:end]).rstrip(b"\r")
        del self._raw[: end + 1]
        return line


def connect(path: str) -> socket.socket:
    """A connection to the unix socket at `path`. Raises OSError."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, f"a socket's path has at most {LONGEST_PATH} bytes")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(PATIENCE)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def request(connection: socket.socket, method: str, target: str, payload: bytes | None = None) -> Response:
    """Sends a request and reads the head of its answer. Raises OSError, EOFError or ValueError."""
    head = f"{method} {target} HTTP/1.1\r\nhost: qvl\r\nconnection: close\r\n"
    if payload is not None:
        head += f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n"
    connection.sendall(head.encode() + b"\r\n" + (payload or b""))
    return Response(connection)

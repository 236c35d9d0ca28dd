"""HTTP by hand, as curl and worse clients speak it."""

import contextlib
import json
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are the running user's alone."""
    with tempfile.TemporaryDirectory(prefix="qvl-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def error(self) -> tuple[str, str]:
        """(code, message) of our one error body."""
        assert self.headers["content-type"] == "application/json", self
        error = self.json["error"]
        assert isinstance(error, dict)
        assert set(error) == {"code", "message", "hint"}
        return str(error["code"]), str(error["message"])


def connect(path: Path, timeout: float = 10) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(str(path))
    return sock


def request_bytes(method: str, target: str, body: bytes | None = None, *extra: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "host: qvl", *extra]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def ask(path: Path, method: str, target: str, body: bytes | None = None, *, timeout: float = 10) -> Answer:
    with connect(path, timeout) as sock:
        sock.sendall(request_bytes(method, target, body, "connection: close"))
        raw = read_all(sock)
    if method == "HEAD":
        raw = raw.replace(b"Transfer-Encoding: chunked\r\n", b"")  # announced, and rightly not there
    return parse(raw)


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the end, or up to the reset by which a server ends that has not read all that we sent."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return bytes(data)


def parse(raw: bytes) -> Answer:
    """The one answer that `raw` holds."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    if headers.get("transfer-encoding") == "chunked":
        body = dechunk(body)
    return Answer(int(first.split()[1]), headers, body)


def dechunk(raw: bytes) -> bytes:
    """Fails where the closing chunk is missing: an answer that broke off must not pass for a whole one."""
    out = bytearray()
    while True:
        size, found, raw = raw.partition(b"\r\n")
        assert found, "the answer broke off"
        length = int(size, 16)
        if length == 0:
            return bytes(out)
        out += raw[:length]
        raw = raw[length + 2 :]

"""The shim's control socket: JSON lines in both directions, to any number of daemons and none.

A peer that does not read is dropped, a peer that talks nonsense is told so and dropped: nothing a client does may hold
up the drain of the worker's output. What requests mean is the owner's business; this module only carries them.
"""

from __future__ import annotations

import os

# Not `socket`, which costs every shim 0.4 MiB: see `poll`.
from _socket import AF_UNIX
from _socket import socket as Socket

from qvl.shim import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qvl.shim.poll import Poller
    from qvl.shim.wire import Json

MAX_UNSENT = 64 * 1024
"""Bytes kept for a peer beyond what the kernel takes."""
MAX_CLIENTS = 64
"""A shim needs one; the limit keeps a leak of some client from using up our descriptors."""
TAKEOVER = 1.0
"""Seconds that a shim whose worker is gone has to leave the bundle to its successor."""


class RequestError(Exception):
    """A request that cannot be done; the message is a sentence for whoever asked."""


class Server:
    """Listens in the current directory: relative names keep a unix socket's address below its 107 bytes."""

    def __init__(
        self,
        poller: Poller,
        greet: Callable[[], Json],
        handle: Callable[[Json], Json],
    ) -> None:
        self._poller = poller
        self._greet = greet
        self._handle = handle
        self._listener = Socket(AF_UNIX)
        self._clients: set[Client] = set()

    def listen(self) -> None:
        """Take the bundle's socket; RequestError if a shim with a living worker has it, OSError as it comes."""
        _ask_to_leave()
        if os.path.lexists(wire.SOCKET_NAME):
            os.unlink(wire.SOCKET_NAME)
        self._listener.bind(wire.SOCKET_NAME)
        os.chmod(wire.SOCKET_NAME, 0o600)
        self._listener.listen(MAX_CLIENTS)
        self._listener.setblocking(False)
        self._poller.watch(self._listener.fileno(), self._accept)

    @property
    def unsent(self) -> bool:
        """Whether some client has not taken all that was said to it."""
        return any(client.unsent for client in self._clients)

    def broadcast(self, message: Json) -> None:
        """Tell every client."""
        line = wire.encode(message)
        for client in list(self._clients):
            client.send(line)

    def stop_listening(self) -> None:
        """Take no more clients; the bundle's socket is free for another shim."""
        if self._listener.fileno() >= 0:
            self._poller.forget(self._listener.fileno())
            self._listener.close()
            if os.path.lexists(wire.SOCKET_NAME):
                os.unlink(wire.SOCKET_NAME)

    def close(self) -> None:
        """Hang up on everyone and remove the socket. What the kernel has taken still reaches its reader."""
        self.stop_listening()
        for client in list(self._clients):
            client.close()

    def _accept(self, _readable: bool, _writable: bool) -> None:
        try:
            fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # what socket.accept wraps
        except OSError:  # it gave up meanwhile, or no descriptor is left
            return
        peer = Socket(fileno=fd)
        if len(self._clients) >= MAX_CLIENTS:
            peer.close()
            return
        client = Client(peer, self._poller, self._handle, self._clients)
        client.send(wire.encode(self._greet()))


class Client:
    """One connection."""

    def __init__(
        self,
        peer: Socket,
        poller: Poller,
        handle: Callable[[Json], Json],
        clients: set[Client],
    ) -> None:
        self._peer = peer
        self._poller = poller
        self._handle = handle
        self._clients = clients
        self.unsent = b""
        self._received = b""
        peer.setblocking(False)
        poller.watch(peer.fileno(), self._on_event)
        clients.add(self)

    def send(self, data: bytes) -> None:
        """Send what goes out now and keep the rest, up to a limit."""
        if self not in self._clients:
            return
        data = self.unsent + data
        try:
            data = data[self._peer.send(data) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if len(data) > MAX_UNSENT:
            self.close()
            return
        if bool(data) != bool(self.unsent):
            self._poller.want_write(self._peer.fileno(), bool(data))
        self.unsent = data

    def close(self) -> None:
        """Hang up."""
        if self in self._clients:
            self._clients.remove(self)
            self._poller.forget(self._peer.fileno())
            self._peer.close()

    def _on_event(self, readable: bool, writable: bool) -> None:
        if writable:
            self.send(b"")
        if readable and self in self._clients:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._peer.recv(wire.MAX_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._answer(line)
        if len(self._received) > wire.MAX_LINE:
            self._refuse(f"a request may have {wire.MAX_LINE} bytes, this one has more")

    def _answer(self, line: bytes) -> None:
        if self not in self._clients:
            return
        try:
            if len(line) > wire.MAX_LINE:
                raise ValueError(f"a request may have {wire.MAX_LINE} bytes, this one has {len(line)}")
            request = wire.decode(line)
        except ValueError as error:
            self._refuse(str(error))
            return
        reply: Json = {"id": request["id"]} if "id" in request else {}
        try:
            self.send(wire.encode({**reply, "ok": True, **self._handle(request)}))
        except RequestError as error:
            self.send(wire.encode({**reply, "ok": False, "error": str(error)}))

    def _refuse(self, reason: str) -> None:
        self.send(wire.encode({"ok": False, "error": reason}))
        self.close()


def _ask_to_leave() -> None:
    """See to it that no other shim serves this bundle.

    One whose worker is gone stays while a full disk refuses its record; it leaves when it is asked to. RequestError
    if it does not.
    """
    peer = Socket(AF_UNIX)
    peer.settimeout(TAKEOVER)
    try:
        peer.connect(wire.SOCKET_NAME)
    except OSError:
        peer.close()
        return  # none, or a dead one's socket
    try:
        peer.send(wire.encode({"op": "leave"}))
        said = b""
        while part := peer.recv(wire.MAX_LINE):  # it hangs up when it leaves
            said += part
            if b'"ok":false' in said:
                raise RequestError(f"another shim already serves {os.getcwd()}, and its worker lives")
    except ConnectionResetError:
        return
    except OSError:
        raise RequestError(f"another shim already serves {os.getcwd()}, and does not answer") from None
    finally:
        peer.close()

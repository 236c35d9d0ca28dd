"""Other people's programs on the worker's port, beside `harness.listening`, which never answers."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def bound(port: int) -> Iterator[socket.socket]:
    """It holds the port, and doesn't listen: nobody can be named as its holder."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over what earlier connections left
        stranger.bind(("127.0.0.1", port))
        # Two who both say so may share a port for as long as neither listens: this one doesn't share.
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield stranger


class _Agreeable(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def agreeable(port: int) -> Iterator[None]:
    """It answers 200 to whatever it is asked, as a server of another tool may do to `/health`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), _Agreeable) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()

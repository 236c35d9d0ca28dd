"""Who may speak to the server: the browser that was given the address, and nobody else.

Every user of this host reaches a loopback port, and so does every web page that a browser here shows. So:

- The printed address carries a token. Whoever brings it gets a cookie, which no script and no other site can use.
- The cookie is for a path that is secret too. Cookies don't know ports: without that, another user's server on another
  port of this host would be sent it.
- The name that was asked for must be this host's own (a foreign name that leads here is DNS rebinding), and a page must
  be ours to open the websocket.

Everything else is refused with 403. It knows requests by their words only, and nothing of the server.
"""

import hmac
import secrets
from collections.abc import Mapping

COOKIE = "qvl"
NAMES = ("127.0.0.1", "localhost")
"""With any port: over `ssh -L` the browser's may be another than ours."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; form-action 'none'; "
    "base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""On every answer: nothing is loaded from elsewhere, framed, or kept."""


class Guard:
    """The secrets of one run."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.root = f"/{secrets.token_urlsafe(16)}"
        """Where everything is but the door."""
        self._pass = secrets.token_urlsafe(32)

    def cookie(self) -> str:
        """The header that makes a browser ours."""
        return f"{COOKIE}={self._pass}; Path={self.root}/; HttpOnly; SameSite=Strict"

    def admits(self, token: str) -> bool:
        """Whether this is the token of the printed address."""
        return _same(token, self.token)

    def refusal(
        self, headers: Mapping[str, str], path: str, cookies: Mapping[str, str], *, door: bool, socket: bool
    ) -> str | None:
        """Why a request is refused; None where it isn't. `door`: it asks to be let in and has no cookie yet.
        `socket`: it opens a websocket, which a browser lets any page do."""
        host = headers.get("Host", "")
        name, _, port = host.partition(":")
        if name not in NAMES or (port and not port.isdecimal()):
            return "this is not a name of this host"
        origin = headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return "another site asks"
        if origin is None and socket:
            return "no site asks"
        if door:
            return None
        if not path.startswith(f"{self.root}/") or not _same(cookies.get(COOKIE, ""), self._pass):
            return "open the address that qvlctl printed"
        return None


def _same(told: str, secret: str) -> bool:
    """Takes as long whatever is told, which may be bytes that are no text."""
    return hmac.compare_digest(told.encode(errors="surrogatepass"), secret.encode())

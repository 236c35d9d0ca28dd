"""The command line's way to the daemon: typed calls, the event stream, and a sentence for each way to fail.

It hands over plain JSON documents (see `qvl.client.documents` for why), raises QvlError for everything that can go
wrong, and never retries an act.
"""

from __future__ import annotations

import errno
import json
import os
import time

from qvl.client import http
from qvl.client.http import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Generator
    from typing import Any

    from qvl.client.documents import (
        AcceptedDoc,
        FrameDoc,
        PlanDoc,
        ProfileDoc,
        ProfileInfoDoc,
        ResolvedDoc,
        StatusDoc,
        VersionDoc,
    )
    from qvl.client.ssh.tunnel import Tunnel
    from qvl.model.error import QvlError

SILENCE = 20.0
"""Seconds without a byte on the event stream, which has a heartbeat each 5 s, after which it counts as lost."""


class Client:
    """Calls to the daemon behind `path`. Reads fall back to `view.sock` beside it where we may not connect.

    With `tunnel` the daemon is another host's, `path` is what it is called, and the tunnel has chosen the socket.
    """

    def __init__(self, path: str, tunnel: Tunnel | None = None) -> None:
        self.path = path
        self.view_path = os.path.join(os.path.dirname(path), "view.sock")
        self._tunnel = tunnel

    def status(self) -> StatusDoc:
        doc: StatusDoc = self._document("GET", "/v1/status")
        return doc

    def profiles(self) -> list[ProfileInfoDoc]:
        docs: list[ProfileInfoDoc] = self._document("GET", "/v1/profiles")
        return docs

    def profile(self, name: str, pool: str | None = None) -> ProfileDoc:
        query = "" if pool is None else f"?pool={quoted(pool)}"
        doc: ProfileDoc = self._document("GET", f"/v1/profiles/{quoted(name)}{query}")
        return doc

    def resolved(self, worker: str) -> ResolvedDoc:
        """What its engine made of its arguments; it is asked now, and may take 5 s."""
        doc: ResolvedDoc = self._document("GET", f"/v1/workers/{quoted(worker)}/resolved")
        return doc

    def version(self) -> VersionDoc:
        doc: VersionDoc = self._document("GET", "/v1/version")
        return doc

    def act(self, verb: str, name: str, *, pool: bool) -> AcceptedDoc:
        """`verb`: start, stop or restart. `name`: a worker's, or with `pool` a pool's or `all`."""
        kind = "pools" if pool else "workers"
        doc: AcceptedDoc = self._document("POST", f"/v1/{kind}/{quoted(name)}/{verb}")
        return doc

    def switch(self, pool: str, profile: str | None) -> AcceptedDoc:
        """`profile` None: back to the file's."""
        target = f"/v1/pools/{quoted(pool)}/switch"
        doc: AcceptedDoc = (
            self._document("DELETE", target)
            if profile is None
            else self._document("POST", target, {"profile": profile})
        )
        return doc

    def plan_switch(self, pool: str, profile: str | None) -> PlanDoc:
        """What `switch` would do."""
        target = f"/v1/pools/{quoted(pool)}/switch"
        doc: PlanDoc = (
            self._document("DELETE", f"{target}?dry_run=1")
            if profile is None
            else self._document("POST", target, {"profile": profile, "dry_run": True})
        )
        return doc

    def cancel_switch(self, pool: str) -> AcceptedDoc:
        doc: AcceptedDoc = self._document("DELETE", f"/v1/pools/{quoted(pool)}/switch?cancel=1")
        return doc

    def plan(self, path: str | None = None) -> PlanDoc:
        """Of the live configuration, or of the file at `path`, which the daemon reads: an absolute one."""
        doc: PlanDoc = self._document("POST", "/v1/plans", None if path is None else {"path": path})
        return doc

    def apply(self, plan_id: str) -> AcceptedDoc:
        doc: AcceptedDoc = self._document("POST", f"/v1/plans/{quoted(plan_id)}/apply")
        return doc

    def restart_daemon(self) -> AcceptedDoc:
        doc: AcceptedDoc = self._document("POST", "/v1/daemon/restart")
        return doc

    def past_events(self, since: int) -> list[FrameDoc]:
        """The remembered events after `since`, oldest first."""
        lines = self.raw(f"/v1/events?follow=0&since={since}").splitlines()
        frames: list[FrameDoc] = [json.loads(line) for line in lines if line]
        return frames

    def raw(self, target: str) -> bytes:
        """The answer to a GET as it came."""
        with self.open("GET", target) as response:
            try:
                return response.body()
            except (OSError, EOFError, ValueError) as error:
                raise self.broken(error) from error

    def open(self, method: str, target: str, body: object = None) -> Response:
        """Sends a request; the body of the answer is the caller's to read and to close. Refusals are raised here."""
        connection = self._connect(reads=method == "GET")
        try:
            payload = None if method != "POST" else b"" if body is None else json.dumps(body).encode()
            response = http.request(connection, method, target, payload)
            if response.status >= 400:
                raise refusal(response.status, response.body())
        except (OSError, EOFError, ValueError) as error:
            connection.close()
            raise self.broken(error) from error
        except BaseException:
            connection.close()
            raise
        return response

    def events(
        self, *, since: int | None = None, changes: bool = False, tick: float = 1.0, patience: float | None = None
    ) -> Generator[FrameDoc | None]:
        """Frames as they come, and None about every `tick` seconds, so that a caller can look at its deadline.

        A stream that breaks is taken up where it ended, with an `away` frame in between; for `patience` seconds at
        most (None: for ever), then the QvlError of the last try is raised. The first connection is not retried.
        """
        from qvl.model.error import ErrorCode, QvlError

        met = False
        away_since: float | None = None
        while True:
            try:
                query = f"changes={int(changes)}" + ("" if since is None else f"&since={since}")
                with self.open("GET", f"/v1/events?{query}") as response:
                    met, away_since = True, None
                    for frame in self._frames(response, tick):
                        if frame is not None:
                            since = frame.get("seq", since)
                        yield frame
                lost = self.broken(EOFError("the event stream ended"))
            except QvlError as error:
                if not met or error.code is not ErrorCode.UNREACHABLE:
                    raise
                lost = error
            if away_since is None:
                away_since = time.monotonic()
                yield {"type": "away", "message": lost.message}
            elif patience is not None and time.monotonic() - away_since > patience:
                raise lost
            time.sleep(min(tick, 0.5))
            yield None

    def _frames(self, response: Response, tick: float) -> Generator[FrameDoc | None]:
        """The frames of one connection. Raises QvlError where it breaks or falls silent."""
        heard = time.monotonic()
        while True:
            try:
                line = response.line(tick)
            except TimeoutError as error:
                if time.monotonic() - heard > SILENCE:
                    raise self.broken(error) from error
                yield None
                continue
            except (OSError, EOFError, ValueError) as error:
                raise self.broken(error) from error
            if not line:
                return
            heard = time.monotonic()
            frame: FrameDoc = json.loads(line)
            yield frame

    def _document(self, method: str, target: str, body: object = None) -> Any:
        """The one place where the daemon's word is taken for the shape of a document."""
        with self.open(method, target, body) as response:
            try:
                return json.loads(response.body())
            except (OSError, EOFError, ValueError) as error:
                raise self.broken(error) from error

    def _connect(self, *, reads: bool) -> socket.socket:
        if self._tunnel is not None:
            path = self._tunnel.socket()
            try:
                return http.connect(path)
            except OSError as error:
                raise self._tunnel.trouble(error) from error
        try:
            return http.connect(self.path)
        except OSError as error:
            if not reads or error.errno not in (errno.EACCES, errno.EPERM):
                raise unreachable(self.path, error) from error
            try:
                return http.connect(self.view_path)
            except OSError:
                raise unreachable(self.path, error) from error

    def broken(self, error: Exception) -> QvlError:
        """What a connection that was made and then failed means to people."""
        if self._tunnel is not None:
            return self._tunnel.trouble(error)
        from qvl.model.error import ErrorCode, QvlError

        what = "has said nothing for too long" if isinstance(error, TimeoutError) else f"broke off: {error}"
        hint = "see what it says: journalctl -u qvl-supervisor -e"
        return QvlError(ErrorCode.UNREACHABLE, f"the daemon at {self.path} {what}", hint)


def unreachable(path: str, error: OSError) -> QvlError:
    """The sentence and the next step for a connection that could not be made."""
    from qvl.model.error import ErrorCode, QvlError

    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            message = f"no daemon is running: there is no socket {path}"
            hint = "start it with `systemctl start qvl-supervisor` or `qvlctl up`, or name its socket with --socket"
        case errno.ECONNREFUSED:
            message = f"no daemon is running: nobody listens at {path}"
            hint = "see why it ended: journalctl -u qvl-supervisor -e; then `systemctl start qvl-supervisor`"
        case errno.EACCES | errno.EPERM:
            message = f"{_user()} may not connect to {path}"
            hint = "join the operator group (to act) or the viewer group (to look), or become root: sudo qvlctl …"
        case _:
            message = f"cannot connect to {path}: {error.strerror or error}"
            hint = "name the daemon's socket with --socket, or see what would stop it: qvlctl doctor"
    return QvlError(ErrorCode.UNREACHABLE, message, hint)


def refusal(status: int, body: bytes) -> QvlError:
    """The daemon's error as an exception; a body that is none of ours is quoted."""
    from qvl.model.error import ErrorCode, QvlError

    try:
        error = json.loads(body)["error"]
        return QvlError(ErrorCode.of(error["code"]), str(error["message"]), error.get("hint"))
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode(errors="replace").strip()
        return QvlError(ErrorCode.INTERNAL, f"the daemon answered with HTTP status {status}: {text or 'no text'}")


def quoted(segment: str) -> str:
    """A name as one segment of a URL's path. urllib.parse would do, at 5 ms of imports."""
    safe = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~@"
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in segment.encode())


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"

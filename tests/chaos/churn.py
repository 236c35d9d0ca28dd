"""Faults of people and programs: edits, good and broken, and clients that hang."""

import contextlib
import socket
import time
from typing import Any

import tomli_w

from tests.blackbox.harness import pool
from tests.chaos.draw import DRAFT, EXTRA
from tests.chaos.faults import Fault
from tests.chaos.fleet import POLICY
from tests.support import wait_until

SEEN = 30.0
"""Seconds in which an edit has to show in the status; half a second would do on a quiet machine."""


class EditArgs(Fault):
    """An argument of a profile: its workers are restarted, one by one."""

    causes = frozenset({"requested"})

    @property
    def victims(self) -> frozenset[str]:
        return frozenset(DRAFT)

    def play(self) -> None:
        args = self.fleet.config["profiles"]["small"]["args"]
        requests = args.get("max-running-requests", 100) + 1
        self.fleet.change({"profiles": {"small": {"args": {"max-running-requests": requests}}}})


class EditPolicy(Fault):
    """What concerns no process: nobody ends."""

    def play(self) -> None:
        keep = self.fleet.config["pools"]["chat"]["logs"]["keep"]
        self.fleet.change(pool("chat", logs={"keep": keep + 1}), pool("draft", stop={"term": f"{5 + keep / 100:g}s"}))


class AddPool(Fault):
    """A pool comes, serves and goes again, which has to be confirmed."""

    causes = frozenset({"requested"})

    @property
    def victims(self) -> frozenset[str]:
        return frozenset({EXTRA})

    def play(self) -> None:
        card = int(self.fleet.config["supervisor"]["gpus"].partition(":")[2]) - 1
        port = self.fleet.ports[EXTRA]
        self.fleet.change(pool("extra", profile="standard", gpus=[card], port=port, **POLICY))
        try:
            wait_until(lambda: (self.fleet.worker_or_none(EXTRA) or {}).get("ready"), SEEN, "ready")
        except AssertionError:
            self.told.append(f"the new pool is not up after {SEEN:g} s: {self.fleet.worker_or_none(EXTRA)}")
        time.sleep(self.draw.seconds)
        self.fleet.change({"pools": {"extra": None}})
        self.fleet.insist(self._confirm, self._gone, "the pool is gone", timeout=60)

    def _confirm(self) -> None:
        self.fleet.client.apply(self.fleet.client.plan()["id"])
        time.sleep(1)  # the pace of asking

    def _gone(self) -> bool:
        status = self.fleet.status
        return all(one["name"] != "extra" for one in status["pools"]) and all(
            one["name"] != EXTRA for one in status["workers"]
        )


class BreakConfig(Fault):
    """A file that is refused, with its error in the status, and mended after a while. Nobody ends."""

    def play(self) -> None:
        self.fleet.write(broken(self.fleet.config, self.draw.variant))
        try:
            wait_until(lambda: (self.fleet.look() or _SILENT)["supervisor"]["config"]["error"], SEEN, "an error")
        except AssertionError:
            self.told.append(f"a broken file is not refused within {SEEN:g} s (variant {self.draw.variant % 3})")
        time.sleep(self.draw.seconds)
        self.fleet.write(self.fleet.config)


_SILENT: dict[str, Any] = {"supervisor": {"config": {"error": None}}}


def broken(config: dict[str, Any], variant: int) -> bytes:
    """Garbage, half a file, or one with a key that nobody knows."""
    whole = tomli_w.dumps(config).encode()
    if variant % 3 == 0:
        return bytes(range(256)) * 8
    if variant % 3 == 1:
        return whole[: whole.index(b' = "', len(whole) // 2) + 5]  # within a string: half a file may be a right one too
    return whole.replace(b"[pools.chat.", b"[pools.chat.unknown]\nkey = 1\n\n[pools.chat.", 1)


# ---- clients


class Clients(Fault):
    """Open sockets, held for a while, from which nobody reads."""

    def play(self) -> None:
        with contextlib.ExitStack() as held:
            for said in self.sayings():
                with contextlib.suppress(OSError):  # the daemon is not there just now
                    peer = held.enter_context(self.connected())
                    peer.sendall(said)
            time.sleep(self.draw.seconds)

    def connected(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(2)
        peer.connect(str(self.fleet.socket))
        return peer

    def sayings(self) -> list[bytes]:
        raise NotImplementedError


class MuteWatchers(Clients):
    """Attach to the stream of events, or to a log, and never read."""

    def sayings(self) -> list[bytes]:
        targets = ["/v1/events?changes=1", "/v1/events?since=0", f"/v1/workers/{self.draw.worker}/log?follow=1"]
        return [f"GET {target} HTTP/1.1\r\nhost: qvl\r\n\r\n".encode() for target in targets * 4]


class HalfRequests(Clients):
    def sayings(self) -> list[bytes]:
        return [
            b"POST /v1/pools/all/st",
            b"GET /v1/status HTTP/1.1\r\nhost: qv",
            b'POST /v1/plans HTTP/1.1\r\nhost: qvl\r\ncontent-length: 500\r\n\r\n{"path": ',
        ] * 4


class HalfCompletions(Clients):
    """Begin to ask a worker for a completion, and leave it at that."""

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.fleet.ports[self.draw.worker]), timeout=2)

    def sayings(self) -> list[bytes]:
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: qvl\r\ncontent-length: 400\r\n\r\n"
        return [f'{head}{{"model": "any", "mess'.encode()] * 5

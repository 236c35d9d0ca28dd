"""Faults that stand in a worker's way for a while: a port, a card's memory, a disk without room.

Each waits until the status has named the obstacle, holds on for a moment more, and goes.
"""

import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator

from tests.chaos.draw import SIMULATED
from tests.chaos.faults import Fault, OnWorker, ourselves
from tests.support import wait_until

EXPLAINED = 30.0
"""Seconds in which the status has to name an obstacle; a second would do on a quiet machine."""
WAITING = ("releasing", "backoff", "failed")


class Obstacle(OnWorker):
    def explained(self, *words: str) -> None:
        """Wait until the victim's status says why it isn't up, with all of these words."""

        def look() -> bool:
            worker = self.fleet.worker_or_none(self.draw.worker)
            reason = (worker["reason"] or "") if worker else ""
            seen[:] = [f"{worker['phase']}: {reason}" if worker else "no answer"]
            return worker is not None and worker["phase"] in WAITING and all(word in reason for word in words)

        seen: list[str] = []
        try:
            wait_until(look, EXPLAINED, "an explanation")
        except AssertionError:
            self.told.append(f"{self.draw}: not explained with {words} within {EXPLAINED:g} s, but: {seen[0]}")
        time.sleep(self.draw.seconds)  # how long it stays is part of the fault

    def end_root(self) -> bool:
        tree = self.tree()
        return tree is not None and tree.root is not None and self.hit(tree.root, signal.SIGKILL)


class StealPort(Obstacle):
    """A stranger is on the port before the worker is back."""

    causes = frozenset({"killed", "port-in-use"})

    def play(self) -> None:
        port = self.fleet.ports[self.draw.worker]
        if not self.end_root():
            return
        with bound(port, patience=1.0) as thief:
            if thief is None:
                self.left_out = "lost the race"
                return
            self.explained(f"port {port}", f"pid {ourselves()}")


class BlockPort(Obstacle):
    """A stranger is on the port of a stopped worker, which is started then."""

    causes = frozenset({"requested", "port-in-use"})

    def play(self) -> None:
        name, client = self.draw.worker, self.fleet.client
        port = self.fleet.ports[name]
        self.fleet.insist(lambda: client.act("stop", name, pool=False), lambda: self._is("down", "stopped"), "a stop")
        with bound(port, patience=5.0) as stranger:
            try:
                self.fleet.insist(lambda: client.act("start", name, pool=False), lambda: self._is("up"), "a start")
                if stranger is None:
                    self.told.append(f"port {port} of {name} is taken though it is stopped")
                else:
                    self.explained(f"port {port}", f"pid {ourselves()}")
            finally:
                self.fleet.insist(lambda: client.act("start", name, pool=False), lambda: self._is("up"), "a start")

    def _is(self, wanted: str, phase: str | None = None) -> bool:
        worker = self.fleet.worker(self.draw.worker)
        return worker["wanted"] == wanted and phase in (None, worker["phase"])


class HoldGpu(Obstacle):
    """A stranger's job takes the memory of a card whose worker has just died."""

    causes = frozenset({"killed", "out-of-gpu-memory"})

    def play(self) -> None:
        index = SIMULATED.index(self.draw.worker)
        hold = self.fleet.state / "simulated-gpus" / f"gpu{index}.hold.json"
        new = hold.with_name("hold.new")
        try:
            new.write_text(json.dumps({"pid": ourselves(), "memory": 30 << 30, "command": "jupyter"}))
            new.replace(hold)
        except OSError as error:  # the disk is full
            self.left_out = str(error.strerror)
            new.unlink(missing_ok=True)
            return
        try:
            if self.end_root():
                self.explained(f"GPU {index}", f"pid {ourselves()}", "jupyter")
        finally:
            hold.unlink()


class Xid(Obstacle):
    """A card tells of a fault, and its worker dies. One that fell off the bus is missed until it is back."""

    @property
    def causes(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"killed"} | ({"gpu-fault"} if self._number in _CARD else set()))

    @property
    def _number(self) -> int:
        return _XIDS[self.draw.variant % len(_XIDS)]

    def play(self) -> None:
        index = SIMULATED.index(self.draw.worker)
        try:
            self._tell(index, self._number)
        except OSError as error:  # the disk is full
            self.left_out = str(error.strerror)
            return
        try:
            if self.end_root() and self._number == _OFF_THE_BUS:
                self.explained(f"GPU {index}")
        finally:
            if self._number == _OFF_THE_BUS:
                wait_until(lambda: self._is_back(index), EXPLAINED, "room for a line")

    def _tell(self, index: int, number: int) -> None:
        with (self.fleet.state / "simulated-gpus" / f"{index}.xid").open("ab", buffering=0) as file:
            file.write(b"%d\n" % number)

    def _is_back(self, index: int) -> bool:
        with contextlib.suppress(OSError):
            self._tell(index, _REMAPPED)
            return True
        return False


_OFF_THE_BUS, _REMAPPED = 79, 63
_CARD = (48, _OFF_THE_BUS)
_XIDS = (31, *_CARD, _REMAPPED)
"""A program's page fault, two faults of the card itself, and a note that accuses nobody."""


class FillDisk(Fault):
    """No room on the disk of state and logs. Costs output and memory of the past, but no process."""

    may_fail = True

    def play(self) -> None:
        if self.fleet.disk is None:
            self.left_out = "no small disk could be mounted"
            return
        ballast = self.fleet.disk / "ballast"
        until = time.monotonic() + self.draw.seconds + 1
        try:
            with ballast.open("wb", buffering=0) as file:
                while time.monotonic() < until:
                    with contextlib.suppress(OSError):
                        while file.write(b"x" * 4096):
                            pass
                    time.sleep(0.02)  # rotation makes room, which is taken again
        finally:
            ballast.unlink()


@contextlib.contextmanager
def bound(port: int, *, patience: float) -> Iterator[socket.socket | None]:
    """A stranger that listens on a port; None where it can't have it within `patience` seconds."""
    deadline = time.monotonic() + patience
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                stranger.bind(("127.0.0.1", port))
                stranger.listen(1)
            except OSError:
                if time.monotonic() > deadline:
                    yield None
                    return
                time.sleep(0.001)
                continue
            yield stranger
            return

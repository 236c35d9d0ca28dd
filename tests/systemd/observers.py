"""Who looks on while things happen to the daemon: clients of the workers, clients that are stuck, and somebody who
never takes their eyes off the status. Each is a process or a thread of its own.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from qvl.client.documents import StatusDoc
from qvl.client.sync import Client
from qvl.model.error import QvlError

from tests.support import wait_until
from tests.systemd.box import Box
from tests.systemd.daemon import SOCKET

STREAMS = 2
"""Requests in flight on each worker."""
STUCK = 10
"""Clients of the daemon that read nothing."""
FULL = 16 * 1024
"""Bytes that wait for such a client at least, once the daemon can't write to it: the kernel takes 208 KiB of memory,
which many small frames use up with much less of content."""
PERIOD = 0.05
"""Seconds between two looks at the status."""

_HERE = Path(__file__).parent


class Ended(NamedTuple):
    """A request that is over."""

    number: int
    port: int
    at: float
    gap: float
    error: str | None


class Load:
    """load.py in the box, and what it has told."""

    def __init__(self, box: Box, ports: Sequence[int]) -> None:
        self.begun: dict[int, tuple[int, float]] = {}
        """Port and time of the first chunk, by number."""
        self.ended: dict[int, Ended] = {}
        self._ports = ports
        self._program = box.spawn(
            sys.executable, "-I", "-S", _HERE / "load.py", str(STREAMS), *(str(port) for port in ports)
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._program.stdout is not None
        for line in self._program.stdout:
            told = json.loads(line)
            if "begun" in told:
                self.begun[told["begun"]] = (told["port"], told["at"])
            else:
                self.ended[told["ended"]] = Ended(told["ended"], told["port"], told["at"], told["gap"], told["error"])

    def wait_for_flights(self) -> set[int]:
        """The requests in flight, once each worker has all of its own."""

        def flying() -> set[int]:
            numbers = {number for number in list(self.begun) if number not in self.ended}
            ports = [self.begun[number][0] for number in numbers]
            return numbers if all(ports.count(port) == STREAMS for port in self._ports) else set()

        return wait_until(flying, 60, "requests are in flight on every worker")

    def wait_for_new_answers(self, since: float) -> None:
        """Until each worker has ended a request that began after `since`; then none from before is in flight."""

        def fresh() -> bool:
            ended = [self.begun[number] for number in list(self.ended) if number in self.begun]
            return all(any(its == port and at > since for its, at in ended) for port in self._ports)

        wait_until(fresh, 60, "each worker has answered anew")

    def since(self, moment: float) -> list[Ended]:
        """The requests that ended after `moment`."""
        return [ended for ended in list(self.ended.values()) if ended.at > moment]

    def finish(self) -> None:
        """Wait for what is in flight and end."""
        assert self._program.stdin is not None
        self._program.stdin.close()
        try:
            assert self._program.wait(60) == 0, "the load has failed"
        except subprocess.TimeoutExpired:
            raise AssertionError("a request doesn't end") from None
        self._reader.join(10)


class StuckWatchers:
    """stuck_watchers.py in the box."""

    def __init__(self, box: Box) -> None:
        program = (sys.executable, "-I", "-S", _HERE / "stuck_watchers.py", SOCKET, str(STUCK))
        self._program = box.spawn(*program)

    def attach(self) -> int:
        """Have new ones, none of which can be written to any more; the bytes that wait for them all."""
        looks = self._order("attach")

        def stuck() -> bool:
            nonlocal looks
            before, looks = looks, self.look()
            return before == looks and all(each["unread"] > FULL for each in looks)

        wait_until(stuck, 30, "the daemon can write to none of them any more")
        assert [(each["attached"], each["stopped"]) for each in looks] == [(True, True)] * STUCK
        return sum(each["unread"] for each in looks)

    def look(self) -> list[dict[str, int]]:
        """How each of them is."""
        return self._order("look")

    def _order(self, word: str) -> list[dict[str, int]]:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{word}\n".encode())
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        assert answer, f"the stuck watchers have failed at `{word}`"
        found: list[dict[str, int]] = json.loads(answer)
        return found


class Identity(NamedTuple):
    """Which daemon answered: a new process has another pid, new code in the same one another beginning."""

    pid: int
    started_at: str


class Answer(NamedTuple):
    """The status at a moment."""

    at: float
    daemon: Identity
    others: tuple[str, ...]
    """What it says of workers that aren't as they should be."""


class StatusWatch:
    """Asks for the status without a pause, through everything: what a person in front of it would ever have seen."""

    def __init__(self, path: Path, expected: dict[str, int | None]) -> None:
        self.answers: list[Answer] = []
        self._expected = expected
        self._client = Client(str(path))
        self._over = Event()
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while not self._over.wait(PERIOD):
            with suppress(QvlError):
                status = self._client.status()
                daemon = Identity(status["supervisor"]["pid"], status["supervisor"]["started_at"])
                self.answers.append(Answer(time.monotonic(), daemon, self._others(status)))

    def _others(self, status: StatusDoc) -> tuple[str, ...]:
        found = {
            worker["name"]: (worker["phase"], worker["ready"], worker["pid"], worker["restarts"])
            for worker in status["workers"]
        }
        expected = {name: ("running", True, pid, 0) for name, pid in self._expected.items()}
        wrong = [f"{name}: {found.get(name)}" for name in {*found, *expected} if found.get(name) != expected.get(name)]
        lost = status["supervisor"]["lost_log_bytes"]
        return (*wrong, *([f"{lost} log bytes lost"] if lost else []))

    @property
    def daemon(self) -> Identity:
        """The one that answered last."""
        return self.answers[-1].daemon

    def wait_for_another(self, before: Identity) -> Identity:
        """The daemon that follows `before`, once it answers."""
        wait_until(lambda: self.daemon != before, 40, f"another daemon than {before} answers")
        return self.daemon

    def end(self) -> None:
        """Stop asking."""
        self._over.set()
        self._thread.join()

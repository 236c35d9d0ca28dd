"""The real daemon as a service in a box, what a test asks of it, and what it holds of its workers afterwards."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess

from qvl.client.documents import StatusDoc, WorkerDoc
from qvl.client.sync import Client
from qvl.model.error import QvlError

from tests.support import wait_until
from tests.systemd.box import Box
from tests.systemd.service import NAME, Service

CONFIG = "/etc/qvl/qvl.toml"
SOCKET = "/run/qvl/supervisor.sock"


def config(on_stop: str = "stop", pools: int = 1, args: str = "", pool: str = "") -> str:
    """A configuration with one simulated worker in each pool. `args`: lines for the profile's, `pool`: each pool's."""
    head = f"""\
[supervisor]
gpus = "simulated:4"
on_stop = "{on_stop}"
[engines.sim]
kind = "simulated"
[profiles.standard]
engine = "sim"
model = "demo"
[profiles.standard.args]
sim-load-seconds = 0.2
{args}
"""
    return head + "".join(
        f'[pools.pool{index}]\nprofile = "standard"\ngpus = [{index}]\nport = {8000 + 100 * index}\n{pool}\n'
        for index in range(pools)
    )


class Daemon(Service):
    """The real daemon under the unit as shipped, but for quicker restarts."""

    def __init__(self, box: Box, configuration: str, settings: str = "") -> None:
        super().__init__(box, settings=f"RestartSec=100ms\n{settings}")
        self._install()
        box.put(configuration, CONFIG)
        self.client = Client(str(box.outside(SOCKET)))

    def _install(self) -> None:
        """Have this environment where the unit and README.md have it."""
        self.box.exec("ln", "-sfn", sys.prefix, "/opt/qvl")

    def qvlctl(self, *words: str, check: bool = True) -> CompletedProcess[bytes]:
        """`qvlctl WORDS…` in the box."""
        return self.box.exec("/opt/qvl/bin/qvlctl", *words, check=check)

    def status(self) -> StatusDoc:
        """`qvlctl status --json`, without the start of a program."""
        return self.client.status()

    def worker(self, name: str) -> WorkerDoc:
        """What the status says of a worker."""
        return next(each for each in self.status()["workers"] if each["name"] == name)

    def workers(self) -> dict[str, int | None]:
        """Workers that are ready, and their pids; none while the daemon can't be reached."""
        try:
            return {each["name"]: each["pid"] for each in self.status()["workers"] if each["ready"]}
        except QvlError:
            return {}

    def wait_for_workers(self, count: int = 1) -> dict[str, int | None]:
        """Their pids, once `count` are ready."""
        with self.explained():
            return wait_until(lambda: len(ready := self.workers()) == count and ready, 30, f"{count} ready") or {}

    def start(self, workers: int = 1) -> dict[str, int | None]:
        """Start it; the pids of its workers, once they are ready."""
        with self.explained():
            self.systemctl("start")
        return self.wait_for_workers(workers)

    def serves(self, port: int = 8000) -> bool:
        """Whether a worker answers, asked directly."""
        return self.box.exec("curl", "-sf", f"http://127.0.0.1:{port}/v1/models", check=False).returncode == 0

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What fails in here says what the journal has."""
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal()}") from None


def assert_adopted(daemon: Daemon, before: dict[str, int | None]) -> None:
    """The workers are those of before, and the daemon knows that it never lost them."""
    with daemon.explained():
        assert daemon.wait_for_workers(len(before)) == before
        assert [worker["restarts"] for worker in daemon.status()["workers"]] == [0] * len(before)
        assert set(before.values()) <= daemon.processes()
        assert daemon.serves()


def assert_all_ended(daemon: Daemon) -> None:
    """The service stopped by itself, and nothing of it is left."""
    with daemon.explained():
        assert daemon.processes() == set()
        assert daemon.box.show(NAME, "ActiveState", "Result", "ExecMainStatus") == {
            "ActiveState": "inactive",
            "Result": "success",
            "ExecMainStatus": "0",
        }

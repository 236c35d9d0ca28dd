"""A daemon with simulated workers for whoever looks at it, and load that makes each of their figures move."""

import contextlib
import http.client
import json
import random
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from qvl.client.sync import Client
from qvl.model.error import QvlError

from benchmarks.lab import BenchmarkError, Lab, free_ports
from benchmarks.peers import ours

START_TIMEOUT = 60.0
TOKEN_SECONDS = 0.1
"""So long that the engines, which are Python, leave the cores to what is measured."""


class SimulatedFleet:
    """`workers` of one pool, each with a card of its own, all of them ready."""

    def __init__(self, home: Path, workers: int, arguments: Mapping[str, object]) -> None:
        self.socket = home / "s"
        self.workers = [f"w-{number}" for number in range(workers)]
        self.ports = range(first := free_ports(workers), first + workers)
        config, self._log = home / "qvl.toml", home / "daemon.log"
        known = {"sim-load-seconds": 0.1, "sim-token-seconds": TOKEN_SECONDS, **arguments}
        config.write_text(
            f'[supervisor]\ngpus = "simulated:{workers}"\n'
            '[engines.sim]\nkind = "simulated"\n'
            '[profiles.bench]\nengine = "sim"\nmodel = "Qwen/Qwen3-VL-8B-Instruct"\n[profiles.bench.args]\n'
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in known.items())
            + f'[pools.w]\nprofile = "bench"\ngpus = "all"\nport = {first}\n'
        )
        places = {"--config": config, "--socket": self.socket, "--state-dir": home / "state", "--log-dir": home / "log"}
        with open(self._log, "wb") as output:
            self._daemon = subprocess.Popen(
                [ours("qvl-supervisor"), *(str(word) for pair in places.items() for word in pair)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=home,
                start_new_session=True,
            )
        self._wait_ready()

    def _wait_ready(self) -> None:
        client, until = Client(str(self.socket)), time.monotonic() + START_TIMEOUT
        while time.monotonic() < until:
            with contextlib.suppress(QvlError):
                status = client.status()["workers"]
                if len(status) == len(self.workers) and all(worker["ready"] for worker in status):
                    return
            if self._daemon.poll() is not None:
                break
            time.sleep(0.1)
        last = (self._log.read_text(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
        raise BenchmarkError(f"{len(self.workers)} simulated workers are not ready: {last}")

    def end(self) -> None:
        """Ask it to end its workers too; whatever stays is the lab's."""
        self._daemon.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._daemon.wait(20)

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """A client for each worker, whose requests differ in length, so that every figure goes up and down."""
        over = threading.Event()
        threads = [threading.Thread(target=_ask, args=(port, over), daemon=True) for port in self.ports]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(10)


def _ask(port: int, over: threading.Event) -> None:
    chance = random.Random(port)
    while not over.is_set():
        prompt, tokens = "tell " * chance.randint(20, 800), chance.randint(5, 30)
        body = json.dumps({"model": "any", "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            connection.getresponse().read()
        connection.close()
        over.wait(chance.uniform(0, 0.5))


@contextlib.contextmanager
def simulated_fleet(lab: Lab, workers: int, **arguments: object) -> Iterator[SimulatedFleet]:
    """`arguments`: flags of the simulated engine, `sim_log_rate=2000` for `sim-log-rate`."""
    fleet = SimulatedFleet(lab.home(), workers, {name.replace("_", "-"): value for name, value in arguments.items()})
    try:
        yield fleet
    finally:
        fleet.end()

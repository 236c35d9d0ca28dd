"""The demo: a home of its own with simulated GPUs and engines, and traffic that makes every figure move.

It makes a directory, and removes it at the end; it reads and writes nothing else.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qvl.client.sync import Client
from qvl.config.paths import Paths, drop_ins_of
from qvl.engines.picture import image_part
from qvl.host.ports import is_free

LONGEST_TMP = 40
"""Bytes of a TMPDIR in which our sockets' paths still fit."""
PORTS = 8
PERIOD = 45.0
"""Seconds from one rush hour to the next."""
BUSIEST = 14
"""Clients at once in the rush hour."""

CONFIG = """\
# A demo on simulated GPUs. Edit this file while it runs: saving is applying.

[supervisor]
gpus = "simulated:4"

[engines.simulated]
kind = "simulated"

[profiles.standard]
engine = "simulated"
model = "Qwen/Qwen3-VL-8B-Instruct"
[profiles.standard.args]
mem-fraction-static = 0.85
sim-load-seconds = 4

[profiles.eagle3]
extends = "standard"
[profiles.eagle3.args]
speculative-algorithm = "EAGLE3"
speculative-draft-model-path = "/models/Qwen3-VL-8B-Instruct-Eagle3"
sim-load-seconds = 6
sim-token-seconds = 0.01

[profiles.fp8]
extends = "standard"
[profiles.fp8.args]
quantization = "fp8"
sim-load-seconds = 3

[profiles.dense-32b]
engine = "simulated"
model = "Qwen/Qwen3-32B"
[profiles.dense-32b.args]
sim-load-seconds = 8
sim-token-seconds = 0.04

[pools.qwen3-vl]
profile = "standard"
gpus = [0, 1, 2]
port = {vl_port}

[pools.qwen3-32b]
profile = "dense-32b"
gpus = [3]
port = {dense_port}
"""


class Home:
    """The directory of one demo."""

    def __init__(self, directory: Path, given: Path | None) -> None:
        config = directory / "qvl.toml"
        self._claim, base = free_ports(PORTS)
        config.write_bytes(
            CONFIG.format(vl_port=base, dense_port=base + 4).encode() if given is None else given.read_bytes()
        )
        self.paths = Paths(
            config=config,
            drop_ins=drop_ins_of(config),
            socket=directory / "supervisor.sock",
            view_socket=directory / "view.sock",
            state_dir=directory / "state",
            log_dir=directory / "logs",
        )
        self.env = {"QVL_CONFIG": str(config)}

    def close(self) -> None:
        """Leave the ports to others."""
        self._claim.close()

    @contextmanager
    def traffic(self, client: Client) -> Iterator[None]:
        """Clients of the endpoints that are ready, more and fewer of them as time goes by."""
        ending = threading.Event()
        traffic = Traffic(client, ending)
        threads = [threading.Thread(target=traffic.look_around, daemon=True)]
        threads += [
            threading.Thread(target=traffic.be_client, args=(number,), daemon=True) for number in range(BUSIEST)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ending.set()


class Traffic:
    """Chat completions against whatever serves. Failures are the demo's to have, so they are none of ours."""

    def __init__(self, client: Client, ending: threading.Event) -> None:
        self._client = client
        self._ending = ending
        self._endpoints: list[tuple[int, str]] = []
        self._time = 0.0

    def look_around(self) -> None:
        while not self._ending.wait(1.0):
            self._time += 1.0
            with suppress(Exception):  # a daemon that restarts or ends; the next look tells
                doc = self._client.status()
                models = {info["name"]: info["model"] for info in self._client.profiles()}
                self._endpoints = [(w["port"], models.get(w["profile"], "")) for w in doc["workers"] if w["ready"]]

    def be_client(self, number: int) -> None:
        chance = random.Random(number)
        while not self._ending.wait(chance.uniform(0.1, 1.0)):
            if number < clients_at(self._time) and self._endpoints:
                port, model = chance.choice(self._endpoints)
                with suppress(OSError, ValueError):
                    complete(port, model, prompt_words=chance.randint(20, 400), tokens=chance.randint(30, 250))


def clients_at(seconds: float) -> int:
    """A wave between one client and the rush hour."""
    return 1 + round((BUSIEST - 1) * (1 - math.cos(2 * math.pi * seconds / PERIOD)) / 2)


def complete(port: int, model: str, *, prompt_words: int, tokens: int) -> None:
    """One chat completion. Raises OSError or ValueError where the engine doesn't answer as one."""
    from http.client import HTTPConnection, HTTPException

    content: list[dict[str, object]] = [{"type": "text", "text": "tell " * prompt_words}]
    if "VL" in model and prompt_words % 3 == 0:
        content.append(image_part())
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": tokens})
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        connection.getresponse().read()
    except HTTPException as error:
        raise ValueError(str(error)) from error
    finally:
        connection.close()


@contextmanager
def demo_home(given: Path | None = None) -> Iterator[Home]:
    """`given`: a configuration to show instead of the demo's own."""
    root = tempfile.gettempdir()
    if len(os.fsencode(root)) > LONGEST_TMP:  # sockets have short paths
        root = "/tmp"
    directory = Path(tempfile.mkdtemp(prefix="qvl-demo-", dir=root))
    home = Home(directory, given)
    try:
        yield home
    finally:
        home.close()
        shutil.rmtree(directory, ignore_errors=True)


def free_ports(count: int) -> tuple[socket.socket, int]:
    """A claim, and the first of `count` ports in a row that nobody listens on now. Engines take their ports only once
    they have loaded, so another demo must see that these are taken: an abstract address (unix(7)) tells, for as long as
    the claim is open."""
    for base in range(18000, 28000, 50):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with suppress(OSError):
            claim.bind(f"\0qvl-demo-{base}")
            if all(is_free("127.0.0.1", port) for port in range(base, base + count)):
                return claim, base
        claim.close()
    raise OSError("no free ports between 18000 and 28000")

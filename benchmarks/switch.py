"""Another configuration for models that serve: one after the other behind a gateway, and one without.

The engine is the simulated one, the same for every side: it loads for two seconds and takes 10 ms for a token.
"""

import contextlib
import http.client
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qvl.client.sync import Client
from qvl.model.error import QvlError

from benchmarks.lab import BenchmarkError, Lab, free_ports
from benchmarks.openai_load import Load
from benchmarks.peers import CACHE, QVL, SUPERVISORD, Side
from benchmarks.report import Row, Section
from benchmarks.scale import Scale

NAME = "switch"
WORKERS = 4
CLIENTS = 8
LOAD_SECONDS = 2.0
TIMEOUT = 120.0
CALM = 5.0
"""Seconds of load before and after."""

ENGINE = {"sim-load-seconds": LOAD_SECONDS, "sim-token-seconds": 0.01}


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    rolling = _rolling(lab, scale)
    cold = {side.name: [_cold(lab, side.name) for _ in range(scale.switches)] for side in sides}
    times = [
        Row(f"{what} of a request {when}", "ms", {QVL: [figure(rolling.latencies[when]) * 1000]}, "")
        for when in ("before", "during", "after")
        for what, figure in (("median", statistics.median), ("p99", _p99))
    ]
    return Section(
        NAME,
        f"Another configuration ({WORKERS} workers behind a gateway; one without)",
        (
            Row(f"rolling switch of {WORKERS} workers", "s", {QVL: [rolling.seconds]}, ""),
            Row("ended while it lasts", "requests", {QVL: [len(rolling.latencies["during"])]}, ""),
            Row("failed", "requests", {QVL: [rolling.failed]}, ""),
            *times,
            Row("nobody answers, one worker without a gateway", "s", cold),
        ),
        (
            f"The gateway is sglang-router; {CLIENTS} clients of OpenAI's library, every second request streamed, none "
            "tried again. supervisord and circus have nothing that would do this.",
            f"Each start takes {LOAD_SECONDS:g} s to load. While it lasts each worker in turn is taken out, drained, "
            "stopped, started, tested with a completion and taken in again, so three serve the load of four.",
            "Without a gateway: from the last answer of the old configuration to the first of the new. qvl by "
            "`qvlctl switch`, which also tests with a completion; supervisord and circus by stopping one program and "
            "starting another on the same port.",
        ),
    )


@dataclass
class _Rolling:
    seconds: float
    failed: int
    latencies: dict[str, list[float]] = field(default_factory=dict)


def _rolling(lab: Lab, scale: Scale) -> _Rolling:
    with _qvl(lab, WORKERS, gateway=True) as (client, port):
        wait(lambda: _routed(client) == WORKERS, "the gateway")
        with Load(f"http://127.0.0.1:{port}", clients=CLIENTS, tokens=16) as load:
            time.sleep(CALM * scale.patience)
            began = time.monotonic()
            client.switch("w", "new")
            wait(lambda: client.status()["pools"][0]["switch"] is None, "the end of the switch")
            ended = time.monotonic()
            time.sleep(CALM * scale.patience)
        if client.status()["pools"][0]["profile"] != "new":
            raise BenchmarkError("the switch went back")

    def share(first: float, last: float) -> list[float]:
        return [answer.seconds for answer in load.answers if first <= answer.began < last] or [0.0]

    latencies = {"before": share(0, began), "during": share(began, ended), "after": share(ended, ended + 1e9)}
    return _Rolling(ended - began, len(load.failures), latencies)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def _cold(lab: Lab, side: str) -> float:
    """Seconds without an answer on the one port that there is."""
    if side == QVL:
        with _qvl(lab, 1, gateway=False) as (client, port):
            return _silence(port, lambda: _switched(client))
    with _peer(lab, side) as (port, switch):
        return _silence(port, switch)


def _switched(client: Client) -> None:
    client.switch("w", "new")
    wait(lambda: client.status()["pools"][0]["switch"] is None, "the end of the switch")


def _silence(port: int, switch: Callable[[], None]) -> float:
    """The longest time between two answers while `switch` works and until the new one answers."""
    wait(lambda: _limit(port) == "1", "the old one serves")
    answers: list[float] = []
    new = threading.Event()

    def ask() -> None:
        while not new.is_set():
            limit = _limit(port)
            if limit is not None:
                answers.append(time.monotonic())
            if limit == "2":
                new.set()
            time.sleep(0.005)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        switch()
        if not new.wait(TIMEOUT):
            raise BenchmarkError(f"the new one did not serve within {TIMEOUT:g} s")
    finally:
        new.set()
        asking.join()
    return max(later - earlier for earlier, later in itertools.pairwise(answers))


def _limit(port: int) -> str | None:
    """By its argument, which of the two serves a request now; None where none does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        if connection.getresponse().status != 200:
            return None
        connection.close()
        connection.request("GET", "/server_info")
        return str(json.loads(connection.getresponse().read())["max_running_requests"])
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
    finally:
        connection.close()


@contextlib.contextmanager
def _qvl(lab: Lab, workers: int, *, gateway: bool) -> Iterator[tuple[Client, int]]:
    """A daemon with one pool, and its port."""
    home, port = lab.home(), free_ports(workers + 1)
    args = "\n".join(f"{name} = {value}" for name, value in ENGINE.items())
    (home / "qvl.toml").write_text(
        '[supervisor]\ngpus = "none"\n[engines.sim]\nkind = "simulated"\n'
        f'[profiles.old]\nengine = "sim"\nmodel = "m"\n[profiles.old.args]\n{args}\n'
        f"max-running-requests = {8 if gateway else 1}\n"
        f'[profiles.new]\nextends = "old"\nargs.max-running-requests = {16 if gateway else 2}\n'
        f'[pools.w]\nprofile = "old"\ngpus = "none"\nworkers = {workers}\nport = {port}\n'
        f'gateway = "{"sglang-router" if gateway else "none"}"\n'
    )
    places = ("--config", "qvl.toml", "--socket", "s", "--state-dir", "state", "--log-dir", "log")
    with _process(home, (str(Path(sys.executable).with_name("qvl-supervisor")), *places)):
        client = Client(str(home / "s"))
        wait(lambda: _ready(client) == workers, "all workers are ready")
        yield client, port
        client.act("stop", "w", pool=True)
        wait(lambda: _ready(client) == 0, "they have stopped")


def _routed(client: Client) -> int:
    front = client.status()["pools"][0].get("gateway")
    return len(front["routed"]) if front else 0


def _ready(client: Client) -> int | None:
    try:
        return int(client.status()["pools"][0]["ready"])
    except QvlError:
        return None


@contextlib.contextmanager
def _peer(lab: Lab, side: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """A peer with both programs, the old one running; the port, and what switches."""
    home, port, programs = lab.home(), free_ports(1), CACHE / "venv" / "bin"
    flags = " ".join(f"--{name} {value}" for name, value in ENGINE.items())
    engine = f"{sys.executable} -m qvl.simulator --model-path m --host 127.0.0.1 --port {port} {flags}"
    commands = {name: f"{engine} --max-running-requests {limit}" for name, limit in (("old", 1), ("new", 2))}
    if side == SUPERVISORD:
        text = (
            f"[supervisord]\nnodaemon = true\nlogfile = {home}/s.log\npidfile = {home}/s.pid\n"
            f"[unix_http_server]\nfile = {home}/s.sock\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl = unix://{home}/s.sock\n"
        )
        for name, command in commands.items():
            text += f"[program:{name}]\ncommand = {command}\nautostart = {str(name == 'old').lower()}\n"
        daemon: tuple[str, ...] = (str(programs / "supervisord"), "-c", "peer.ini")
        control: tuple[str, ...] = (str(programs / "supervisorctl"), "-c", str(home / "peer.ini"))
        steps = ((*control, "stop", "old"), (*control, "start", "new"))
    else:
        text = f"[circus]\nendpoint = ipc://{home}/c.sock\npubsub_endpoint = ipc://{home}/c.pub\n"
        for name, command in commands.items():
            text += f"[watcher:{name}]\ncmd = {command}\ncopy_env = true\nautostart = {name == 'old'}\n"
        daemon = (str(programs / "circusd"), "peer.ini")
        control = (str(programs / "circusctl"), "--endpoint", f"ipc://{home}/c.sock", "--timeout", "60")
        steps = ((*control, "stop", "old", "--waiting"), (*control, "start", "new"))
    (home / "peer.ini").write_text(text)

    def switch() -> None:
        for step in steps:
            subprocess.run(step, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    with _process(home, daemon):
        yield port, switch


@contextlib.contextmanager
def _process(home: Path, command: Sequence[str]) -> Iterator[None]:
    with open(home / "daemon.log", "wb") as output:
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=home)
    try:
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def wait(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > until:
            raise BenchmarkError(f"{what}: not within {TIMEOUT:g} s")
        time.sleep(0.02)

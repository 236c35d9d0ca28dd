"""Runs simulated engines as what they are to the supervisor: foreign processes with a port and a log."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.support import wait_until

MODEL = "Qwen/Qwen3-VL-8B-Instruct"
READY = "The server is fired up and ready to roll!"


class Reply(NamedTuple):
    status: int
    body: bytes

    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


class Engine:
    """One engine in a `with` block; whatever is left of it at the end is killed, strays too."""

    def __init__(self, directory: Path, *flags: str, port: int = 0, load: float = 0.1, env: Mapping[str, str] = {}):
        self.port = port or free_port()
        self._mark = f"QVL_TEST_ENGINE={directory}:{self.port}"
        name, _, value = self._mark.partition("=")
        self._error = directory / f"{self.port}.err"
        self._output = directory / f"{self.port}.out"
        standard = ("--model-path", MODEL, "--port", str(self.port), "--sim-load-seconds", str(load))
        with self._error.open("wb") as error, self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qvl.simulator", *standard, *flags],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=error,
                start_new_session=True,
                env={**os.environ, **env, name: value},
            )

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    @property
    def log(self) -> str:
        return self._error.read_text()

    @property
    def access_log(self) -> str:
        return self._output.read_text()

    def processes(self) -> dict[int, str]:
        """Pid and name of every living process of this engine, wherever it hides."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if self._mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                        found[int(entry.name)] = (entry / "comm").read_text().strip()
                except OSError:
                    continue
        return found

    def wait_for(self, text: str, timeout: float = 10) -> None:
        def seen() -> bool:
            return text in self.log

        wait_until(lambda: seen() or self.process.poll() is not None, timeout, f"{text!r} in the log")
        assert seen(), f"exit {self.process.returncode}:\n{self.log}"

    def ready(self) -> "Engine":
        self.wait_for(READY)
        return self

    def exit_code(self, timeout: float = 10) -> int:
        return self.process.wait(timeout)

    def listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def request(self, method: str, path: str, body: object = None, key: str = "", timeout: float = 10) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return Reply(response.status, response.read())
        finally:
            connection.close()

    def get(self, path: str, key: str = "", timeout: float = 10) -> Reply:
        return self.request("GET", path, key=key, timeout=timeout)

    def post(self, path: str, body: object = None, timeout: float = 10) -> Reply:
        return self.request("POST", path, body, timeout=timeout)

    def chat(self, text: str = "hello", **more: object) -> Reply:
        return self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **more})

    def stream(self, path: str, body: dict[str, object]) -> "Stream":
        return Stream(self.port, path, {**body, "stream": True})


class Stream:
    """A streamed answer that is read as slowly as the test likes."""

    def __init__(self, port: int, path: str, body: dict[str, object]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._connection.request("POST", path, json.dumps(body))
        self._response = self._connection.getresponse()
        assert self._response.status == 200

    def __enter__(self) -> Iterator[str]:
        return self._events()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()
        self._connection.close()

    def _events(self) -> Iterator[str]:
        for line in self._response:
            if line.startswith(b"data: "):
                yield line[6:].decode().strip()


def long_request(tokens: int = 10_000) -> dict[str, object]:
    """A generation that goes on for as long as a test lasts, or for `tokens`."""
    return {"text": "go on", "sampling_params": {"max_new_tokens": tokens}, "ignore_eos": True}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def metric(page: str, name: str) -> float:
    """The sum of a metric over its labels."""
    from prometheus_client.parser import text_string_to_metric_families

    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    values = [sample.value for sample in samples if sample.name == f"sglang:{name}"]
    assert values, f"no sglang:{name}"
    return sum(values)


def settle(seconds: float) -> None:
    """Let time pass where the point is that nothing happens in it."""
    time.sleep(seconds)

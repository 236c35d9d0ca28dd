"""The daemon as its users meet it: a process, a file, a socket, and what is left in /proc when it has gone.

Nothing here imports the daemon. Every process of a test carries a mark in its environment, which workers inherit and
their shims' command lines lead to, so that "nothing is left" is a look at /proc and no belief.
"""

import contextlib
import copy
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import tomli_w
from qvl.client.documents import PoolDoc, StatusDoc, WorkerDoc
from qvl.client.sync import Client
from qvl.model.error import QvlError
from qvl.shim import logread

from tests.support import wait_until

Table = dict[str, Any]
"""A piece of TOML, or of JSON that comes back."""

SUPERVISOR = Path(sys.prefix, "bin", "qvl-supervisor")
PORTS_EACH = 8
"""Consecutive ports that a test may use, from `Daemon.port` on."""

BRISK: Table = {
    "restart": {"backoff": "0.1s", "backoff_max": "1s"},
    "health": {"interval": "0.2s"},
    "stop": {"drain": "0s", "term": "5s"},
}
"""The policy of most tests: contract words, short times."""


def merged(base: Mapping[str, Any], *changes: Mapping[str, Any]) -> Table:
    """`base` with tables merged key by key; None removes."""
    result: Table = copy.deepcopy(dict(base))
    for change in changes:
        for key, value in change.items():
            if value is None:
                result.pop(key, None)
            elif isinstance(value, Mapping):
                result[key] = merged(result.get(key, {}), value)
            else:
                result[key] = copy.deepcopy(value)
    return result


def args(**flags: Any) -> Table:
    """Flags of the simulated engine for profile `standard`: `sim_fail="hang"` is `sim-fail = "hang"`."""
    return {"profiles": {"standard": {"args": {name.replace("_", "-"): value for name, value in flags.items()}}}}


def pool(name: str = "chat", **settings: Any) -> Table:
    return {"pools": {name: settings}}


def command(program: str, ready: str = "started") -> Table:
    """Engine `own`, a shell script, which pool `chat` runs."""
    return {
        "engines": {"own": {"kind": "command", "command": ["/bin/sh", "-c", program], "ready": ready}},
        "profiles": {"own": {"engine": "own"}},
        "pools": {"chat": {"profile": "own"}},
    }


class Daemon:
    """One state directory and the daemons that serve it, one after the other. Leaving it proves that nothing stays."""

    def __init__(self, root: Path, *changes: Mapping[str, Any]) -> None:
        self.root = root
        # A socket's address has 107 bytes, which pytest's own directories use up.
        self._run = Path(tempfile.mkdtemp(prefix="qvl-t-", dir="/tmp"))
        self.socket = self._run / "s.sock"
        self.config_file = root / "qvl.toml"
        self.state = root / "state"
        self.logs = root / "logs"
        self.journal = root / "daemon.log"
        self.mark = f"BLACKBOX_MARK={uuid.uuid4().hex}"
        self._ports, self.port = _claim_ports()
        self.client = Client(str(self.socket))
        self.process: subprocess.Popen[bytes] | None = None
        self.expects_tracebacks = False
        self.config: Table = merged(
            {
                "supervisor": {"gpus": "simulated:4"},
                "engines": {"sim": {"kind": "simulated"}},
                "profiles": {
                    "standard": {
                        "engine": "sim",
                        "model": "Qwen/Qwen3-VL-8B-Instruct",
                        "args": {"sim-load-seconds": 0.1},
                    }
                },
                "pools": {"chat": {"profile": "standard", "gpus": 1, "port": self.port, **BRISK}},
            },
            *changes,
        )
        self.write(self.config)

    # ---- the configuration

    def write(self, config: Mapping[str, Any] | str | bytes) -> None:
        """Replace the file as editors do; a mapping becomes TOML."""
        if isinstance(config, Mapping):
            config = tomli_w.dumps(config)
        new = self.config_file.with_name("qvl.toml.new")
        new.write_bytes(config if isinstance(config, bytes) else config.encode())
        new.replace(self.config_file)

    def edit(self, *changes: Mapping[str, Any]) -> None:
        """Save the present configuration with changes."""
        self.config = merged(self.config, *changes)
        self.write(self.config)

    def applied(self) -> None:
        """Wait until the file as it is now is what runs."""
        before = self.revision_of_file()
        wait_until(lambda: self.file["applied"] == before and self.pool()["switch"] is None, 15, "the edit is applied")

    def revision_of_file(self) -> str:
        """The revision that the daemon gives to what is in the file now."""
        revision: str = self.client.plan()["revision"]
        return revision

    # ---- the process

    def start(self, *, env: Mapping[str, str] | None = None) -> "Daemon":
        """Start the daemon; return once its socket answers."""
        assert self.process is None or self.process.poll() is not None, "the last one is still there"
        self.spawn(env=env)
        assert self.process is not None
        try:
            wait_until(lambda: self.answers() or self.process is None or self.process.poll() is not None, 15, "socket")
            assert self.process.poll() is None, "the daemon has ended"
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None
        return self

    def spawn(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start the daemon; its stderr goes to `journal`, after that of earlier ones."""
        name, _, value = self.mark.partition("=")
        with self.journal.open("ab") as journal:
            self.process = subprocess.Popen(
                [SUPERVISOR, *(arguments or self.arguments())],
                env={"PATH": os.environ["PATH"], "HOME": str(self.root), name: value, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
                start_new_session=True,
            )
        return self.process

    def arguments(self) -> list[str]:
        places = {
            "--config": self.config_file,
            "--socket": self.socket,
            "--state-dir": self.state,
            "--log-dir": self.logs,
        }
        return [str(word) for pair in places.items() for word in pair]

    def stop(self, timeout: float = 20) -> None:
        """SIGTERM, and the exit code 0 that it promises."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(timeout) == 0, self.said()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        with contextlib.suppress(QvlError):
            self.client.status()
            return True
        return False

    def said(self) -> str:
        """What the daemons of this test wrote to stderr."""
        return self.journal.read_text(errors="replace") if self.journal.exists() else ""

    # ---- what it says

    @property
    def status(self) -> StatusDoc:
        return self.client.status()

    @property
    def file(self) -> Any:
        """`supervisor.config` of the status."""
        return self.status["supervisor"]["config"]

    def worker(self, name: str = "chat-0") -> WorkerDoc:
        return next(worker for worker in self.status["workers"] if worker["name"] == name)

    def pool(self, name: str = "chat") -> PoolDoc:
        return next(pool for pool in self.status["pools"] if pool["name"] == name)

    def until(
        self, predicate: Callable[[WorkerDoc], object], what: str, name: str = "chat-0", timeout: float = 15
    ) -> WorkerDoc:
        """The worker, once it satisfies `predicate`."""
        seen: list[WorkerDoc] = []

        def look() -> WorkerDoc | None:
            found = [worker for worker in self.status["workers"] if worker["name"] == name]
            seen[:] = found
            return found[0] if found and predicate(found[0]) else None

        try:
            worker = wait_until(look, timeout, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast seen: {seen}") from None
        assert worker is not None
        return worker

    def ready(self, name: str = "chat-0", *, not_pid: int | None = None, timeout: float = 15) -> WorkerDoc:
        return self.until(lambda w: w["ready"] and w["pid"] != not_pid, "ready", name, timeout)

    def ready_anew(self, old: int | None, timeout: float) -> int:
        """The pid of a process that follows `old`, once it is ready."""
        pid = self.ready(not_pid=old, timeout=timeout)["pid"]
        assert pid is not None
        return pid

    def steps_of_start(self, timeout: float) -> set[str]:
        """The steps that a start tells on its way, from the daemon's start until the worker is ready."""
        steps: set[str] = set()

        def ready() -> bool:
            worker = self.worker()
            if worker["progress"] is not None:
                steps.add(worker["progress"]["step"])
            assert worker["phase"] in ("stopped", "releasing", "starting", "running"), worker
            return bool(worker["ready"])

        wait_until(ready, timeout, "the worker is ready")
        return steps

    def in_phase(self, phase: str, name: str = "chat-0", timeout: float = 15) -> WorkerDoc:
        return self.until(lambda w: w["phase"] == phase, f"phase {phase}", name, timeout)

    def events(self, since: int = 0) -> list[Any]:
        frames: list[Any] = self.client.past_events(since)
        return frames

    def spawns(self, name: str = "chat-0") -> int:
        """How often the worker was started, as far as the journal goes back."""
        return sum(
            event["kind"] == "worker.phase" and event["worker"] == name and event["data"]["to"] == "starting"
            for event in self.events()
        )

    def log(self, name: str = "chat-0") -> bytes:
        """All that is kept of a worker's output, oldest first."""
        return b"".join(Path(segment.path).read_bytes() for segment in logread.segments(self.logs / name))

    def record(self, name: str = "chat-0") -> Any:
        """The worker's record on disk: only for what the status does not show."""
        return json.loads((self.state / "workers" / name / "record.json").read_bytes())["record"]

    def shim_pid(self, name: str = "chat-0") -> int:
        pid: int = self.record(name)["process"]["shim_pid"]
        return pid

    # ---- what is in /proc

    def processes(self) -> dict[int, str]:
        """Every living process of this test by pid, with its name: daemon, shims, workers and what these forked."""
        found: dict[int, str] = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                proc = Path("/proc", entry)
                fields = (proc / "stat").read_text(errors="replace").rpartition(")")[2].split()
                marked = self.mark.encode() in (proc / "environ").read_bytes().split(b"\0")
                here = os.readlink(proc / "cwd").startswith(f"{self.state}{os.sep}")  # a shim stays in its bundle
                if fields[0] not in "ZX" and (marked or here):
                    found[int(entry)] = (proc / "comm").read_text().strip()
        return found

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process is not None and self.process.poll() is None:
                self.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(2 if kind else 20)
            if kind is None:
                left = self.processes()
                if left:  # a process that was killed takes a moment to leave /proc
                    with contextlib.suppress(AssertionError):
                        wait_until(lambda: not self.processes(), 2)
                    left = self.processes()
                assert not left, f"outlived the daemon: {left}\n{self.said()}"
                if not self.expects_tracebacks:
                    assert "Traceback" not in self.said(), self.said()
                    assert "never retrieved" not in self.said(), self.said()
            else:
                print(self.said()[-6000:])
        finally:
            self._end_what_is_left()
            self._ports.close()
            shutil.rmtree(self._run, ignore_errors=True)

    def _end_what_is_left(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for _ in range(100):
            left = self.processes()
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not self.processes(), 0.1)


def ask(port: int, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, Any]:
    """What a worker's endpoint answers: status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        is_json = answer.getheader("content-type", "").startswith("application/json")
        return answer.status, json.loads(content) if content and is_json else None
    finally:
        connection.close()


def complete(port: int, key: str | None = None, tokens: int = 4) -> tuple[int, Any]:
    """A chat completion."""
    body = {"model": "any", "messages": [{"role": "user", "content": "hello"}], "max_tokens": tokens}
    return ask(port, "POST", "/v1/chat/completions", body, key)


@contextlib.contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """A stranger on a port."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen(1)
        yield stranger


def _claim_ports() -> tuple[socket.socket, int]:
    """The first of `PORTS_EACH` free ports, claimed against other tests for as long as the socket is open: an abstract
    address is one per host and goes with its process. Below the ports that the kernel and NCCL hand out."""
    for _ in range(1000):
        base = random.randrange(10_000, 20_000 - PORTS_EACH, PORTS_EACH)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0qvl-test-ports-{base}")
            if all(_is_free(port) for port in range(base, base + PORTS_EACH)):
                return claim, base
        except OSError:
            pass
        claim.close()
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True

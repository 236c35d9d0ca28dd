"""The three supervisors: how each is told to run the same fleet, asked for its status, and where it keeps the output.

Each has its defaults except where a measurement says otherwise. The peers are installed once, by pip, into an
environment of their own, so that what they need never meets what we need.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qvl.shim import logread

QVL, SUPERVISORD, CIRCUS, SYSTEMD = "qvl", "supervisord", "circus", "systemd"
VERSIONS = {SUPERVISORD: "4.3.0", CIRCUS: "0.19.0"}
REQUIREMENTS = tuple(f"{name}=={VERSIONS[side]}" for name, side in (("supervisor", SUPERVISORD), ("circus", CIRCUS)))
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "benchmarks"
STAMP = "installed"
PORT = "{port}"
"""Stands for a worker's own port in a fleet's command."""

UNLIMITED = 1 << 40


@dataclass(frozen=True, slots=True)
class Fleet:
    """The same work for each supervisor."""

    command: tuple[str, ...]
    first_port: int
    workers: int = 1
    eager: bool = False
    """Restart at once, as near as each can be told; otherwise as it does by default."""
    log_size: int = UNLIMITED
    """Bytes at which a log is rotated."""
    log_keep: int = 5
    stop_seconds: int | None = None
    """From SIGTERM to SIGKILL; None: the default."""

    @property
    def ports(self) -> range:
        return range(self.first_port, self.first_port + self.workers)

    def words(self, port: str) -> str:
        """The command line as an ini file has it; no word of it needs quotes."""
        return " ".join(word.replace(PORT, port) for word in self.command)


@dataclass(frozen=True, slots=True)
class Control:
    """How one worker is stopped and asked for, by command lines."""

    stop: tuple[str, ...]
    """Returns once the supervisor takes it for stopped."""
    look: tuple[str, ...]
    pids: Callable[[str], set[int]]
    """The worker's processes that the supervisor knows of, from what `look` prints."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A supervisor that has been told about a fleet, below one directory."""

    daemon: tuple[str, ...]
    status: tuple[str, ...]
    status_json: tuple[str, ...] | None
    logs: Callable[[int], list[Path]]
    """The files that hold the output of the worker with this port, oldest first."""
    control: Callable[[int], Control]
    """Of the worker with this port."""


class Side(Protocol):
    name: str

    def install(self, home: Path, fleet: Fleet) -> Installation: ...


class PeersMissing(Exception):
    """They could not be installed. The message is a sentence."""


class Qvl:
    name = QVL

    def install(self, home: Path, fleet: Fleet) -> Installation:
        config, socket, logs = home / "qvl.toml", home / "qvl.sock", home / "log"
        command = ", ".join(f'"{word}"' for word in fleet.command)
        config.write_text(
            '[supervisor]\ngpus = "none"\n'
            f'[engines.bench]\nkind = "command"\ncommand = [{command}]\nready = "started"\n'
            '[profiles.bench]\nengine = "bench"\n'
            f'[pools.w]\nprofile = "bench"\ngpus = "none"\nworkers = {fleet.workers}\nport = {fleet.first_port}\n'
            f"[pools.w.logs]\nmax_size = {fleet.log_size}\nkeep = {fleet.log_keep}\n"
            + (f"[pools.w.stop]\nterm = {fleet.stop_seconds}\n" if fleet.stop_seconds else "")
            + ("[pools.w.restart]\nbackoff = 0.001\nbackoff_max = 0.001\nmax_restarts = 10000\n" if fleet.eager else "")
        )
        places = ("--config", str(config), "--socket", str(socket), "--state-dir", str(home / "state"))
        qvlctl = (ours("qvlctl"), "--socket", str(socket))
        status = (*qvlctl, "status")
        return Installation(
            daemon=(ours("qvl-supervisor"), *places, "--log-dir", str(logs)),
            status=status,
            status_json=(*status, "--json"),
            logs=lambda port: [
                Path(segment.path) for segment in logread.segments(logs / f"w-{port - fleet.first_port}")
            ],
            control=lambda port: Control(
                (*qvlctl, "stop", f"w-{port - fleet.first_port}"),
                (*status, f"w-{port - fleet.first_port}", "--json"),
                lambda text: {worker["pid"] for worker in json.loads(text)["workers"] if worker["pid"]},
            ),
        )


class Supervisord:
    def __init__(self, environment: Path, *, whole: bool = False) -> None:
        """`whole`: ends a worker's process group, as its manual advises for a program that has children."""
        self.name = f"{SUPERVISORD}, group" if whole else SUPERVISORD
        self._environment, self._programs, self._whole = environment, environment / "bin", whole

    def for_trees(self) -> "Supervisord":
        return Supervisord(self._environment, whole=True)

    def install(self, home: Path, fleet: Fleet) -> Installation:
        config, socket, logs = home / "supervisord.ini", home / "supervisord.sock", home / "log"
        logs.mkdir()
        unlimited = fleet.log_size == UNLIMITED
        config.write_text(
            f"[supervisord]\nnodaemon = true\nlogfile = {home / 'supervisord.log'}\n"
            f"pidfile = {home / 'supervisord.pid'}\nchildlogdir = {logs}\n"
            f"[unix_http_server]\nfile = {socket}\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl = unix://{socket}\n"
            f"[program:w]\ncommand = {fleet.words('%(process_num)d')}\n"
            f"process_name = w-%(process_num)d\nnumprocs = {fleet.workers}\nnumprocs_start = {fleet.first_port}\n"
            f"stdout_logfile = {logs}/%(process_num)d.log\nredirect_stderr = true\n"
            f"stdout_logfile_maxbytes = {0 if unlimited else fleet.log_size}\n"
            f"stdout_logfile_backups = {fleet.log_keep}\n"
            + ("startsecs = 0\n" if fleet.eager else "")
            + (f"stopwaitsecs = {fleet.stop_seconds}\n" if fleet.stop_seconds else "")
            + ("stopasgroup = true\nkillasgroup = true\n" if self._whole else "")
        )
        control = (str(self._programs / "supervisorctl"), "-c", str(config))
        return Installation(
            daemon=(str(self._programs / "supervisord"), "-c", str(config)),
            status=(*control, "status"),
            status_json=None,
            logs=lambda port: _numbered(logs / f"{port}.log"),
            control=lambda port: Control(
                (*control, "stop", f"w:w-{port}"),
                (*control, "pid", f"w:w-{port}"),
                lambda text: {int(pid) for pid in re.findall(r"^[1-9]\d*$", text, re.MULTILINE)},
            ),
        )


class Circus:
    def __init__(self, environment: Path, *, whole: bool = False) -> None:
        """`whole`: signals a worker's children too, where it is asked to stop it."""
        self.name = f"{CIRCUS}, children" if whole else CIRCUS
        self._environment, self._programs, self._whole = environment, environment / "bin", whole

    def for_trees(self) -> "Circus":
        return Circus(self._environment, whole=True)

    def install(self, home: Path, fleet: Fleet) -> Installation:
        config, endpoint, logs = home / "circus.ini", f"ipc://{home}/circus.sock", home / "log"
        logs.mkdir()
        limit = 0 if fleet.log_size == UNLIMITED else fleet.log_size
        text = f"[circus]\nendpoint = {endpoint}\npubsub_endpoint = ipc://{home}/circus.pub\n"
        if fleet.eager:
            text += f"check_delay = {CIRCUS_EAGER}\n"
        for port in fleet.ports:
            text += f"[watcher:w-{port}]\ncmd = {fleet.words(str(port))}\nnumprocesses = 1\ncopy_env = true\n"
            text += f"graceful_timeout = {fleet.stop_seconds}\n" if fleet.stop_seconds else ""
            text += "stop_children = true\n" if self._whole else ""
            for stream, name in (("stdout", f"{port}.log"), ("stderr", f"{port}.err")):
                text += f"{stream}_stream.class = FileStream\n{stream}_stream.filename = {logs / name}\n"
                text += f"{stream}_stream.max_bytes = {limit}\n{stream}_stream.backup_count = {fleet.log_keep}\n"
        config.write_text(text)
        control = (str(self._programs / "circusctl"), "--endpoint", endpoint)
        return Installation(
            daemon=(str(self._programs / "circusd"), str(config)),
            status=(*control, "status"),
            status_json=(*control, "--json", "status"),
            logs=lambda port: _numbered(logs / f"{port}.log"),
            control=lambda port: Control(
                # Without --waiting it says "ok" before it has done anything.
                (*control, "--timeout", "60", "stop", f"w-{port}", "--waiting"),
                (*control, "--json", "list", f"w-{port}"),
                lambda text: set(json.loads(text).get("pids", [])),
            ),
        )


CIRCUS_EAGER = 0.1
"""Circus looks at its children once in `check_delay` seconds (5 by default): a tenth of a second is the shortest that
leaves an idle daemon idle."""


def install_peers(cache: Path = CACHE) -> Path:
    """The environment that has both peers, made if it is absent. PeersMissing where that fails."""
    environment = cache / "venv"
    if is_installed(cache):
        return environment
    cache.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(environment, ignore_errors=True)
    pip = (str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for command in ((sys.executable, "-m", "venv", str(environment)), (*pip, *REQUIREMENTS)):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise PeersMissing(f"cannot install {' and '.join(REQUIREMENTS)}: {last}")
    (cache / STAMP).write_text("\n".join(REQUIREMENTS) + "\n")
    return environment


def is_installed(cache: Path) -> bool:
    """Whether both peers are there, in the versions that we name."""
    stamp = cache / STAMP
    return stamp.is_file() and stamp.read_text().split() == list(REQUIREMENTS)


def peers(environment: Path) -> list[Side]:
    return [Supervisord(environment), Circus(environment)]


def ours(name: str) -> str:
    """A program of ours, as it is installed beside the Python that runs this."""
    return str(Path(sys.executable).parent / name)


def _numbered(path: Path) -> list[Path]:
    """PATH.9 … PATH.1, PATH: the usual order of rotation."""
    older = [p for p in path.parent.glob(f"{path.name}.*") if p.suffix[1:].isdecimal()]
    return [*sorted(older, key=lambda p: -int(p.suffix[1:])), *([path] if path.exists() else [])]

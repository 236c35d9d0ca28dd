"""What the daemon asks of a kind of engine: is it there, how is it started, how is it asked whether it serves."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from qvl.model.spec import Launch
from qvl.model.worker import Cause


class Place(msgspec.Struct, frozen=True):
    """Where one run of a worker takes place."""

    worker: str
    tmpdir: Path
    """Private, 0700, made anew for each run and removed after it."""
    secrets: Path
    """Where `Command.files` will lie until the engine has read them: in memory where the host has /run, never in the
    state directory."""
    devices: tuple[str, ...]
    """The cards as CUDA_VISIBLE_DEVICES names them."""
    nccl_port: int | None
    api_key: str | None
    simulated_gpus: Path | None = None
    """The directory through which simulated engines and simulated cards know of each other."""


class Command(msgspec.Struct, frozen=True):
    """A process to start. `files` are written into `Place.secrets`, 0600, and removed once the worker is ready."""

    argv: tuple[str, ...]
    env: dict[str, str]
    """What is added to the inherited environment."""
    unset: tuple[str, ...] = ()
    files: dict[str, bytes] = {}


class Refusal(msgspec.Struct, frozen=True):
    """Why it can't be started as things stand. `missing`: the path whose coming mends it."""

    cause: Cause
    message: str
    hint: str | None = None
    missing: str | None = None


class Surface(msgspec.Struct, frozen=True):
    """What an engine of this kind answers over HTTP; an empty path is something it does not have."""

    alive: str = ""
    """Cheap, answered by the server process alone: an answer means that the port is open."""
    ready: str = ""
    """200 means that it would answer a request."""
    deep: str = ""
    """A real generation: only when idle, one at a time."""
    question: dict[str, object] | None = None
    """What is posted to `deep`; None where a GET of it generates."""
    metrics: str = ""
    loads: str = ""
    """Requests in flight right now, as JSON: gauges in `metrics` may be as old as some decode steps."""
    openai: bool = False
    """Speaks /v1/chat/completions."""
    info: tuple[str, ...] = ()
    """Paths that tell the arguments as the engine resolved them, the newest first. The answer holds secrets, and comes
    from the scheduler: it may never come."""
    owned: bool = False
    """The listening socket is one of the worker's own tree: not so for a container that a client process starts."""
    smoke: str = ""
    """A path that must answer 200 before a switch commits."""
    watchdog: float = 360.0
    """Seconds that it may compute without any progress: a minute more than its own watchdog, where it has one."""


class Driver(Protocol):
    """One kind of engine."""

    def preflight(self, launch: Launch) -> Refusal | None:
        """Look at the disk, quickly: is what it needs there?"""
        ...

    def command(self, launch: Launch, place: Place) -> Command: ...

    def surface(self, launch: Launch) -> Surface: ...

    def version(self, launch: Launch) -> str | None:
        """The installed version, None where it can't be told quickly."""
        ...

    def advice(self, launch: Launch, cause: Cause, evidence: str) -> str | None:
        """A better hint for an end than its log alone gives (`core.classify`), from what is installed; None where there
        is none. Looks at the disk and may have to run the interpreter once, so not in an event loop."""
        ...


def surroundings(place: Place, python: str = "") -> dict[str, str]:
    """The environment that every engine of ours gets for its run; `python`: whose programs come first on the PATH."""
    env = {"PYTHONUNBUFFERED": "1", "TMPDIR": str(place.tmpdir)}
    if python:
        env["PATH"] = f"{Path(python).parent}:{os.environ.get('PATH', os.defpath)}"
    if place.devices:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(place.devices)
    return env


class EngineVersion(msgspec.Struct, frozen=True):
    name: str
    version: str | None


def format_value(value: object) -> str:
    """One argument value as a command line takes it; tables as compact JSON."""
    if isinstance(value, Mapping):
        return msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def flags_of(args: Mapping[str, object]) -> list[str]:
    """`{"tp-size": 2, "enable-metrics": true, "x": [1, 2]}` as `--enable-metrics --tp-size 2 --x 1 2`, in key order, so
    that the same arguments always make the same command line. False omits the flag."""
    words: list[str] = []
    for key in sorted(args):
        value = args[key]
        if value is False:
            continue
        words.append(f"--{key}")
        if value is True:
            continue
        words.extend(format_value(item) for item in value) if isinstance(value, list) else words.append(
            format_value(value)
        )
    return words


def missing_interpreter(launch: Launch) -> Refusal | None:
    python = Path(launch.engine.python)
    if not python.exists():
        return Refusal(
            Cause.ENVIRONMENT,
            f"interpreter {python} of engine {launch.engine.name} does not exist",
            f"install the engine there, or mend engines.{launch.engine.name}.python",
            str(python),
        )
    if not os.access(python, os.X_OK):
        return Refusal(
            Cause.ENVIRONMENT, f"interpreter {python} is not executable", f"chmod +x {python}, then `qvlctl start`"
        )
    return None


def missing_model(launch: Launch) -> Refusal | None:
    """A model that is an absolute path must be there, a directory or one file (GGUF); a hub's name, and what only looks
    like a path (the engine expands no `~`, and runs in `/`), is the engine's business."""
    if launch.model.startswith("/") and not os.path.exists(launch.model):
        return Refusal(
            Cause.MODEL_MISSING,
            f"model {launch.model} does not exist",
            f"mount or download it to {launch.model}; the worker starts by itself once it is there",
            launch.model,
        )
    return None

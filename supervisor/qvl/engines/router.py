"""sglang-router, which stands in front of the workers of a pool: where it is installed, how it is started and asked.

Facts come from reading and running sglang-router 0.3.2 (docs/gateway.md). It needs an environment of its own only where
qvl's has none: the wheel fits any Python from 3.8 on and brings no torch.
"""

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from qvl.engines import router_main
from qvl.engines.base import Command, Place, Refusal, Surface, flags_of, surroundings
from qvl.model.spec import Launch
from qvl.model.worker import Cause

PACKAGE = "sglang_router"

DEFAULTS: dict[str, object] = {
    "log-level": "warn",  # at info it writes two lines for each request
    # Whether a worker is well is for the daemon to say. This is for the time without one: a page that a server which is
    # busy still answers, since a router that takes out a busy worker makes the others busier.
    "health-check-interval-secs": 10,
    "health-check-timeout-secs": 10,
    "health-failure-threshold": 3,
    # How long a step of taking a worker may last: a worker is handed over once it answers, and what waits for one that
    # has ended since takes a tenth of the router's attention.
    "worker-startup-timeout-secs": 10,
    "disable-circuit-breaker": True,  # ten answers of a full queue would take a worker out for a minute
}

SURFACE = Surface(alive="/liveness", ready="/liveness", owned=True)


HOME = Path("/var/lib/qvl/gateway")


class RouterDriver:
    """`home`: a directory of the daemon's for its control key, and the environment that is made for it."""

    def __init__(self, home: Path = HOME) -> None:
        self._home = home

    def preflight(self, launch: Launch) -> Refusal | None:
        configured = launch.engine.python
        if find_python(configured, self._home) is not None:
            return None
        where = f"{configured}, gateway_python of [supervisor], has no sglang-router"
        wanted = Path(configured) if configured else self._home / "bin" / "python"
        return Refusal(
            Cause.ENVIRONMENT,
            where if configured else "sglang-router is not installed",
            f"{install_line(self._home)}; or name an interpreter that has it as supervisor.gateway_python",
            None if wanted.exists() else str(wanted),
        )

    def command(self, launch: Launch, place: Place) -> Command:
        python = find_python(launch.engine.python, self._home) or self._home / "bin" / "python"
        keys = {"api_key": place.api_key, "control_key": control_key(self._home)}
        argv = [
            *(str(python), "-I", router_main.__file__, str(place.secrets / KEYS)),
            *("--host", launch.host, "--port", str(launch.port)),
            *("--health-check-endpoint", "/v1/models", "--prometheus-host", "127.0.0.1"),
            *(("--prometheus-port", str(place.nccl_port)) if place.nccl_port is not None else ()),
            *flags_of({name: value for name, value in DEFAULTS.items() if name not in launch.args}),
            *flags_of(launch.args),
        ]
        env = {**surroundings(place), "NO_COLOR": "1"}
        return Command(tuple(argv), env, files={KEYS: msgspec.json.encode(keys)})

    def surface(self, launch: Launch) -> Surface:
        return SURFACE

    def version(self, launch: Launch) -> str | None:
        return router_version(find_python(launch.engine.python, self._home))

    def advice(self, launch: Launch, cause: Cause, evidence: str) -> str | None:
        return None


KEYS = "gateway.json"


def find_python(configured: str, home: Path) -> Path | None:
    """The interpreter that has sglang-router: the configured one, else our own, the one that was made for it, or the
    one behind the program of that name on the PATH. None where there is none."""
    if configured:
        return Path(configured) if _has_router(Path(configured)) else None
    candidates = [Path(sys.executable), home / "bin" / "python", _behind(shutil.which("sglang-router"))]
    return next((python for python in candidates if python is not None and _has_router(python)), None)


def router_version(python: Path | None) -> str | None:
    """That of the sglang-router in the environment of an interpreter."""
    found = next((info for site in sites(python) for info in site.glob(f"{PACKAGE}-*.dist-info")), None)
    return found.name.removeprefix(f"{PACKAGE}-").removesuffix(".dist-info") if found is not None else None


def install_line(home: Path) -> str:
    """What to type for an environment that is found."""
    return f"python3 -m venv {home} && {home}/bin/pip install sglang-router"


def control_key(home: Path) -> str:
    """What the router asks of whoever adds and removes workers; made at the first call. OSError where it can't be."""
    file = home / "control.key"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        try:
            known = file.read_bytes().decode("ascii").strip()
        except UnicodeDecodeError:
            raise OSError(errno.EILSEQ, "it is no key of ours: remove it, and restart the gateway", str(file)) from None
        if known != "":
            return known
        file.unlink()  # a full disk has cut it short
        return control_key(home)
    with open(fd, "w") as made:
        made.write(key := secrets.token_urlsafe(32))
    return key


def _has_router(python: Path) -> bool:
    return os.access(python, os.X_OK) and any((site / PACKAGE).is_dir() for site in sites(python))


def sites(python: Path | None) -> Iterator[Path]:
    """Where the packages of an interpreter lie, if it is that of a virtual environment or of a prefix such as /usr."""
    if python is None:
        return
    if python == Path(sys.executable):
        yield from (Path(entry) for entry in sys.path if entry.endswith("-packages"))
    yield from python.parent.parent.glob("lib/python3*/*-packages")


def _behind(program: str | None) -> Path | None:
    """The interpreter of a script, by its first line."""
    if program is None:
        return None
    try:
        with open(program, "rb") as file:
            first = file.readline(4096)
    except OSError:
        return None
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    return Path(words[0]) if words else None

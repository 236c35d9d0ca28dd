"""SGLang: its command line, its environment, its HTTP surface.

Facts come from reading and running SGLang 0.5.3 to 0.5.23: a key on the command line shows in `ps`, so it goes through
a YAML file (`--config`, two words: `--config=x` is ignored; keys hyphenated); `$TMPDIR` collects sockets and metrics
directories that nothing removes; without SGLANG_CUDA_COREDUMP_BEFORE_CRASH=false a crashed server lingers for a minute.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from qvl.engines.advice import advice_of
from qvl.engines.base import (
    Command,
    Place,
    Refusal,
    Surface,
    flags_of,
    missing_interpreter,
    missing_model,
    surroundings,
)
from qvl.engines.flags import EngineNotFound, FlagTable
from qvl.engines.sglang_flags import load_flags, locate_sglang
from qvl.model.spec import Launch
from qvl.model.worker import Cause

ENVIRONMENT = {
    "SGLANG_CUDA_COREDUMP_BEFORE_CRASH": "false",
    "SGLANG_CUDA_COREDUMP_BEFORE_CRASH_WAIT_SECS": "0",
}
UNSET = ("PROMETHEUS_MULTIPROC_DIR",)
"""Two workers that share it would merge their metrics."""

QUIET_PATHS = ("/metrics", "/health", "/ready", "/model_info", "/get_model_info", "/v1/loads")
"""What we ask often; kept out of the access log where the version can."""


class SglangDriver:
    """`cache` keeps the flag tables of the installed versions."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache

    def preflight(self, launch: Launch) -> Refusal | None:
        return missing_interpreter(launch) or missing_model(launch)

    def command(self, launch: Launch, place: Place) -> Command:
        table = self._flags(launch)
        files = {"sglang.yaml": key_file(place.api_key)} if place.api_key else {}
        argv = [
            *(launch.engine.python, "-m", "sglang.launch_server"),
            *serving_flags(launch, place, bool(files)),
            *flags_of(our_defaults(launch.args, table)),
            *flags_of(spelled(launch.args, table)),
            *launch.raw_args,
        ]
        env = {**ENVIRONMENT, **self._caches(), **surroundings(place, launch.engine.python)}
        return Command(tuple(argv), env, UNSET, files)

    def surface(self, launch: Launch) -> Surface:
        return surface_of(launch)

    def version(self, launch: Launch) -> str | None:
        installed = locate_sglang(Path(launch.engine.python))
        return installed.version if installed else None

    def advice(self, launch: Launch, cause: Cause, evidence: str) -> str | None:
        return advice_of(self._flags(launch), launch, cause, evidence)

    def _caches(self) -> dict[str, str]:
        """torch keeps compiled kernels below $TMPDIR, which is new for each run: a warm cache is minutes of a start."""
        return {"TORCHINDUCTOR_CACHE_DIR": str(self._cache / "torchinductor")} if self._cache is not None else {}

    def _flags(self, launch: Launch) -> FlagTable | None:
        try:
            return load_flags(Path(launch.engine.python), self._cache)
        except (EngineNotFound, OSError, SyntaxError):
            return None


SURFACE = Surface(
    alive="/v1/models",
    ready="/health",
    deep="/health",
    metrics="/metrics",
    loads="/v1/loads",  # since 0.5.8
    openai=True,
    info=("/server_info", "/get_server_info"),  # the first since 0.5.6
    owned=True,
)
WATCHDOG = 300.0
"""Seconds after which SGLang ends a scheduler whose batch doesn't, unless --watchdog-timeout says otherwise."""
AFTER_WATCHDOG = 60.0


def surface_of(launch: Launch) -> Surface:
    own = launch.args.get("watchdog-timeout", WATCHDOG)
    patience = own if isinstance(own, int | float) and own > 0 else WATCHDOG
    return msgspec.structs.replace(SURFACE, watchdog=patience + AFTER_WATCHDOG)


def key_file(key: str) -> bytes:
    """The YAML that hands an engine its key. A JSON string is a YAML string."""
    return b"api-key: " + msgspec.json.encode(key) + b"\n"


def serving_flags(launch: Launch, place: Place, with_key: bool) -> list[str]:
    """What only we can know: where to listen and which model to serve."""
    words = ["--model-path", launch.model, "--host", launch.host, "--port", str(launch.port)]
    if place.nccl_port is not None:
        words += ["--nccl-port", str(place.nccl_port)]
    if with_key:
        words += ["--config", str(place.secrets / "sglang.yaml")]
    return words


def our_defaults(args: Mapping[str, object], table: FlagTable | None) -> dict[str, object]:
    """What supervision needs, unless the profile says otherwise or the version lacks it."""
    wanted: dict[str, object] = {
        "enable-metrics": True,
        "uvicorn-access-log-exclude-prefixes": list(QUIET_PATHS),
    }
    if table is None:
        return {} if "enable-metrics" in args else {"enable-metrics": True}
    return {name: value for name, value in wanted.items() if name not in args and table.find(name)}


def spelled(args: Mapping[str, object], table: FlagTable | None) -> dict[str, object]:
    """`false` for a flag with a negative form is that form; the installed version tells which have one."""
    words = dict(args)
    for name, value in args.items():
        flag = table.find(name) if table else None
        if value is False and flag is not None and flag.boolean_optional:
            del words[name]
            words[f"no-{name}"] = True
    return words

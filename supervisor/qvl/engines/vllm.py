"""vLLM: its command line, its environment, its HTTP surface.

Facts come from reading vLLM 0.8.5 to 0.32.0 and from running 0.32.0 on a CPU (docs/vllm.md). `vllm serve` is started as
the module of that name, since the script beside the interpreter names another one after an environment was moved; and
since the older entry point, `vllm.entrypoints.openai.api_server`, doesn't read its `--config` rightly before 0.12. A
key on the command line shows in `ps`, and VLLM_API_KEY in /proc/PID/environ for as long as the server lives, so it goes
through that YAML file, which is merged within the process. `/health` tells only whether the engine's process has said
that it died: one that hangs is healthy to it. A parent that was killed leaves its engine and workers behind.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

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
from qvl.engines.sglang import key_file, spelled
from qvl.engines.vllm_flags import load_flags, locate_vllm
from qvl.model.spec import Launch
from qvl.model.worker import Cause

MODULE = "vllm.entrypoints.cli.main"
LOOPBACK = "127.0.0.1"

NAMES: Mapping[str, str] = {
    "tp-size": "tensor-parallel-size",
    "pp-size": "pipeline-parallel-size",
    "dp-size": "data-parallel-size",
}
"""What flags of placement, which have one name for every engine here, are called by vLLM."""

UNSET = ("VLLM_API_KEY", "VLLM_PORT", "VLLM_HOST_IP", "HOST_IP", "PROMETHEUS_MULTIPROC_DIR")
"""What the daemon happened to inherit: Kubernetes sets VLLM_PORT to a URL where a service is called vllm, and two
workers that share a directory of metrics merge them."""

QUIET_PATHS = ("/metrics", "/health", "/v1/models")
"""What we ask often; kept out of the access log where the version can."""

SURFACE = Surface(
    alive="/health",
    ready="/health",
    deep="/v1/completions",
    # Without `model`, which stands for whatever the server has; one token that no cache of answers can give.
    question={"prompt": "1", "max_tokens": 1, "temperature": 0},
    metrics="/metrics",
    openai=True,
    owned=True,
)


class VllmDriver:
    """`cache` keeps the flag tables of the installed versions, and what vLLM compiles."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache

    def preflight(self, launch: Launch) -> Refusal | None:
        return missing_interpreter(launch) or missing_model(launch)

    def command(self, launch: Launch, place: Place) -> Command:
        table = self._flags(launch)
        files = {"vllm.yaml": key_file(place.api_key)} if place.api_key else {}
        argv = [
            *(launch.engine.python, "-m", MODULE),
            *serving_flags(launch, place, bool(files)),
            *flags_of(our_defaults(launch.args, table)),
            *flags_of(spelled(named(launch.args), table)),
            *launch.raw_args,
        ]
        env = {
            **dict(self._caches()),
            **surroundings(place, launch.engine.python),
            "VLLM_HOST_IP": LOOPBACK,  # else its parts talk to each other by the address of the host's default route
        }
        if place.nccl_port is not None:
            env["VLLM_PORT"] = str(place.nccl_port)
        return Command(tuple(argv), env, UNSET, files)

    def surface(self, launch: Launch) -> Surface:
        return SURFACE

    def version(self, launch: Launch) -> str | None:
        installed = locate_vllm(Path(launch.engine.python))
        return installed.version if installed else None

    def advice(self, launch: Launch, cause: Cause, evidence: str) -> str | None:
        return advice_of(self._flags(launch), launch, cause, evidence)

    def _caches(self) -> Iterator[tuple[str, str]]:
        """What was compiled is to outlive a run, whose home may be missing and whose $TMPDIR is new each time."""
        if self._cache is not None:
            yield "VLLM_CACHE_ROOT", str(self._cache / "vllm")
            yield "TORCHINDUCTOR_CACHE_DIR", str(self._cache / "torchinductor")

    def _flags(self, launch: Launch) -> FlagTable | None:
        try:
            return load_flags(Path(launch.engine.python), self._cache)
        except (EngineNotFound, OSError, SyntaxError):
            return None


def serving_flags(launch: Launch, place: Place, with_key: bool) -> list[str]:
    """What only we can know: which model to serve, where to listen, and a file with the key."""
    words = ["serve", launch.model]
    if with_key:
        words += ["--config", str(place.secrets / "vllm.yaml")]  # two words: `--config=x` is not looked for
    return [*words, "--host", launch.host, "--port", str(launch.port)]


def our_defaults(args: Mapping[str, object], table: FlagTable | None) -> dict[str, object]:
    """What supervision would like, unless the profile says otherwise or the version lacks it."""
    wanted = {"disable-access-log-for-endpoints": ",".join(QUIET_PATHS)}
    if table is None or "disable-uvicorn-access-log" in args:
        return {}
    return {name: value for name, value in wanted.items() if name not in args and table.find(name)}


def named(args: Mapping[str, object]) -> dict[str, object]:
    return {NAMES.get(name, name): value for name, value in args.items()}

"""The declaration of the config file: every table, every key, what it means and what it may be.

The loader reads by it and the JSON Schema is generated from it; defaults are those of the structs it names.
"""

from typing import Final

import msgspec

from qvl.config.compound import Args, Env, Gpus, Mapped, Texts
from qvl.config.declare import Field, Named, Section
from qvl.config.kinds import (
    Choice,
    Duration,
    Flag,
    Refused,
    Size,
    Text,
    Whole,
    absolute_path,
    host_name,
    model_name,
    url_path,
)
from qvl.config.settings import Pool, Supervisor
from qvl.model.spec import Engine, EngineKind, HealthPolicy, LogPolicy, RestartMode, RestartPolicy, StopPolicy, Way
from qvl.model.worker import Cause

_PATH: Final = Text(absolute_path)


_COUNTS: Final = frozenset(str(count) for count in range(1, 65))


def _gpu_source(text: str) -> None:
    kind, _, count = text.partition(":")
    if text in ("nvml", "none") or (kind == "simulated" and count in _COUNTS):
        return
    near = '"simulated:4"' if kind.startswith("sim") else ""
    raise Refused(f'"{text}" is none of "nvml", "simulated:N" (N from 1 to 64), "none"', near)


def _readiness(text: str) -> None:
    if text != "started" and not text.startswith("/"):
        raise Refused(f'"{text}" must be a path such as "/health", or "started"')


class ProfileTable(msgspec.Struct, frozen=True):
    """A profile as it is written, before what it extends is merged in."""

    extends: str | None = None
    engine: str | None = None
    model: str | None = None
    raw_args: tuple[str, ...] | None = None
    args: dict[str, object] = {}
    env: dict[str, str] = {}
    unset: tuple[str, ...] = ()


SUPERVISOR: Final = Section(
    "The daemon itself. Takes effect when it is started again, except auto_apply and on_stop.",
    {
        "gpus": Field(
            Text(_gpu_source, {"pattern": "^(nvml|none|simulated:[1-9][0-9]?)$"}),
            'Where GPUs come from: "nvml", "simulated:N" for N pretended ones, or "none".',
        ),
        "auto_apply": Field(
            Flag(("safe",)),
            'true: edits are applied when saved; "safe": only what interrupts nobody; false: wait for `qvlctl apply`.',
        ),
        "on_stop": Field(
            Choice(("stop", "leave")), 'What a stop of the daemon does to workers: "stop", or "leave" them serving.'
        ),
        "operator_group": Field(Text(), "Members may act. The owner and root always may."),
        "viewer_group": Field(Text(), "Members may look and not touch."),
        "metrics_listen": Field(Text(), "Reserved for Prometheus text; has to be empty in this version."),
        "gateway_python": Field(
            _PATH, "The interpreter that has sglang-router; left out, it is looked for where qvl itself is installed."
        ),
        "socket": Field(_PATH, "The control socket; view.sock lies beside it."),
        "state_dir": Field(_PATH, "What has to outlive the daemon."),
        "log_dir": Field(_PATH, "A directory per worker with its output."),
    },
    Supervisor,
)

ENGINE: Final = Section(
    "A way to run an inference server.",
    {
        "kind": Field(
            Choice(tuple(kind for kind in EngineKind if kind is not EngineKind.ROUTER)),
            '"sglang": an interpreter that has it; "command": any command line; "simulated": ours, needs no GPU.',
            required=True,
        ),
        "python": Field(_PATH, "The interpreter that has the engine installed; for kinds sglang and vllm."),
        "command": Field(
            Texts(), "The command line, for kind command; {port}, {host}, {gpus}, {model} and others are filled in."
        ),
        "env": Field(Env(), "Environment of every worker of this engine. Not secret: it is shown."),
        "env_file": Field(_PATH, "A file of NAME=value lines that are secret: redacted everywhere."),
        "ready": Field(
            Text(_readiness, {"pattern": "^(/.*|started)$"}),
            'For kind command: a path that answers 200 when ready, or "started": alive for a second.',
        ),
        "smoke": Field(
            Text(url_path, {"pattern": "^(/.*)?$"}),
            "For kind command: a path that must answer 200 before a switch commits.",
        ),
    },
    Engine,
)

PROFILE: Final = Section(
    "A named recipe: engine, model, engine arguments, environment.",
    {
        "extends": Field(Text(), "The profile that this one is merged over, key by key."),
        "engine": Field(Text(), "A name under [engines]."),
        "model": Field(Text(model_name), "A directory, or a name on the model hub. Optional for kind command."),
        "raw_args": Field(Texts(), "Words handed over unchecked, after the rest."),
        "args": Field(
            Args(),
            "The engine's own flags, without the leading dashes; true: the bare flag, a list: repeated values, "
            "a table: JSON.",
        ),
        "env": Field(Env(), "Environment, over the engine's. Not secret: it is shown."),
        "unset": Field(Texts(), 'Removes what is inherited: "args.NAME" or "env.NAME".'),
    },
    ProfileTable,
)

RESTART: Final = Section(
    "What follows the unrequested end of a worker.",
    {
        "mode": Field(
            Choice(tuple(RestartMode)),
            '"always"; "on-failure": exit 0 of a command engine is final; "never".',
        ),
        "backoff": Field(Duration(positive=True), "The first delay; it doubles, with jitter."),
        "backoff_max": Field(Duration(positive=True), "The longest delay."),
        "reset_after": Field(Duration(positive=True), "Ready for this long: the count starts anew."),
        "max_restarts": Field(Whole(0, 10_000), "Within `window`; past it the worker is failed."),
        "window": Field(Duration(positive=True), "The time in which restarts are counted."),
        "causes": Field(
            Mapped(tuple(cause for cause in Cause if cause is not Cause.REQUESTED), tuple(Way), "cause"),
            "Another way to go on for a cause.",
        ),
    },
    RestartPolicy,
)

HEALTH: Final = Section(
    "How a worker is watched.",
    {
        "stall_timeout": Field(
            Duration(positive=True), "Starting without any sign of progress for this long: stalled."
        ),
        "interval": Field(Duration(positive=True), "Between cheap checks."),
        "deep_interval": Field(Duration(positive=True), "Between real generations; only when idle, one at a time."),
        "timeout": Field(Duration(positive=True), "Of one check."),
        "failures": Field(Whole(1, 1000), "Failed checks in a row until it counts as hung."),
    },
    HealthPolicy,
)

STOP: Final = Section(
    "How a worker is stopped.",
    {
        "drain": Field(Duration(), "Wait this long for requests in flight."),
        "term": Field(Duration(), "From SIGTERM to SIGKILL of the whole tree."),
    },
    StopPolicy,
)

LOGS: Final = Section(
    "What is kept of a worker's output.",
    {
        "max_size": Field(Size(1000), "Of one file."),
        "keep": Field(Whole(0, 1000), "Older files that stay."),
    },
    LogPolicy,
)

POLICIES: Final = {"restart": RESTART, "health": HEALTH, "stop": STOP, "logs": LOGS}

POOL: Final = Section(
    "GPUs that run one profile behind one endpoint.",
    {
        "profile": Field(Text(), "A name under [profiles].", required=True),
        "gpus": Field(Gpus(), '"all", a count, a list of indexes or UUIDs, or "none".'),
        "workers": Field(Whole(1, 256), 'How many workers, where gpus = "none".'),
        "host": Field(Text(host_name), "The address that workers listen on, or their gateway."),
        "port": Field(
            Whole(1, 65535),
            "Worker i listens on port + i. A gateway listens here itself, and worker i on 127.0.0.1 at port + 1 + i.",
        ),
        "autostart": Field(Flag(), "Whether a worker is wanted up when it is first seen."),
        "standby": Field(Texts(), "Reserved for parked profiles; has to be empty in this version."),
        "gateway": Field(
            Choice(("none", "sglang-router")),
            '"sglang-router": one address in front of all workers, which takes each out before it drains.',
        ),
        "gateway_args": Field(Args(), "The gateway's own flags, without the leading dashes, such as policy."),
        "external_workers": Field(
            Texts(), 'URLs of servers elsewhere that the gateway takes too, such as "http://10.0.0.2:8000".'
        ),
        "api_key_file": Field(_PATH, "A file with the key; never the key itself."),
        **POLICIES,
    },
    Pool,
    {key: f"it belongs under [pools.NAME.{table}]" for table, part in POLICIES.items() for key in part.fields},
)

ENGINES: Final = Named("Ways to run an inference server.", ENGINE, "engine")
PROFILES: Final = Named("Recipes.", PROFILE, "profile")
POOLS: Final = Named("What runs where.", POOL, "pool", taken=("all",))

ROOT: Final = Section(
    "qvl: SGLang workers, watched over.",
    {"supervisor": SUPERVISOR, "engines": ENGINES, "profiles": PROFILES, "pools": POOLS},
)

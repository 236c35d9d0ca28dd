"""Configurations, profiles and plans to look at."""

from qvl.model.api import ArgOrigin, ProfileDetail, Resolved, ResolvedValue
from qvl.model.config import ConfigFault, ConfigFile, ConfigView
from qvl.model.plan import Action, KeyChange, Plan, PlanStep, PlanWarning
from qvl.model.status import ConfigStatus

ARGS = (
    ArgOrigin("model-path", "Qwen/Qwen3-VL-8B-Instruct", "profile standard"),
    ArgOrigin("context-length", "32k", "profile standard"),
    ArgOrigin("mem-fraction-static", 0.85, "profile standard"),
    ArgOrigin("enable-metrics", True, "qvl"),
)
EAGLE = (
    KeyChange("args.speculative-algorithm", None, "EAGLE3"),
    KeyChange("args.speculative-draft-model-path", None, "/models/Qwen3-VL-8B-Instruct-Eagle3"),
)


def detail(name: str, pool: str) -> ProfileDetail:
    eagle = tuple(ArgOrigin(key.key.removeprefix("args."), key.new, "profile eagle3") for key in EAGLE)
    return ProfileDetail(
        name=name,
        engine="sglang",
        model=f"Qwen/Qwen3-VL-{'32B' if name == 'big' else '8B'}-Instruct",
        args=(*ARGS, *(eagle if name == "eagle3" else ()), ArgOrigin("port", 8000, f"pool {pool}")),
        env=(ArgOrigin("HF_HOME", "/opt/nvme/hf", "engine sglang"),),
        raw_args=(),
        command=("python", "-m", "sglang.launch_server", "--context-length", "32k"),
        pool=pool,
    )


def resolved(worker: str) -> Resolved:
    """What its engine made of the arguments of `detail`: of one of them something else."""
    return Resolved(
        worker=worker,
        pool="qwen3-vl",
        profile="standard",
        engine="sglang",
        version="0.5.18",
        values=(
            ResolvedValue("context-length", 32000, (), "32k", differs=True, common=True),
            ResolvedValue("mem-fraction-static", 0.85, (), 0.85, common=True),
            ResolvedValue("attention-backend", "fa3", common=True),
            ResolvedValue("cuda-graph-bs", [1, 2, 4, *range(8, 257, 8)], common=True),
            ResolvedValue("quantization", None, common=True),
            ResolvedValue("enable-metrics", True),
            ResolvedValue("port", 8000),
            ResolvedValue("log-level", "info"),
        ),
        hidden=("api-key",),
    )


def eagle_plan(*workers: str, requests: int = 3, downtime: float | None = 31.0) -> Plan:
    """Of a switch to eagle3: the first worker has requests in flight."""
    keys = (KeyChange("profile", "standard", "eagle3"), *EAGLE)
    steps = tuple(
        PlanStep(name, Action.RESTART, keys, downtime, requests if n == 0 else 0, 60.0)
        for n, name in enumerate(workers)
    )
    return Plan("a1", steps)


CONFIG_TEXT = """\
# The vision pool of this host.

[engines.sglang]
kind = "sglang"
python = "/opt/sglang/bin/python"

[engines.sglang.env]
HF_TOKEN = "[redacted]"

[profiles.standard]
engine = "sglang"
model = "Qwen/Qwen3-VL-8B-Instruct"
args = { mem-fraction-static = 0.85, tp = 1 }

[profiles.eagle3]
extends = "standard"
[profiles.eagle3.args]
speculative-algorithm = "EAGLE3"
speculative-draft-model-path = "/models/Qwen3-VL-8B-Instruct-Eagle3"

[pools.qwen3-vl]
profile = "standard"
gpus = [0, 1, 2, 3]  # all of them
port = 8000
"""
CONFIG_PATH = "/etc/qvl/qvl.toml"
DROP_IN = "/etc/qvl/qvl.d/50-local.toml"


def view(text: str | None = CONFIG_TEXT, **changes: object) -> ConfigView:
    """The configuration as it is read: applied, without a fault, and changing nothing."""
    known: dict[str, object] = {
        "status": ConfigStatus(CONFIG_PATH, "a1", "a1"),
        "revision": "a1",
        "files": (ConfigFile(CONFIG_PATH, text, redacted=1 if text else 0),),
        "plan": Plan("a1", (PlanStep("qwen3-vl-0", Action.KEEP),)),
    }
    return ConfigView(**(known | changes))  # type: ignore[arg-type]


def refused() -> ConfigView:
    """Two faults and a warning, one of them in a drop-in; the last good revision runs."""
    text = CONFIG_TEXT.replace("port = 8000", "port = 70000").replace('kind = "sglang"', 'knd = "sglang"')
    faults = (
        ConfigFault(CONFIG_PATH, 4, "engines.sglang.knd", "unknown key", 'did you mean "kind"?'),
        ConfigFault(CONFIG_PATH, 24, "pools.qwen3-vl.port", "70000 is out of range: 1 to 65535"),
        ConfigFault(DROP_IN, 2, "supervisor.auto_aply", "unknown key", 'did you mean "auto_apply"?'),
    )
    warning = ConfigFault(
        CONFIG_PATH,
        8,
        "engines.sglang.env.HF_TOKEN",
        "looks like a secret, and this file holds it in the clear",
        "the engine's env_file",
    )
    error = "\n".join(f"{fault.file}:{fault.line}: {fault.key}: {fault.message}" for fault in faults)
    return view(
        status=ConfigStatus(CONFIG_PATH, "b7", "a1", error),
        revision="b7",
        files=(
            ConfigFile(CONFIG_PATH, text, redacted=1),
            ConfigFile(DROP_IN, "[supervisor]\nauto_aply = true\n"),
        ),
        faults=faults,
        warnings=(warning,),
        plan=None,
    )


def pending() -> ConfigView:
    """An edit that waits for `apply`: it changes one worker, and removes a pool."""
    change = KeyChange("args.mem-fraction-static", 0.85, 0.9)
    steps = (
        PlanStep("qwen3-vl-0", Action.RESTART, (change,), 31.0, 3, 60.0),
        PlanStep("qwen3-vl-1", Action.RESTART, (change,), 31.0, 0, 60.0),
        PlanStep("chat-0", Action.STOP, (), None, 1, 60.0),
    )
    warning = PlanWarning(
        "qwen3-vl-1", "GPU 1 has 70 GiB free, the model needs 75 GiB", "lower mem-fraction-static", True
    )
    return view(
        CONFIG_TEXT.replace("0.85", "0.9"),
        status=ConfigStatus(CONFIG_PATH, "b7", "a1", None, True),
        revision="b7",
        plan=Plan("b7", steps, removes_pools=("chat",), warnings=(warning,)),
    )

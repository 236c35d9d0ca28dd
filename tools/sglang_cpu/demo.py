"""The qvl configuration that serves the tiny model by the real SGLang on a CPU.

The flags and variables that such a server needs stand here once; `etc/cpu.toml` is the same for people to read, and a
test keeps the two equal. install.sh makes the environment, and make_model.py the model.

    python -m tools.sglang_cpu.demo SGLANG_PYTHON [--for 20s]
"""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import tomli_w

from tools.sglang_cpu import make_model

ENVIRONMENT: Mapping[str, str] = {
    # Without it SGLang 0.5.18 takes a Linux host for one with CUDA.
    "SGLANG_USE_CPU_ENGINE": "1",
    # The model is local: no request to the hub, and none to wait for where there is no network.
    "HF_HUB_OFFLINE": "1",
    # TorchDynamo would compile some helpers by a C++ compiler, at the first requests.
    "TORCHDYNAMO_DISABLE": "1",
    # The model is tiny: more threads only contend with each other.
    "OMP_NUM_THREADS": "1",
}
ARGS: Mapping[str, str | int | bool] = {
    "device": "cpu",
    "attention-backend": "torch_native",
    "load-format": "dummy",
    "max-total-tokens": 8192,  # otherwise the KV cache takes a share of the host's memory
    "disable-overlap-schedule": True,
}


def config(sglang_python: Path, model: Path, port: int) -> str:
    """TOML of a configuration with one pool, `tiny`, of one worker behind `port` of the loopback."""
    return tomli_w.dumps(
        {
            "supervisor": {"gpus": "none"},
            "engines": {"sglang-cpu": {"kind": "sglang", "python": str(sglang_python), "env": dict(ENVIRONMENT)}},
            "profiles": {"tiny": {"engine": "sglang-cpu", "model": str(model), "args": dict(ARGS)}},
            "pools": {"tiny": {"profile": "tiny", "gpus": "none", "workers": 1, "host": "127.0.0.1", "port": port}},
        }
    )


def main(python: str) -> None:
    """Make the model in a directory of its own and hand over to `qvlctl up --demo`. The model's directory stays behind
    a moment longer than the demo does, and goes then."""
    with tempfile.TemporaryDirectory(prefix="qvl-sglang-") as folder:
        model = Path(folder, "tiny-qwen3-VL")
        make_model.make(model)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        file = Path(folder, "qvl.toml")
        file.write_text(config(Path(python).absolute(), model, port))
        qvlctl = Path(sys.executable).with_name("qvlctl")
        sys.exit(subprocess.call([qvlctl, "up", "--demo", "--config", str(file), *sys.argv[2:]]))


if __name__ == "__main__":
    main(sys.argv[1])

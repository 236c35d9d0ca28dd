"""The real vLLM on this machine's CPU, under a daemon, once for the file: a start takes some 30 s."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.harness import BRISK, Daemon, Table
from tests.sglang.conftest import leaving_nothing
from tests.sglang.tree import Tree
from tools.sglang_cpu import make_model

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".vllm" / "bin" / "python"
KEY = "sk-never-to-be-seen-4712"
VERSION = "0.32.0+cpu"

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # the model is tiny: more threads only contend with each other
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; else a share of the host's memory
    "VLLM_NO_USAGE_STATS": "1",
}
ARGS = {"load-format": "dummy", "max-model-len": 1024, "enforce-eager": True}


def make(directory: Path) -> Path:
    """The tiny Qwen3-VL with heads of 64: vLLM's attention for CPUs takes none of 16."""
    make_model.make(directory)
    file = directory / "config.json"
    config: dict[str, Any] = json.loads(file.read_text())
    config["text_config"]["head_dim"] = 64
    config["text_config"]["rope_scaling"]["mrope_section"] = [16, 8, 8]  # together half of it
    file.write_text(json.dumps(config))
    return directory


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Not started. Pool `chat` with one vLLM worker, and pool `other` of simulated SGLang beside it."""
    if not PYTHON.exists():
        if os.environ.get("QVL_REQUIRE_VLLM"):
            pytest.fail(f"{PYTHON} is missing: make vllm")
        pytest.skip(f"{PYTHON} is missing: make vllm")
    root = tmp_path_factory.mktemp("vllm")
    model = make(root / "model")
    key_file = root / "key"
    key_file.touch(0o600)
    key_file.write_text(KEY + "\n")
    config: Table = {
        "supervisor": {"gpus": "none"},
        "engines": {"cpu": {"kind": "vllm", "python": str(PYTHON), "env": ENVIRONMENT}},
        "profiles": {
            "standard": {"engine": "cpu", "model": str(model), "args": None},
            "short": {"extends": "standard", "args": {"max-num-seqs": 4}},
            "broken": {"extends": "standard", "args": {"max-model-len": 999_999}},
            "simulated": {"engine": "sim", "model": "Qwen/Qwen3-VL-8B-Instruct", "args": {"sim-load-seconds": 0.1}},
        },
        "pools": {"chat": {"gpus": "none", "workers": 1, "api_key_file": str(key_file), **BRISK}},
    }
    with leaving_nothing() as trees, Daemon(root, config, {"profiles": {"standard": {"args": ARGS}}}) as it:
        it.edit(
            {"pools": {"chat": {"stop": {"drain": "10s", "term": "30s"}}}},
            {"pools": {"other": {"profile": "simulated", "gpus": "none", "workers": 1, "port": it.port + 4, **BRISK}}},
        )
        yield it
        trees += [Tree(pid) for pid in it.processes()]

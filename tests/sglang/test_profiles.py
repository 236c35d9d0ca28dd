"""The profiles under etc/profiles against the SGLang that is installed: its flags, and what it makes of YaRN."""

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from qvl.config.flags import installed_check
from qvl.config.load import load

from tests.sglang.conftest import PYTHON, REPOSITORY

pytestmark = [pytest.mark.sglang]
ETC = REPOSITORY / "etc"
PROFILES = sorted((ETC / "profiles").glob("*.toml"))

QWEN3_32B = {
    "architectures": ["Qwen3ForCausalLM"],
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 5120,
    "intermediate_size": 25600,
    "max_position_embeddings": 40960,
    "model_type": "qwen3",
    "num_attention_heads": 64,
    "num_hidden_layers": 64,
    "num_key_value_heads": 8,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "torch_dtype": "bfloat16",
    "vocab_size": 151936,
}
"""What its config.json says of its shape; from https://huggingface.co/Qwen/Qwen3-32B."""

DERIVE = """
import json, sys
from sglang.srt.configs.model_config import ModelConfig
model = ModelConfig(sys.argv[1], context_length=int(sys.argv[2]), model_override_args=sys.argv[3])
print(json.dumps([model.context_len, model.hf_text_config.rope_parameters]))
"""


@pytest.fixture
def python() -> Path:
    if not PYTHON.exists():
        if os.environ.get("QVL_REQUIRE_SGLANG"):
            pytest.fail(f"{PYTHON} is missing: make sglang")
        pytest.skip(f"{PYTHON} is missing: make sglang")
    return PYTHON


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_it_has_every_flag_and_knows_every_choice(path: Path, python: Path, tmp_path: Path) -> None:
    text = (ETC / "minimal.toml").read_text()
    main = tmp_path / "qvl.toml"
    main.write_text(text.replace("/opt/qvl/engines/sglang/bin/python", str(python)))
    (tmp_path / "qvl.d").mkdir()
    shutil.copy(path, tmp_path / "qvl.d")
    loaded = load(main, flag_check=installed_check())
    assert [str(fault) for fault in (*loaded.faults, *loaded.warnings)] == []
    assert loaded.config is not None
    assert {engine.python for engine in loaded.config.engines.values()} == {str(python)}


def test_yarn_gives_the_context_that_the_profile_asks_for(python: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_32B))
    file = ETC / "profiles" / "qwen3-32b-128k.toml"
    profile: dict[str, Any] = tomllib.loads(file.read_text())["profiles"]["qwen3-32b-128k"]
    args, env = profile["args"], profile["env"]
    override = args["json-model-override-args"]

    def derived(extra: dict[str, str]) -> subprocess.CompletedProcess[str]:
        quiet = {
            "SGLANG_USE_CPU_ENGINE": "1",
            "HF_HUB_OFFLINE": "1",
            "TORCHDYNAMO_DISABLE": "1",
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [python, "-c", DERIVE, str(tmp_path), str(args["context-length"]), json.dumps(override)],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **quiet, **extra},
            capture_output=True,
            text=True,
            timeout=100,
        )

    ran = derived(env)
    assert ran.returncode == 0, ran.stderr[-2000:]
    length, rope = json.loads(ran.stdout.splitlines()[-1])
    assert length == 131072
    assert {name: rope[name] for name in override["rope_scaling"]} == override["rope_scaling"]
    refused = derived({})
    assert "greater than the derived context_length (40960)" in refused.stderr

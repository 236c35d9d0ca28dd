"""The real SGLang on this machine's CPU, under a daemon, once for all tests here: a start takes some 20 s."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.harness import BRISK, Daemon
from tools.sglang_cpu import demo, make_model

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".sglang" / "bin" / "python"
KEY = "sk-never-to-be-seen-4711"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Not started. Pool `chat` with one worker, profile `standard`, and a second good profile and a bad one."""
    if not PYTHON.exists():
        if os.environ.get("QVL_REQUIRE_SGLANG"):
            pytest.fail(f"{PYTHON} is missing: make sglang")
        pytest.skip(f"{PYTHON} is missing: make sglang")
    root = tmp_path_factory.mktemp("sglang")
    make_model.make(root / "model")
    key_file = root / "key"
    key_file.touch(0o600)
    key_file.write_text(KEY + "\n")
    with Daemon(
        root,
        {
            "supervisor": {"gpus": "none"},
            "engines": {
                "sim": None,
                "cpu": {"kind": "sglang", "python": str(PYTHON), "env": dict(demo.ENVIRONMENT)},
            },
            "profiles": {
                "standard": {"engine": "cpu", "model": str(root / "model"), "args": None},
                "wide": {"extends": "standard", "args": {"max-total-tokens": 4096}},
                "broken": {"extends": "standard", "model": str(root / "nowhere")},
            },
            "pools": {
                "chat": {
                    "gpus": "none",
                    "workers": 1,
                    "api_key_file": str(key_file),
                    **BRISK,
                    "stop": {"drain": "10s", "term": "30s"},
                }
            },
        },
        {"profiles": {"standard": {"args": dict(demo.ARGS)}}},
    ) as it:
        yield it

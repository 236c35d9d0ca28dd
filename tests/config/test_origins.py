"""What a profile comes to, and where each part comes from."""

from pathlib import Path

import pytest
from qvl.config.origins import ANEW, HIDDEN, Around, names_a_secret, origins, profile_infos
from qvl.model.api import ArgOrigin, ProfileInfo
from qvl.model.error import ErrorCode, QvlError

from tests.config.files import config_of

TEXT = """
[engines.sim]
kind = "simulated"
env = { A = "engine", B = "engine", HF_TOKEN = "hf_x", PATH = "/mine" }
[profiles.standard]
engine = "sim"
model = "m"
raw_args = ["--raw", "--x"]
args = { x = 1, y = { a = 1 } }
env = { B = "profile", SGLANG_X = "true" }
[profiles.fast]
extends = "standard"
args = { y = { b = 2 }, a = true, off = false }
[pools.p]
profile = "standard"
"""


SETTINGS: dict[str, object] = {"host": "127.0.0.1", "port": 8000, "gpus": [0], "api_key_file": "/k"}
ARGV = (
    *("python", "-I", "-m", "x", "--model-path", "m", "--host", "127.0.0.1", "--port", "8000", "--nccl-port", "0"),
    *("--config", "SECRETS/sglang.yaml", "--enable-metrics", "--quiet", "/a", "/b", "--a", "--no-off", "--x", "1"),
    *("--share", "0.5", "--y", '{"a":1,"b":2}', "--raw", "--x"),
)
ENV = {"B": "ours", "TMPDIR": "TMPDIR", "CUDA_VISIBLE_DEVICES": "GPU-0", "PATH": "/p", "SGLANG_X": "false"}


def test_every_argument_tells_where_it_comes_from(tmp_path: Path) -> None:
    around = Around("p", SETTINGS, ARGV, ENV)
    detail = origins(config_of(tmp_path, TEXT), "fast", around)
    assert (detail.name, detail.engine, detail.model, detail.raw_args) == ("fast", "sim", "m", ("--raw", "--x"))
    assert detail.args == (
        ArgOrigin("a", True, "profile fast"),
        ArgOrigin("config", "SECRETS/sglang.yaml", "qvl"),
        ArgOrigin("enable-metrics", True, "qvl"),
        ArgOrigin("host", "127.0.0.1", "pool p"),
        ArgOrigin("model-path", "m", "profile standard"),
        ArgOrigin("nccl-port", "a free one at each start", "qvl"),
        ArgOrigin("off", False, "profile fast"),
        ArgOrigin("port", 8000, "pool p"),
        ArgOrigin("quiet", ["/a", "/b"], "qvl"),
        ArgOrigin("share", 0.5, "qvl"),
        ArgOrigin("x", 1, "profile standard"),
        ArgOrigin("y", {"a": 1, "b": 2}, "profile fast"),
    )
    assert detail.env == (
        ArgOrigin("A", "engine", "engine sim"),
        ArgOrigin("B", "ours", "qvl"),  # a worker would not get the profile's
        ArgOrigin("CUDA_VISIBLE_DEVICES", "GPU-0", "pool p"),
        ArgOrigin("HF_TOKEN", HIDDEN, "engine sim"),
        ArgOrigin("PATH", "/mine", "engine sim"),  # ours are defaults only
        ArgOrigin("SGLANG_X", "true", "profile standard"),
        ArgOrigin("TMPDIR", "TMPDIR", "qvl"),
    )
    assert detail.pool == "p"
    assert detail.place == tuple(ArgOrigin(key, value, "pool p") for key, value in SETTINGS.items())
    assert detail.command[8:12] == ("--port", "8000", "--nccl-port", "NCCL_PORT")


def test_what_only_a_pool_knows_is_left_out_without_one(tmp_path: Path) -> None:
    argv = ("python", "--host", "127.0.0.1", "--port", "0", "--x", "1", "--raw", "--x")
    detail = origins(config_of(tmp_path, TEXT), "fast", Around(argv=argv))
    assert {"host", "port"} & {arg.key for arg in detail.args} == set()
    assert (detail.pool, detail.place) == (None, ())
    assert detail.command[3:5] == ("--port", "PORT")


def test_a_model_without_a_flag_is_an_argument_too(tmp_path: Path) -> None:
    around = Around(argv=("python", "serve", "m", "--x", "1", "--raw", "--x"), env={"VLLM_PORT": "0"})
    detail = origins(config_of(tmp_path, TEXT), "fast", around)
    assert ArgOrigin("model", "m", "profile standard") in detail.args
    assert ArgOrigin("VLLM_PORT", ANEW, "qvl") in detail.env


def test_a_profile_may_be_looked_at_without_its_command_line(tmp_path: Path) -> None:
    assert {arg.key for arg in origins(config_of(tmp_path, TEXT), "fast").args} == {"a", "off", "x", "y"}


def test_an_unknown_profile_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(QvlError) as caught:
        origins(config_of(tmp_path, TEXT), "fats")
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert (caught.value.message, caught.value.hint) == ('there is no profile "fats"', 'did you mean "fast"?')


def test_profiles_tell_who_runs_them(tmp_path: Path) -> None:
    config = config_of(tmp_path, TEXT)
    assert profile_infos(config) == (
        ProfileInfo("standard", "sim", "m", None, ("p",)),
        ProfileInfo("fast", "sim", "m", "standard", ()),
    )
    assert [info.used_by for info in profile_infos(config, {"p": "fast"})] == [(), ("p",)]


@pytest.mark.parametrize("name", ["HF_TOKEN", "hf_token", "api-key", "apiKey", "Authorization", "X-Api-Key"])
def test_the_name_of_a_secret_is_one_however_it_is_spelled(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize("name", ["maxTokens", "tokenizer-path", "KEYS", "monkey"])
def test_what_only_sounds_like_one_is_none(name: str) -> None:
    assert not names_a_secret(name)

"""The command lines that drivers make, word by word, with and without a table of the installed version's flags."""

import json
import shlex
from pathlib import Path

import msgspec
import pytest
from qvl.daemon.launcher import environment
from qvl.engines.base import Place, flags_of
from qvl.engines.catalog import drivers
from qvl.engines.command import CommandDriver
from qvl.engines.flags import Flag, FlagTable
from qvl.engines.sglang import SglangDriver, key_file, our_defaults, spelled
from qvl.engines.simulated import SimulatedDriver
from qvl.engines.vllm import VllmDriver
from qvl.engines.vllm import our_defaults as vllm_defaults
from qvl.model.spec import Engine, EngineKind, Launch
from qvl.model.worker import Cause

PLACE = Place("chat-0", Path("/t"), Path("/run/secrets/chat-0"), ("GPU-a", "GPU-b"), 20001, None)


def table(*names: str, optional: str = "") -> FlagTable:
    return FlagTable.of("0.5.18", [Flag(name=n, spellings=(n,), boolean_optional=n == optional) for n in names])


def sglang(python: str = "/no/such/python", **more: object) -> Launch:
    launch = Launch(engine=Engine("sglang", EngineKind.SGLANG, python=python), model="Qwen/Qwen3-VL-8B", port=8001)
    return msgspec.structs.replace(launch, **more)


# ---- arguments


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({}, ""),
        ({"enable-metrics": True, "disable-radix-cache": False}, "--enable-metrics"),
        ({"tp-size": 2, "mem-fraction-static": 0.85}, "--mem-fraction-static 0.85 --tp-size 2"),
        ({"cuda-graph-bs": [1, 2, 4]}, "--cuda-graph-bs 1 2 4"),
        ({"model-override": {"a": {"b": True}, "c": [1]}}, """--model-override '{"a":{"b":true},"c":[1]}'"""),
        ({"chat-template": "a b"}, "--chat-template 'a b'"),
        ({"seed": 0, "lr": -1.5}, "--lr -1.5 --seed 0"),
        ({"b": "1", "a": "2"}, "--a 2 --b 1"),
    ],
)
def test_values_become_words(args: dict[str, object], line: str) -> None:
    assert shlex.join(flags_of(args)) == line


def test_the_same_arguments_make_the_same_line_in_whatever_order_they_were_written() -> None:
    assert flags_of({"x": 1, "a": True}) == flags_of({"a": True, "x": 1})


# ---- sglang


def test_sglang_without_an_installation_to_ask_gets_what_every_version_has() -> None:
    argv = SglangDriver().command(sglang(args={"tp-size": 2}, raw_args=("--extra", "x")), PLACE).argv
    assert shlex.join(argv) == (
        "/no/such/python -m sglang.launch_server --model-path Qwen/Qwen3-VL-8B --host 127.0.0.1 --port 8001"
        " --nccl-port 20001 --enable-metrics --tp-size 2 --extra x"
    )


def test_defaults_of_ours_are_left_out_where_the_version_or_the_profile_says_otherwise() -> None:
    both = table("enable-metrics", "uvicorn-access-log-exclude-prefixes")
    assert list(our_defaults({}, both)) == ["enable-metrics", "uvicorn-access-log-exclude-prefixes"]
    assert list(our_defaults({}, table("enable-metrics"))) == ["enable-metrics"]
    assert our_defaults({"enable-metrics": False}, table("enable-metrics")) == {}
    assert our_defaults({"enable-metrics": False}, None) == {}


def test_false_is_the_negative_form_where_there_is_one() -> None:
    known = table("overlap", "plain", optional="overlap")
    assert flags_of(spelled({"overlap": False, "plain": False}, known)) == ["--no-overlap"]
    assert flags_of(spelled({"overlap": True, "plain": True}, known)) == ["--overlap", "--plain"]
    assert flags_of(spelled({"overlap": False, "plain": False}, None)) == []


def test_sglang_runs_in_a_place_of_its_own(tmp_path: Path) -> None:
    command = SglangDriver(tmp_path).command(sglang("/opt/sglang/bin/python"), PLACE)
    assert command.env["TMPDIR"] == "/t"
    assert command.env["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert command.env["PATH"].startswith("/opt/sglang/bin:")
    assert command.env["PYTHONUNBUFFERED"] == "1"
    assert command.env["SGLANG_CUDA_COREDUMP_BEFORE_CRASH"] == "false"
    assert command.env["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "torchinductor")
    assert command.unset == ("PROMETHEUS_MULTIPROC_DIR",)
    without = SglangDriver().command(sglang(), msgspec.structs.replace(PLACE, devices=(), nccl_port=None))
    assert "CUDA_VISIBLE_DEVICES" not in without.env
    assert "--nccl-port" not in without.argv


@pytest.mark.parametrize("driver", [SglangDriver(), SimulatedDriver()])
def test_a_key_goes_into_a_file_and_never_into_the_command_line(driver: SglangDriver | SimulatedDriver) -> None:
    command = driver.command(sglang(), msgspec.structs.replace(PLACE, api_key="sk-secret"))
    at = command.argv.index("--config")
    assert command.argv[at + 1] == "/run/secrets/chat-0/sglang.yaml"
    assert command.files == {"sglang.yaml": b'api-key: "sk-secret"\n'}
    assert "sk-secret" not in shlex.join([*command.argv, *command.env.values()])
    assert driver.command(sglang(), PLACE).files == {}


@pytest.mark.parametrize("key", ["plain", 'a"b\\c', "#: - {x}", "yes", "123", "a: b", "'", "%&*!|>@`"])
def test_a_key_file_is_yaml_for_any_key(key: str) -> None:
    name, _, value = key_file(key).decode().rstrip("\n").partition(": ")
    assert name == "api-key"
    assert json.loads(value) == key  # a JSON string is a YAML string


# ---- vllm


def vllm(python: str = "/opt/vllm/bin/python", **more: object) -> Launch:
    launch = Launch(engine=Engine("vllm", EngineKind.VLLM, python=python), model="Qwen/Qwen3-0.6B", port=8001)
    return msgspec.structs.replace(launch, **more)


def test_vllm_is_given_its_own_names_of_parallel_sizes() -> None:
    args = {"tp-size": 2, "dp-size": 2, "gpu-memory-utilization": 0.9, "compilation-config": {"mode": 3}}
    argv = VllmDriver().command(vllm(args=args, raw_args=("--extra", "x")), PLACE).argv
    assert shlex.join(argv) == (
        "/opt/vllm/bin/python -m vllm.entrypoints.cli.main serve Qwen/Qwen3-0.6B --host 127.0.0.1 --port 8001"
        """ --compilation-config '{"mode":3}' --data-parallel-size 2 --gpu-memory-utilization 0.9"""
        " --tensor-parallel-size 2 --extra x"
    )


def test_vllm_runs_in_a_place_of_its_own(tmp_path: Path) -> None:
    command = VllmDriver(tmp_path).command(vllm(), PLACE)
    assert command.env["TMPDIR"] == "/t"
    assert command.env["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert command.env["PATH"].startswith("/opt/vllm/bin:")
    assert (command.env["VLLM_PORT"], command.env["VLLM_HOST_IP"]) == ("20001", "127.0.0.1")
    assert command.env["VLLM_CACHE_ROOT"] == str(tmp_path / "vllm")
    assert {"VLLM_API_KEY", "VLLM_PORT"} <= set(command.unset)
    assert "VLLM_CACHE_ROOT" not in VllmDriver().command(vllm(), PLACE).env


def test_what_an_engine_sets_of_vllm_stays_and_what_the_daemon_inherited_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"VLLM_PORT": "tcp://10.0.0.1:80", "VLLM_API_KEY": "sk-of-somebody", "HOME": "/h"}.items():
        monkeypatch.setenv(name, value)
    command = VllmDriver().command(vllm(), PLACE)
    made = environment(vllm(), command, {})
    assert made["VLLM_PORT"] == "20001"
    assert "VLLM_API_KEY" not in made
    engine = Engine("vllm", EngineKind.VLLM, python="/p", env={"VLLM_HOST_IP": "192.0.2.1", "TMPDIR": "/mine"})
    made = environment(vllm(engine=engine), command, {})
    assert (made["VLLM_HOST_IP"], made["TMPDIR"]) == ("192.0.2.1", "/t")


def test_vllms_defaults_are_left_out_where_the_version_or_the_profile_says_otherwise() -> None:
    known = table("disable-access-log-for-endpoints")
    quiet = {"disable-access-log-for-endpoints": "/metrics,/health,/v1/models"}
    assert vllm_defaults({}, known) == quiet
    assert vllm_defaults({}, table("other")) == vllm_defaults({}, None) == {}
    assert vllm_defaults({"disable-uvicorn-access-log": True}, known) == {}


def test_vllms_key_goes_into_a_file_that_its_command_line_names() -> None:
    command = VllmDriver().command(vllm(), msgspec.structs.replace(PLACE, api_key="sk-secret"))
    at = command.argv.index("--config")
    assert command.argv[at - 1 : at + 2] == ("Qwen/Qwen3-0.6B", "--config", "/run/secrets/chat-0/vllm.yaml")
    assert command.files == {"vllm.yaml": b'api-key: "sk-secret"\n'}
    assert "sk-secret" not in shlex.join([*command.argv, *command.env.values()])


# ---- what is missing


def test_a_model_that_is_a_path_has_to_be_there(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.touch(mode=0o755)
    driver = SglangDriver()
    refusal = driver.preflight(sglang(str(python), model="/no/such/model"))
    assert refusal is not None
    assert (refusal.cause, refusal.missing) == (Cause.MODEL_MISSING, "/no/such/model")
    (tmp_path / "model.gguf").touch()
    for model in ("Qwen/Qwen3-VL-8B", str(tmp_path), str(tmp_path / "model.gguf"), "~nobody-of-this-name/model"):
        assert driver.preflight(sglang(str(python), model=model)) is None


def test_an_interpreter_has_to_be_there_and_executable(tmp_path: Path) -> None:
    refusal = SglangDriver().preflight(sglang(str(tmp_path / "python")))
    assert refusal is not None
    assert (refusal.cause, refusal.missing) == (Cause.ENVIRONMENT, str(tmp_path / "python"))
    (tmp_path / "python").touch(mode=0o644)
    refusal = SglangDriver().preflight(sglang(str(tmp_path / "python")))
    assert refusal is not None
    assert refusal.missing is None


# ---- command


def command_line(*words: str, **more: object) -> Launch:
    launch = Launch(engine=Engine("own", EngineKind.COMMAND, command=words), model="m", port=8001, host="::1")
    return msgspec.structs.replace(launch, **more)


def test_a_command_has_its_placeholders_filled_and_its_braces_kept() -> None:
    words = ("serve", "--at={host}:{port}", '{"json": {"model": "{model}"}}', "{gpus}", "{unknown}", "{api_key_file}")
    command = CommandDriver().command(command_line(*words, api_key_file="/etc/key", raw_args=("{worker}",)), PLACE)
    assert command.argv == (
        "serve",
        "--at=::1:8001",
        '{"json": {"model": "m"}}',
        "GPU-a,GPU-b",
        "{unknown}",
        "/etc/key",
        "chat-0",
    )
    assert command.env == {"TMPDIR": "/t", "PORT": "8001", "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}
    assert command.files == {}


def test_a_command_is_looked_for_on_the_path_that_it_will_have(tmp_path: Path) -> None:
    driver = CommandDriver()
    assert driver.preflight(command_line("sh")) is None
    assert driver.preflight(command_line("sh", env={"PATH": str(tmp_path)})) is not None
    (tmp_path / "mine").touch(mode=0o755)
    assert driver.preflight(command_line("mine", env={"PATH": str(tmp_path)})) is None
    absent = driver.preflight(command_line("/no/such/program"))
    assert absent is not None
    assert absent.missing == "/no/such/program"


def test_a_command_is_asked_where_its_owner_says() -> None:
    engine = Engine("own", EngineKind.COMMAND, command=("true",), ready="/up", smoke="/try")
    surface = CommandDriver().surface(command_line("true", engine=engine))
    assert (surface.ready, surface.alive, surface.smoke, surface.metrics, surface.deep) == (
        "/up",
        "/up",
        "/try",
        "",
        "",
    )
    started = CommandDriver().surface(command_line("true", engine=msgspec.structs.replace(engine, ready="started")))
    assert (started.ready, started.alive) == ("", "")


def test_every_kind_that_the_configuration_allows_has_a_driver() -> None:
    assert drivers().keys() == set(EngineKind)

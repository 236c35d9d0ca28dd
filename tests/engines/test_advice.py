"""What a profile's owner is told about an argument or a model that the installed engine did not take."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from qvl.engines.advice import advice_of, worded
from qvl.engines.catalog import drivers
from qvl.engines.flags import Flag, FlagTable
from qvl.engines.sglang_flags.retired import RETIRED
from qvl.model.spec import Engine, EngineKind, Launch
from qvl.model.worker import Cause

from tests.engines.test_sglang_flags import SPREAD, make_environment

LAUNCH = Launch(engine=Engine("sglang", EngineKind.SGLANG, python="/no/such/python"), model="Qwen/Qwen3-VL-8B")
BACKENDS = ("fa3", "flashinfer", "triton")


def flag(name: str, *aliases: str, choices: tuple[str, ...] | None = None) -> Flag:
    return Flag(name, (name, *aliases), choices)


TABLE = FlagTable.of(
    "0.5.23",
    [
        flag("mem-fraction-static"),
        flag("attention-backend", choices=BACKENDS),
        flag("tp-size", "tensor-parallel-size"),
        flag("cuda-graph-max-bs-decode"),
        flag("cuda-graph-max-bs-prefill"),
        flag("prefill-max-requests"),
        flag("prefill-delayer"),
    ],
    retired=RETIRED,
)


class _Refused(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise _Refused(f"{self.prog}: error: {message}")


def refusal(*words: str) -> str:
    """The last line of the parser that the table stands for, by this very Python's argparse."""
    parser = _Parser(prog="sglang serve", allow_abbrev=True)
    for one in {id(flag): flag for flag in TABLE.flags.values()}.values():
        kind = {"mem-fraction-static": float, "tp-size": int}.get(one.name, str)
        parser.add_argument(*(f"--{name}" for name in reversed(one.spellings)), type=kind, choices=one.choices)
    with pytest.raises(_Refused) as caught:
        parser.parse_args(list(words))
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            ["--mem-fracton-static", "0.9"],
            'sglang 0.5.23 has no flag "mem-fracton-static": did you mean "mem-fraction-static"?',
        ),
        (
            ["--attention_backend=fa3"],
            'sglang 0.5.23 has no flag "attention_backend": flags are written with hyphens: "attention-backend"',
        ),
        (
            ["--torchao-config", "x", "--no-such-flag", "1"],
            'sglang 0.5.23 has no flag "torchao-config": 0.5.17 was the last version with it; nothing takes its place; '
            'sglang 0.5.23 has no flag "no-such-flag": take it out',
        ),
        (
            ["--cuda-graph-max-bs", "8"],
            'sglang 0.5.23 has no flag "cuda-graph-max-bs": '
            '0.5.19 was the last version with it; use "cuda-graph-max-bs-decode"',
        ),
        (
            ["--prefill", "8"],
            '"prefill" could be any of 2 flags: write the whole flag: "prefill-delayer", "prefill-max-requests"',
        ),
        (["--attention-backend", "tritn"], '"tritn" is no choice of attention-backend: did you mean "triton"?'),
        (["--attention-backend", "x"], '"x" is no choice of attention-backend: fa3, flashinfer, triton'),
        (["--mem-fraction-static", "lots"], "mem-fraction-static takes a number, not 'lots'"),
        (["--mem-fraction-static"], "mem-fraction-static: expected one argument"),
        (["--tp-size", "two"], "tensor-parallel-size takes a whole number, not 'two'"),
    ],
)
def test_what_the_parser_refused_leads_to_the_flag_that_was_meant(words: Sequence[str], advice: str) -> None:
    assert advice_of(TABLE, LAUNCH, Cause.BAD_ARGUMENTS, refusal(*words)) == advice


def test_a_flag_has_the_name_by_which_the_profile_calls_it() -> None:
    launch = msgspec.structs.replace(LAUNCH, args={"tp-size": "two"})
    found = advice_of(TABLE, launch, Cause.BAD_ARGUMENTS, refusal("--tp-size", "two"))
    assert found == "tp-size takes a whole number, not 'two'"


@pytest.mark.parametrize("words", [("--mem-fracton-static=0.9",), ("--attention-backend", "tritn")])
def test_where_a_word_stands_is_told_if_it_is_not_in_args(words: tuple[str, ...]) -> None:
    launch = msgspec.structs.replace(LAUNCH, raw_args=words)
    found = advice_of(TABLE, launch, Cause.BAD_ARGUMENTS, refusal(*words))
    assert (found or "").endswith(" (it stands in the profile's raw_args)")


def test_choices_are_read_as_each_version_of_argparse_writes_them() -> None:
    new = "launch_server.py: error: argument --load-format: invalid choice: 'dumy' (choose from auto, dummy)"
    old = "launch_server.py: error: argument --load-format: invalid choice: 'dumy' (choose from 'auto', 'dummy')"
    guess = (
        "x.py: error: argument --load-format: invalid choice: 'dumy', maybe you meant 'dummy'? (choose from auto, dummy"
    )
    for line in (new, old, guess):
        found = advice_of(None, LAUNCH, Cause.BAD_ARGUMENTS, line)
        assert found == '"dumy" is no choice of load-format: did you mean "dummy"?'


def test_without_the_installation_to_ask_only_what_the_log_names_is_told() -> None:
    assert advice_of(None, LAUNCH, Cause.BAD_ARGUMENTS, refusal("--no-such-flag")) is None
    found = advice_of(None, LAUNCH, Cause.BAD_ARGUMENTS, refusal("--prefill", "1"))
    assert found == "write the whole flag: prefill-max-requests or prefill-delayer"


def test_a_replacement_that_sglang_names_is_kept() -> None:
    line = (
        "launch_server.py: error: The command line argument '--enable-ep-moe' is deprecated. Please set `--ep-size` to "
        "the same value as `--tp-size` instead."
    )
    found = advice_of(TABLE, LAUNCH, Cause.BAD_ARGUMENTS, line)
    assert "Please set `--ep-size` to the same value as `--tp-size` instead." in (found or "")


def test_a_model_that_the_version_is_too_old_for() -> None:
    line = "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: …"
    found = advice_of(TABLE, LAUNCH, Cause.BAD_ARGUMENTS, line)
    assert found == "sglang 0.5.23 doesn't know this kind of model: install a newer one, or serve another model"


def test_a_model_that_is_a_path_is_looked_for(tmp_path: Path) -> None:
    line = f"huggingface_hub.errors.HFValidationError: Repo id must be in the form …: '{tmp_path / 'gone'}'."

    def advice(launch: Launch) -> str | None:
        return advice_of(TABLE, launch, Cause.MODEL_MISSING, line)

    gone = msgspec.structs.replace(LAUNCH, model=str(tmp_path / "gone"))
    assert advice(gone) == f"model {tmp_path / 'gone'} does not exist: mount or download it, or mend the profile"
    assert "no complete model" in (advice(msgspec.structs.replace(LAUNCH, model=str(tmp_path))) or "")
    assert advice(LAUNCH) is None  # of a name on the hub the log says more
    gated = advice_of(TABLE, LAUNCH, Cause.MODEL_MISSING, "OSError: You are trying to access a gated repo.")
    assert gated == "the hub wants a token that may read Qwen/Qwen3-VL-8B: put HF_TOKEN into the engine's env_file"
    offline = "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them"
    assert (advice_of(TABLE, LAUNCH, Cause.MODEL_MISSING, offline) or "").startswith(
        "Qwen/Qwen3-VL-8B is not in HF_HOME"
    )
    assert advice_of(TABLE, LAUNCH, Cause.MODEL_MISSING, offline + " of Qwen/Qwen3-VL-8B") is None
    draft = msgspec.structs.replace(LAUNCH, args={"speculative-draft-model-path": str(tmp_path / "gone")})
    assert (advice(draft) or "").startswith(f"speculative-draft-model-path {tmp_path / 'gone'} does not exist")
    hub = msgspec.structs.replace(LAUNCH, args={"speculative-draft-model-path": "a/draft"})
    found = advice_of(TABLE, hub, Cause.MODEL_MISSING, "OSError: a/draft is not a local folder and is not …")
    assert found == "check the profile's speculative-draft-model-path: a/draft"


def test_other_causes_are_left_to_the_log() -> None:
    line = "torch.OutOfMemoryError: CUDA out of memory. --mem-fraction-static"
    for cause in set(Cause) - {Cause.BAD_ARGUMENTS, Cause.MODEL_MISSING}:
        assert advice_of(TABLE, LAUNCH, cause, line) is None


def test_each_driver_asks_what_it_has_installed(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv", SPREAD)
    engines = {
        EngineKind.SGLANG: Engine("a", EngineKind.SGLANG, python=str(python)),
        EngineKind.SIMULATED: Engine("b", EngineKind.SIMULATED),
        EngineKind.COMMAND: Engine("c", EngineKind.COMMAND, command=("true",)),
    }
    found = {
        kind: drivers(tmp_path / "cache")[kind].advice(
            msgspec.structs.replace(LAUNCH, engine=engine),
            Cause.BAD_ARGUMENTS,
            "sglang serve: error: unrecognized arguments: --quantisation x",
        )
        for kind, engine in engines.items()
    }
    assert found == {
        EngineKind.SGLANG: 'sglang 0.5.18 has no flag "quantisation": did you mean "quantization"?',
        EngineKind.SIMULATED: 'sglang 0.5.18 (simulated) has no flag "quantisation": did you mean "quantization"?',
        EngineKind.COMMAND: None,
    }
    gone = msgspec.structs.replace(LAUNCH, engine=Engine("a", EngineKind.SGLANG, python="/no/such/python"))
    assert drivers()[EngineKind.SGLANG].advice(gone, Cause.BAD_ARGUMENTS, "error: unrecognized arguments: --x") is None


def test_hints_name_flags_as_the_engine_that_ended_does() -> None:
    hint = "lower mem-fraction-static or context-length, or give it a GPU that is free"
    assert worded(hint, EngineKind.SGLANG) == hint
    assert worded(hint, EngineKind.VLLM) == (
        "lower gpu-memory-utilization or max-model-len, or give it a GPU that is free"
    )
    assert worded(None, EngineKind.VLLM) is None

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from qvl.engines.flags import (
    ArgFault,
    EngineNotFound,
    Flag,
    FlagTable,
    Installed,
    canonical,
    check_args,
)
from qvl.engines.flags.installed import SGLANG, find
from qvl.engines.sglang_flags import load_flags, locate_sglang, read_flags
from qvl.engines.sglang_flags.retired import RETIRED
from qvl.model.aliases import PLACEMENT_ALIASES

from tests.engines.wheels import bare_environment

SGLANG_PYTHON = Path(__file__).parents[2] / ".sglang" / "bin" / "python"

# As in 0.5.3: everything is an add_argument call, and a retired flag is one that raises.
CALLS = """
import argparse
QUANTIZATION_CHOICES = ["awq", "fp8"]
MORE = QUANTIZATION_CHOICES + list({"gguf"})

class ServerArgs:
    tp_size: int = 1
    enable_metrics: bool = False

    @staticmethod
    def add_cli_args(parser: argparse.ArgumentParser):
        parser.add_argument("--model-path", "--model", type=str, required=True)
        parser.add_argument("--tensor-parallel-size", "--tp-size", type=int, default=ServerArgs.tp_size)
        parser.add_argument("--enable-metrics", action="store_true")
        parser.add_argument("--cuda-graph-bs", type=int, nargs="+")
        parser.add_argument("--lora-paths", type=str, nargs="*", action=LoRAPathAction)
        parser.add_argument("--hybrid-kvcache-ratio", nargs="?", const=0.5, type=float)
        parser.add_argument("--quantization", choices=QUANTIZATION_CHOICES)
        parser.add_argument("--draft-quantization", choices=["auto"] + MORE + [16])
        parser.add_argument("--tool-call-parser", choices=list(FunctionCallParser.ToolCallParserEnum.keys()))
        parser.add_argument("--enable-ep-moe", action=DeprecatedAction, help="Use --ep-size.")
        parser.add_argument("--from-elsewhere", action=imported.Action)
        parser.add_argument(*COMPUTED, type=int)

    def unrelated(self):
        self.registry.add("--no-flag")

class LoRAPathAction(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, values)

class DeprecatedAction(argparse.Action):
    def __init__(self, option_strings, dest, nargs=0, **kwargs):
        super().__init__(option_strings, dest, nargs=nargs, **kwargs)

    def __call__(self, parser, namespace, values, option_string=None):
        raise ValueError(self.help)
"""

# As in 0.5.18: annotated fields, with a few calls left for what is deprecated.
ANNOTATIONS = """
LOAD_FORMAT_CHOICES = ["auto", "dummy"]

@dataclasses.dataclass
class ServerArgs:
    model_path: A[str, Arg(help="Weights.", aliases=["--model"]), NS("model")]
    tp_size: A[int, Arg(cli_name="--tensor-parallel-size", aliases=["--tp-size"])] = 1
    ep_size: A[int, Arg(aliases=["--ep", "--expert-parallel-size"])] = 1
    load_format: A[str, Arg(help="Format." f"{more}", choices=LOAD_FORMAT_CHOICES)] = "auto"
    enable_metrics: A[bool, "Metrics.", NS("observability")] = False
    enable_lora: A[Optional[bool], "LoRA."] = None
    dcp_replicate: A["bool | None", Arg(action=argparse.BooleanOptionalAction)] = None
    cuda_graph_bs_decode: A[Optional[List[int]], "Sizes."] = None
    encoder_urls: A[list[str], "Addresses."] = dataclasses.field(default_factory=list)
    json_list: A[Optional[List[str]], Arg(type_parser=json_list_type)] = None
    bootstrap: A[Union[Literal["full", "breakable"], None], "Backend."] = None
    fuse: A[Literal[1, 2], "Mode."] = 2
    backend: A[Literal[None, "mooncake"], "Backend."] = None
    lora_paths: A[Optional[dict], Arg(action=LoRAPathAction, action_kwargs={"type": str, "nargs": "*"})] = None
    checksum: A[Optional[str], Arg(nargs="?", const="")] = None
    handler: A[Optional[Callable], Arg(no_cli=True)] = None
    rank: A[int, Derived("set at run time")] = 0
    plain: int = 0

    @staticmethod
    def add_cli_args(parser):
        add_cli_args_from_dataclass(parser, ServerArgs)
        parser.add_argument("--stream-output", action=DeprecatedStoreTrueAction, new_flag="--incremental-output")
        parser.add_argument("--max-bs", type=int, action=DeprecatedAliasStoreAction, new_flag="--max-bs-decode")
        parser.add_argument("--monokernel", action=DeprecatedStoreTrueAction, nargs=None, choices=["amd"])
        parser.add_argument("--report", action=DeprecatedAction, error_message="--report is gone. Use --mode.")
        parser.add_argument("--balance", action=DeprecatedAction, help="does nothing")
"""
ACTIONS = """
class DeprecatedAction(argparse.Action):
    def __init__(self, option_strings, dest, error_message=None, nargs=0, **kwargs):
        super().__init__(option_strings, dest, nargs=nargs, **kwargs)

    def __call__(self, parser, namespace, values, option_string=None):
        if self.error_message is not None:
            parser.error(self.error_message)

class DeprecatedStoreTrueAction(argparse.Action):
    def __init__(self, option_strings, dest, new_flag=None, nargs=0, const=True, default=False, **kwargs):
        pass

class DeprecatedAliasStoreAction(argparse.Action):
    def __init__(self, option_strings, dest, new_flag=None, **kwargs):
        pass

class LoRAPathAction(argparse.Action):
    pass
"""

# As in 0.5.23: the same, spread over files, with the choices in one of their own.
SPREAD = {
    "server_args.py": "class ServerArgs(Parallel, Model):\n    pass\n",
    "arg_groups/choices.py": 'QUANTIZATION_CHOICES = ["awq"]\nadd_choices = QUANTIZATION_CHOICES.extend\n',
    "arg_groups/fields/__init__.py": "",
    "arg_groups/fields/parallel.py": 'class Parallel:\n    tp_size: A[int, Arg(aliases=["--tp-by-alias"])] = 1\n',
    "arg_groups/fields/model.py": "class Model:\n    quantization: A[str, Arg(choices=QUANTIZATION_CHOICES)] = None\n",
}


def make_environment(
    root: Path, files: dict[str, str] | None = None, version: str = "0.5.18", package_root: Path | None = None
) -> Path:
    """A virtual environment that runs, with a package sglang of `files` (below `srt`). Returns its python."""
    site = bare_environment(root)
    if files is not None:
        for name, text in files.items():
            file = (package_root or site) / "sglang" / "srt" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        ((package_root or site) / "sglang" / "__init__.py").write_text("raise SystemExit('sglang was imported')\n")
        add_metadata(site, version)
    return root / "bin" / "python"


def add_metadata(site: Path, version: str) -> None:
    directory = site / f"sglang-{version}.dist-info"
    directory.mkdir()
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sglang\nVersion: {version}\n")


def read(root: Path, files: dict[str, str]) -> FlagTable:
    installed = locate_sglang(make_environment(root, files))
    assert installed is not None
    return read_flags(installed)


@pytest.fixture
def calls(tmp_path: Path) -> FlagTable:
    return read(tmp_path / "calls", {"server_args.py": CALLS})


@pytest.fixture
def annotations(tmp_path: Path) -> FlagTable:
    files = {"server_args.py": ANNOTATIONS, "arg_groups/argparse_actions.py": ACTIONS}
    return read(tmp_path / "annotations", files)


def test_flags_of_calls_are_what_argparse_would_make_of_them(calls: FlagTable) -> None:
    assert calls.version == "0.5.18"
    assert {flag.name: flag for flag in calls.flags.values()} == {
        flag.name: flag
        for flag in (
            Flag("model-path", ("model-path", "model")),
            Flag("tp-size", ("tensor-parallel-size", "tp-size")),
            Flag("enable-metrics", ("enable-metrics",), takes_value=False),
            Flag("cuda-graph-bs", ("cuda-graph-bs",), repeated=True),
            Flag("lora-paths", ("lora-paths",), takes_value=None, repeated=True),
            Flag("hybrid-kvcache-ratio", ("hybrid-kvcache-ratio",), takes_value=None),
            Flag("quantization", ("quantization",), choices=("awq", "fp8")),
            Flag("draft-quantization", ("draft-quantization",), choices=("auto", "awq", "fp8", "gguf", "16")),
            Flag("tool-call-parser", ("tool-call-parser",)),
            Flag("enable-ep-moe", ("enable-ep-moe",), takes_value=False, refused="Use --ep-size."),
            Flag("from-elsewhere", ("from-elsewhere",), takes_value=None),
        )
    }


def test_flags_of_annotations_are_what_sglang_would_make_of_them(annotations: FlagTable) -> None:
    assert {flag.name: flag for flag in annotations.flags.values()} == {
        flag.name: flag
        for flag in (
            Flag("model-path", ("model-path", "model")),
            Flag("tp-size", ("tensor-parallel-size", "tp-size")),
            Flag("ep-size", ("ep-size", "ep", "expert-parallel-size")),
            Flag("load-format", ("load-format",), choices=("auto", "dummy")),
            Flag("enable-metrics", ("enable-metrics",), takes_value=False),
            Flag("enable-lora", ("enable-lora",), takes_value=False),
            Flag("dcp-replicate", ("dcp-replicate",), takes_value=False, boolean_optional=True),
            Flag("cuda-graph-bs-decode", ("cuda-graph-bs-decode",), repeated=True),
            Flag("encoder-urls", ("encoder-urls",), repeated=True),
            Flag("json-list", ("json-list",)),
            Flag("bootstrap", ("bootstrap",), choices=("full", "breakable")),
            Flag("fuse", ("fuse",), choices=("1", "2")),
            Flag("backend", ("backend",), choices=("mooncake",)),
            Flag("lora-paths", ("lora-paths",), takes_value=None, repeated=True),
            Flag("checksum", ("checksum",), takes_value=None),
            Flag("stream-output", ("stream-output",), takes_value=False, replaced_by="--incremental-output"),
            Flag("max-bs", ("max-bs",), replaced_by="--max-bs-decode"),
            Flag("monokernel", ("monokernel",), choices=("amd",)),
            Flag("report", ("report",), takes_value=False, refused="--report is gone. Use --mode."),
            Flag("balance", ("balance",), takes_value=False),
        )
    }


def test_fields_in_files_of_their_own_are_found_and_so_are_their_choices(tmp_path: Path) -> None:
    table = read(tmp_path, SPREAD)
    assert sorted(table.flags) == ["quantization", "tp-by-alias", "tp-size"]
    assert table.flags["quantization"].choices == ("awq",)


def test_an_environment_is_read_without_running_its_python(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv", {"server_args.py": CALLS}, version="0.5.3.post1")
    python.unlink()
    python.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    python.chmod(0o755)
    package = tmp_path / "venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "sglang"
    assert locate_sglang(python) == Installed(python, package, "0.5.3.post1")
    assert not (tmp_path / "was-run").exists()


def test_an_editable_install_is_found_through_its_path_file(tmp_path: Path) -> None:
    python = make_environment(
        tmp_path / "venv", {"server_args.py": CALLS}, "0.5.18.dev1", package_root=tmp_path / "checkout" / "python"
    )
    [site] = (tmp_path / "venv" / "lib").glob("*/site-packages")
    (site / "__editable__.sglang.pth").write_text(f"import nothing\n{tmp_path}/checkout/python\n")
    found = locate_sglang(python)
    assert found is not None
    assert (found.package, found.version) == (tmp_path / "checkout" / "python" / "sglang", "0.5.18.dev1")


def test_where_the_files_leave_a_doubt_the_interpreter_decides_and_imports_nothing(tmp_path: Path) -> None:
    python = make_environment(tmp_path, {"server_args.py": CALLS}, "0.5.18")
    [site] = (tmp_path / "lib").glob("*/site-packages")
    add_metadata(site, "0.5.3")  # what an upgrade that was cut short leaves behind
    found = locate_sglang(python)
    assert found is not None  # importing the package would have ended the interpreter
    assert found.package == site / "sglang"
    assert found.version in ("0.5.3", "0.5.18")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_reason_why_there_is_no_sglang_is_told(tmp_path: Path) -> None:
    def reason(python: Path) -> str:
        assert locate_sglang(python) is None
        with pytest.raises(EngineNotFound) as caught:
            load_flags(python, None)
        assert caught.value.python == python
        assert str(caught.value) == f"{python} {caught.value.reason}"
        return caught.value.reason

    (tmp_path / "plain").write_text("")
    assert reason(tmp_path / "absent") == "does not exist"
    assert reason(tmp_path) == "is not a file"
    assert reason(tmp_path / "plain") == "is not executable"
    assert reason(make_environment(tmp_path / "empty")) == "has no package sglang"
    assert reason(script(tmp_path / "broken", "echo first >&2; echo no such library >&2; exit 127")) == (
        "ended with 127: no such library"
    )
    assert reason(script(tmp_path / "other", "echo hello")) == "did not answer as a Python does"
    assert reason(make_environment(tmp_path / "shell", {"other.py": ""})).startswith(
        "has a package sglang without a server in it"
    )


def test_a_python_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(EngineNotFound, match=r"did not answer within 0\.2 s"):
        find(SGLANG, script(tmp_path / "python", "exec sleep 60"), timeout=0.2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("def broken(:\n", "whose source cannot be read"), ("FLAGS = load()\n", "in a way that is not known here")],
)
def test_sources_that_say_nothing_are_an_error_rather_than_a_version_without_flags(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(EngineNotFound, match=reason):
        load_flags(make_environment(tmp_path, {"server_args.py": text}), None)


def test_the_cache_answers_until_a_source_changes(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv", SPREAD)
    cache = tmp_path / "state" / "cache"
    first = load_flags(python, cache)
    [file] = cache.iterdir()
    file.write_text(file.read_text().replace('"quantization"', '"from-the-cache"'))
    assert load_flags(python, cache).find("from-the-cache") is not None

    [fields] = (tmp_path / "venv" / "lib").glob("*/site-packages/sglang/srt/arg_groups/fields/parallel.py")
    fields.write_text(fields.read_text() + "    new_flag: A[int, 'New.'] = 0\n")
    changed = load_flags(python, cache)
    assert set(changed.flags) == {*first.flags, "new-flag"}
    assert load_flags(python, cache) == changed
    assert [path.name for path in cache.iterdir()] == [file.name]  # nothing left beside it


@pytest.mark.parametrize(
    "content", ["", "{", '{"format": 1}', '{"format": 0, "version": "", "stamp": [], "flags": []}']
)
def test_a_cache_that_is_not_right_is_read_anew_and_mended(tmp_path: Path, content: str) -> None:
    python = make_environment(tmp_path / "venv", SPREAD)
    table = load_flags(python, tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    right = file.read_text()
    file.write_text(content)
    assert load_flags(python, tmp_path / "cache") == table
    assert file.read_text() == right


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_flags(make_environment(tmp_path / "venv", SPREAD), tmp_path / "file" / "cache").flags


def test_right_arguments_have_no_fault(annotations: FlagTable) -> None:
    right = {
        "tp": 2,
        "load-format": "dummy",
        "enable-metrics": True,
        "enable-lora": False,
        "dcp-replicate": False,
        "cuda-graph-bs-decode": [1, 2, 4],
        "encoder-urls": "http://127.0.0.1:1",
        "json-list": {"a": 1},
        "fuse": 2,
        "checksum": True,
        "lora-paths": [],
        "balance": True,
    }
    assert check_args(annotations, right, ["host", "port"]) == []


@pytest.mark.parametrize(
    ("key", "value", "message", "hint"),
    [
        (
            "mm-proj-url",
            1,
            'sglang 0.5.18 has no flag "mm-proj-url"',
            'the nearest is "encoder-urls"; a flag that a plugin of SGLang adds goes into raw_args',
        ),
        ("zzz", 1, 'sglang 0.5.18 has no flag "zzz"', "a flag that a plugin of SGLang adds goes into raw_args"),
        ("load-fromat", "auto", 'sglang 0.5.18 has no flag "load-fromat"', 'did you mean "load-format"?'),
        (
            "load_format",
            "auto",
            'sglang 0.5.18 has no flag "load_format"',
            'flags are written with hyphens: "load-format"',
        ),
        ("--fuse", 1, 'sglang 0.5.18 has no flag "--fuse"', 'flags are written without the leading dashes: "fuse"'),
        ("load", "auto", '"load" is an abbreviation', 'write the whole flag: "load-format"'),
        ("tensor", 2, '"tensor" is an abbreviation', 'write the whole flag: "tensor-parallel-size"'),
        ("enable", True, '"enable" could be any of 2 flags', 'write the whole flag: "enable-lora", "enable-metrics"'),
        (
            "no-dcp-replicate",
            True,
            '"no-dcp-replicate" is the negation of "dcp-replicate"',
            "write dcp-replicate = false",
        ),
        ("no-enable-lora", True, 'sglang 0.5.18 has no flag "no-enable-lora"', 'did you mean "enable-lora"?'),
        (
            "hybrid-kvcache-ratio",
            0.5,
            'sglang 0.5.18 has no flag "hybrid-kvcache-ratio"',
            '0.5.13 was the last version with it; use "swa-full-tokens-ratio"',
        ),
        (
            "torchao-config",
            "x",
            'sglang 0.5.18 has no flag "torchao-config"',
            "0.5.17 was the last version with it; nothing takes its place",
        ),
        ("report", True, 'sglang 0.5.18 refuses "report"', "--report is gone. Use --mode."),
        ("enable-metrics", "yes", "\"enable-metrics\" takes no value, got 'yes'", "write enable-metrics = true"),
        ("dcp-replicate", 1, '"dcp-replicate" takes no value, got 1', "write dcp-replicate = true, or = false"),
        ("tp-size", True, '"tp-size" needs a value, got true', "write tp-size = VALUE"),
        ("tp-size", False, '"tp-size" needs a value, got false', "leave it out for the default"),
        ("fuse", [1, 2], '"fuse" takes one value, got a list of 2', "write fuse = VALUE"),
        (
            "encoder-urls",
            [],
            '"encoder-urls" needs at least one value, got an empty list',
            "leave it out for the default",
        ),
    ],
)
def test_an_argument_that_sglang_would_end_for_is_an_error(
    annotations: FlagTable, key: str, value: object, message: str, hint: str
) -> None:
    assert check_args(annotations, {key: value}, ()) == [ArgFault(key, message, hint, "error")]


@pytest.mark.parametrize(
    ("key", "value", "message", "hint"),
    [
        ("load-format", "dumy", '"dumy" is no choice of "load-format" in sglang 0.5.18', 'did you mean "dummy"?'),
        ("fuse", 3, '"3" is no choice of "fuse" in sglang 0.5.18', 'it lists "1", "2"'),
        ("max-bs", 8, '"max-bs" is deprecated in sglang 0.5.18', "use --max-bs-decode"),
    ],
)
def test_an_argument_that_may_work_is_a_warning(
    annotations: FlagTable, key: str, value: object, message: str, hint: str
) -> None:
    assert check_args(annotations, {key: value}, ()) == [ArgFault(key, message, hint, "warning")]


@pytest.mark.parametrize("spelling", ["model-path", "model"])
def test_a_flag_that_qvl_sets_is_refused_by_any_of_its_names(annotations: FlagTable, spelling: str) -> None:
    [fault] = check_args(annotations, {spelling: "x"}, ["model-path"])
    assert fault == ArgFault(spelling, f'"{spelling}" is set by qvl itself', "the profile's `model` names it")


def test_a_flag_that_qvl_sets_is_refused_where_this_version_does_not_have_it(annotations: FlagTable) -> None:
    assert [fault.message for fault in check_args(annotations, {"port": 1}, ["port"])] == [
        '"port" is set by qvl itself'
    ]
    [underscored] = check_args(annotations, {"nccl_port": 1}, ["nccl-port"])
    assert underscored.hint == 'flags are written with hyphens: "nccl-port"'


def test_two_names_of_one_flag_are_an_error_at_the_second(annotations: FlagTable) -> None:
    found = check_args(annotations, {"tp": 1, "tensor-parallel-size": 2}, ())
    assert found == [
        ArgFault("tensor-parallel-size", '"tp" and "tensor-parallel-size" are one flag', "keep one of the two")
    ]


def test_all_faults_are_told_in_the_order_of_the_profile(annotations: FlagTable) -> None:
    args = {"zzz": 1, "fuse": 3, "tp": 1, "enable-metrics": 1}
    assert [fault.key for fault in check_args(annotations, args, ())] == ["zzz", "fuse", "enable-metrics"]


def test_many_candidates_are_counted_rather_than_listed() -> None:
    table = FlagTable.of("1", [Flag(f"spec-{letter}", (f"spec-{letter}",)) for letter in "abcdefgh"])
    [fault] = check_args(table, {"spec": 1}, ())
    assert fault.hint.endswith('"spec-e", "spec-f" and 2 more')


def test_placement_flags_have_one_name_with_and_without_a_table(calls: FlagTable, annotations: FlagTable) -> None:
    for alias, name in PLACEMENT_ALIASES.items():
        assert {canonical(table, alias) for table in (None, calls, annotations)} == {name}
        assert PLACEMENT_ALIASES[name] == name
    assert canonical(calls, "model") == "model-path"
    assert canonical(None, "model") == "model"
    assert canonical(calls, "unheard-of") == "unheard-of"


def test_prefixes_are_what_argparse_takes_for_abbreviations(annotations: FlagTable) -> None:
    assert annotations.prefix_matches("enable-") == ["enable-lora", "enable-metrics"]
    assert annotations.prefix_matches("ep") == ["ep-size"]  # a name in full, which argparse takes for itself
    assert annotations.prefix_matches("x") == []


def test_retired_flags_lead_to_no_other_retired_flag() -> None:
    for retired in RETIRED.values():
        named = set(retired.instead.split('"')[1::2])
        assert not named & RETIRED.keys()


@pytest.mark.sglang
@pytest.mark.skipif(not SGLANG_PYTHON.exists(), reason="tools/sglang_cpu/install.sh has not been run")
def test_the_installed_sglang_has_the_very_flags_that_its_own_parser_has(tmp_path: Path) -> None:
    program = """
import argparse, json, sys
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser(add_help=False)
ServerArgs.add_cli_args(parser)
choices = lambda action: action.choices and [str(choice) for choice in action.choices]
flags = [{"spellings": a.option_strings, "nargs": a.nargs, "choices": choices(a)} for a in parser._actions]
json.dump(flags, open(sys.argv[1], "w"))
"""
    subprocess.run(
        [SGLANG_PYTHON, "-c", program, tmp_path / "flags.json"],
        env=os.environ | {"SGLANG_USE_CPU_ENGINE": "1"},
        check=True,
        capture_output=True,
        timeout=100,
    )
    declared = json.loads((tmp_path / "flags.json").read_text())
    table = load_flags(SGLANG_PYTHON, None)
    spellings = {spelling.removeprefix("--") for flag in declared for spelling in flag["spellings"]}
    negations = {f"no-{flag.name}" for flag in table.flags.values() if flag.boolean_optional}
    assert {*table.flags, *negations} == spellings
    assert len(table.flags) > 450

    shapes = {None: (True, False), 0: (False, False), "?": (None, False), "*": (None, True), "+": (True, True)}
    unread = 0
    for real in declared:
        flag = table.find(real["spellings"][0].removeprefix("--"))
        assert flag is not None
        assert (flag.takes_value, flag.repeated) == shapes[real["nargs"]], flag
        if flag.choices is None and real["choices"] is not None:
            unread += 1  # computed while SGLang runs
        else:
            assert sorted(flag.choices or ()) == sorted(real["choices"] or ()), flag
    assert unread < 10

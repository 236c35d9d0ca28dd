"""vLLM's flags, read from sources of the forms that its versions have."""

import sys
from pathlib import Path

import pytest
from qvl.config.flags import installed_check
from qvl.config.load import load
from qvl.core.placement import group_size
from qvl.engines.flags import ArgFault, EngineNotFound, Flag, FlagTable, check_args
from qvl.engines.vllm_flags import load_flags, locate_vllm
from qvl.engines.vllm_flags.retired import RETIRED

# As in 0.32.0: fields of config classes, whose types decide what their flags take.
ARG_UTILS = '''
def get_kwargs(cls): ...

class EngineArgs:
    model: str = ModelConfig.model

    def other(self):
        """What doesn't declare:
not even at the margin.
"""

    @staticmethod
    def add_cli_args(parser):
        """Shared CLI arguments for vLLM engine."""
        model_kwargs = get_kwargs(ModelConfig)
        model_group = parser.add_argument_group(title="ModelConfig")
        if not ("serve" in sys.argv[1:]):
            model_group.add_argument("--model", **model_kwargs["model"])
        model_group.add_argument("--dtype", **model_kwargs["dtype"])
        model_group.add_argument("--max-model-len", **model_kwargs["max_model_len"])
        model_group.add_argument("--quantization", "-q", **model_kwargs["quantization"])
        model_group.add_argument("--enforce-eager", **model_kwargs["enforce_eager"])
        model_group.add_argument("--served-model-name", **model_kwargs["served_model_name"])
        model_group.add_argument("--hf-token", **model_kwargs["hf_token"])
        model_group.add_argument("--pooler-config", **model_kwargs["pooler_config"])
        model_group.add_argument("--strange", **model_kwargs["strange"])
        model_group.add_argument("--computed", **compute())
        model_group.add_argument("--late", **{**model_kwargs["late"], "default": None})
        backend_kwargs = model_kwargs["moe_backend"]
        backend_kwargs["type"] = str.lower
        model_group.add_argument("--moe-backend", **backend_kwargs)
        one_kwargs = get_kwargs(VllmConfig)["compilation_config"]
        model_group.add_argument("--compilation-config", "-cc", **one_kwargs)
        parallel_kwargs = get_kwargs(ParallelConfig)
        model_group.add_argument("--tensor-parallel-size", "-tp", **parallel_kwargs["tensor_parallel_size"])
        model_group.add_argument("--enable_old_style", action="store_true")
        return parser


class AsyncEngineArgs(EngineArgs):
    @staticmethod
    def add_cli_args(parser, async_args_only=False):
        parser.add_argument("--enable-log-requests", action=argparse.BooleanOptionalAction)
        return parser
'''
CONFIG = {
    "model.py": '''
ModelDType = Literal["auto", "half"]
RunnerType = Literal["generate"]
MoEBackend = Literal[
    "auto",  # the default
    "triton",
    RunnerType,
]
HfOverrides = dict[str, Any] | Callable


@config
class ModelConfig:
    """All of a model.

* a list
"""

    model: str = "Qwen/Qwen3-0.6B"
    dtype: ModelDType | torch.dtype = "auto"
    max_model_len: int = Field(default=None, ge=-1)
    quantization: QuantizationMethods | str | None = None
    enforce_eager: bool = False
    served_model_name: str | list[str] | None = None
    hf_token: bool | str | None = None
    pooler_config: "PoolerConfig | None" = None
    strange: Unheard = None
    moe_backend: MoEBackend = "auto"

    @property
    def between(self) -> int:
        return 1

    late: bool = True
''',
    "pooler.py": "class PoolerConfig:\n    pooling_type: str\n",
    "vllm.py": "class VllmConfig(X):\n    compilation_config: CompilationConfig = None\nclass CompilationConfig: ...\n",
    "parallel.py": "class Sizes:\n    tensor_parallel_size: int = 1\nclass ParallelConfig(Sizes):\n    x: int = 1\n",
}
CLI_ARGS = '''
@config
class BaseFrontendArgs:
    """Base arguments."""

    lora_modules: list[LoRAModulePath] | None = None
    disable_access_log_for_endpoints: str | None = None

    @classmethod
    def _customize_cli_kwargs(cls, frontend_kwargs):
        frontend_kwargs["lora_modules"]["action"] = LoRAParserAction
        return frontend_kwargs


@config
class FrontendArgs(BaseFrontendArgs):
    host: str | None = None
    port: int = 8000
    api_key: list[str] | None = None
    allowed_origins: list[str] = field(default_factory=list)
    uvicorn_log_level: Literal["debug", "info"] = "info"

    @classmethod
    def _customize_cli_kwargs(cls, frontend_kwargs):
        frontend_kwargs["allowed_origins"]["type"] = json.loads
        del frontend_kwargs["allowed_origins"]["nargs"]
        return frontend_kwargs


def make_arg_parser(parser):
    parser.add_argument("model_tag", type=str, nargs="?")
    parser.add_argument("--headless", action="store_true", default=False)
    parser.add_argument("--config", help="Read CLI options from a config file.")
    return FrontendArgs.add_cli_args(parser)
'''


def make_environment(root: Path, files: dict[str, str], version: str = "0.32.0") -> Path:
    """A virtual environment that runs, with a package vllm of `files`. Returns its python."""
    site = root / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (root / "bin").mkdir(parents=True)
    base = Path(sys.executable).resolve()
    (root / "bin" / "python").symlink_to(base)
    (root / "pyvenv.cfg").write_text(f"home = {base.parent}\nversion = 3.{sys.version_info.minor}.0\n")
    for name, text in files.items():
        file = site / "vllm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    metadata = site / f"vllm-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    (site / "vllm" / "__init__.py").write_text("raise SystemExit('vllm was imported')\n")
    return root / "bin" / "python"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    files = {"engine/arg_utils.py": ARG_UTILS, "entrypoints/openai/cli_args.py": CLI_ARGS}
    return make_environment(tmp_path / "venv", files | {f"config/{name}": text for name, text in CONFIG.items()})


@pytest.fixture
def table(python: Path) -> FlagTable:
    return load_flags(python, None)


def test_flags_are_what_vllm_would_make_of_types(table: FlagTable) -> None:
    assert (table.engine, table.version, table.title) == ("vllm", "0.32.0", "vLLM")
    anything: dict[str, object] = {"takes_value": None, "repeated": True}
    negated: dict[str, object] = {"takes_value": False, "boolean_optional": True}
    assert {flag.name: flag for flag in table.flags.values()} == {
        flag.name: flag
        for flag in (
            Flag("model", ("model",)),
            Flag("dtype", ("dtype",), choices=("auto", "half")),
            Flag("max-model-len", ("max-model-len",)),
            Flag("quantization", ("quantization",)),
            Flag("enforce-eager", ("enforce-eager",), takes_value=False, boolean_optional=True),
            Flag("served-model-name", ("served-model-name",), repeated=True),
            Flag("hf-token", ("hf-token",), takes_value=None),
            Flag("pooler-config", ("pooler-config",)),
            Flag("strange", ("strange",), **anything),  # type: ignore[arg-type]
            Flag("computed", ("computed",), **anything),  # type: ignore[arg-type]
            Flag("late", ("late",), **negated),  # type: ignore[arg-type]
            Flag("moe-backend", ("moe-backend",), choices=("auto", "triton", "generate")),
            Flag("compilation-config", ("compilation-config",)),
            Flag("tp-size", ("tensor-parallel-size", "tp-size", "tp")),
            Flag("enable-old-style", ("enable-old-style",), takes_value=False),
            Flag("enable-log-requests", ("enable-log-requests",), **negated),  # type: ignore[arg-type]
            Flag("headless", ("headless",), takes_value=False),
            Flag("config", ("config",)),
            Flag("lora-modules", ("lora-modules",), repeated=True),
            Flag("disable-access-log-for-endpoints", ("disable-access-log-for-endpoints",)),
            Flag("host", ("host",)),
            Flag("port", ("port",)),
            Flag("api-key", ("api-key",), repeated=True),
            Flag("allowed-origins", ("allowed-origins",)),
            Flag("uvicorn-log-level", ("uvicorn-log-level",), choices=("debug", "info")),
        )
    }


def test_what_was_read_is_kept_until_a_source_changes(python: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_flags(python, cache)
    [file] = cache.iterdir()
    assert file.name.startswith("vllm-flags-")
    assert load_flags(python, cache) == first
    [config] = (tmp_path / "venv" / "lib").glob("*/site-packages/vllm/config/model.py")
    config.write_text(config.read_text().replace("enforce_eager: bool", "enforce_eager: str"))
    changed = load_flags(python, cache).find("enforce-eager")
    assert changed == Flag("enforce-eager", ("enforce-eager",))


@pytest.mark.parametrize(
    ("key", "value", "message", "hint"),
    [
        ("max-model-length", 1, 'vllm 0.32.0 has no flag "max-model-length"', 'did you mean "max-model-len"?'),
        (
            "task",
            "generate",
            'vllm 0.32.0 has no flag "task"',
            '0.12.0 was the last version with it; use "runner" or "convert"',
        ),
        (
            "max_model_len",
            1,
            'vllm 0.32.0 has no flag "max_model_len"',
            'flags are written with hyphens: "max-model-len"',
        ),
        ("enforce", True, '"enforce" is an abbreviation', 'write the whole flag: "enforce-eager"'),
        ("no-late", True, '"no-late" is the negation of "late"', "write late = false"),
        ("zzz", 1, 'vllm 0.32.0 has no flag "zzz"', "a flag that a plugin of vLLM adds goes into raw_args"),
        ("moe.backend", 1, 'vllm 0.32.0 has no flag "moe.backend"', 'did you mean "moe-backend"?'),
    ],
)
def test_what_vllm_would_end_for_is_an_error(
    table: FlagTable, key: str, value: object, message: str, hint: str
) -> None:
    assert check_args(table, {key: value}, ()) == [ArgFault(key, message, hint)]


def test_right_arguments_have_no_fault(table: FlagTable) -> None:
    right = {
        "tp": 2,
        "late": False,
        "served-model-name": ["a", "b"],
        "compilation-config": {"level": 3},
        "compilation-config.mode": "none",
        "compilation-config.level": 3,
        "strange": ["x"],
        "hf-token": True,
    }
    assert check_args(table, right, ["host", "port"]) == []


def test_two_names_of_one_flag_are_one_flag(table: FlagTable) -> None:
    [fault] = check_args(table, {"tp-size": 2, "tensor-parallel-size": 2}, ())
    assert fault.message == '"tp-size" and "tensor-parallel-size" are one flag'


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "has no package vllm"),
        ({"engine/arg_utils.py": "def add_cli_args(\n"}, "declares its flags in a way that is not known here"),
        ({"engine/arg_utils.py": "FLAGS = 1\n"}, "declares its flags in a way that is not known here"),
    ],
)
def test_sources_that_say_nothing_are_no_version_without_flags(
    tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    python = make_environment(tmp_path, files) if files else Path(sys.executable)
    with pytest.raises(EngineNotFound, match=reason):
        load_flags(python, None)
    assert (locate_vllm(python) is not None) == bool(files)


def test_a_configuration_is_told_of_the_installed_version(python: Path, tmp_path: Path) -> None:
    file = tmp_path / "qvl.toml"
    file.write_text(
        f'[engines.it]\nkind = "vllm"\npython = "{python}"\n'
        '[pools.p]\nprofile = "q"\ngpus = "none"\n'
        '[profiles.q]\nengine = "it"\nmodel = "Qwen/Qwen3-0.6B"\n'
        '[profiles.q.args]\ntp = 1\nport = 1\nheadless = true\nmem-fraction-static = 1\nmoe-backend = "mine"\n'
    )
    loaded = load(file, flag_check=installed_check())
    assert [str(fault).removeprefix(f"{file}:") for fault in loaded.faults] == [
        "12: profiles.q.args.port: is set by qvl itself (the pool's port says where it listens)",
        "13: profiles.q.args.headless: is set by qvl itself (each worker is a whole server on this host)",
        '14: profiles.q.args.mem-fraction-static: vllm 0.32.0 has no flag "mem-fraction-static" '
        '(the nearest is "moe-backend"; a flag that a plugin of vLLM adds goes into raw_args)',
    ]
    assert [str(warning).partition("args.")[2] for warning in loaded.warnings] == [
        'moe-backend: "mine" is no choice of "moe-backend" in vllm 0.32.0 (it lists "auto", "triton", "generate")'
    ]


def test_an_interpreter_without_vllm_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "qvl.toml"
    file.write_text(
        f'[engines.it]\nkind = "vllm"\npython = "{tmp_path}/python"\n[pools.p]\nprofile = "q"\ngpus = "none"\n'
        '[profiles.q]\nengine = "it"\nmodel = "m"\n'
    )
    loaded = load(file, flag_check=installed_check())
    assert loaded.faults == ()
    assert "python does not exist, so the flags of its profiles were not checked" in str(loaded.warnings[0])


def test_retired_flags_lead_to_no_other_retired_flag() -> None:
    for retired in RETIRED.values():
        assert not set(retired.instead.split('"')[1::2]) & RETIRED.keys()


def test_cards_of_a_server_are_counted_by_vllms_sizes() -> None:
    assert group_size({"tensor-parallel-size": 2, "pipeline-parallel-size": 2, "data-parallel-size": 2}) == 8
    assert group_size({"tp": 2, "prefill-context-parallel-size": 2, "decode-context-parallel-size": 2}) == 4

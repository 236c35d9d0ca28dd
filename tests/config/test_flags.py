"""Arguments against the flags of the engine that is installed."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qvl.config.flags import installed_check
from qvl.config.load import load
from qvl.config.ours import ours
from qvl.engines.flags import ArgFault, Flag, FlagTable, check_args
from qvl.engines.router import router_version
from qvl.engines.simulated import simulated_table
from qvl.model.spec import ArgValue, Engine

from tests.config.files import GOOD, write


def load_with_flags(folder: Path, text: str) -> tuple[list[str], list[str]]:
    loaded = load(write(folder, text), flag_check=installed_check())
    prefix = f"{folder}/qvl.toml:"
    return [str(fault).removeprefix(prefix) for fault in loaded.faults], [
        str(warning).removeprefix(prefix) for warning in loaded.warnings
    ]


def test_a_flag_that_the_simulated_engine_lacks(tmp_path: Path) -> None:
    text = (
        GOOD + "[profiles.standard.args]\ncontext-lenght = 1\nsim-load-seconds = 1\ntp = 1\nsim-ignore-sigterm = true\n"
    )
    faults, _ = load_with_flags(tmp_path, text)
    assert faults == [
        '9: profiles.standard.args.context-lenght: sglang 0.5.18 (simulated) has no flag "context-lenght" '
        '(did you mean "context-length"?)'
    ]


def test_an_unknown_choice_is_a_warning(tmp_path: Path) -> None:
    faults, warnings = load_with_flags(tmp_path, GOOD + '[profiles.standard.args]\nattention-backend = "mine"\n')
    assert faults == []
    assert len(warnings) == 1
    assert warnings[0].startswith("9: profiles.standard.args.attention-backend: ")


def test_an_inherited_fault_is_told_once_where_it_was_written(tmp_path: Path) -> None:
    text = GOOD + "[profiles.standard.args]\nnonsense = 1\n[profiles.x]\nextends = 'standard'\nargs.junk = 1\n"
    faults, _ = load_with_flags(tmp_path, text)
    assert [fault.partition(": sglang")[0] for fault in faults] == [
        "9: profiles.standard.args.nonsense",
        "12: profiles.x.args.junk",
    ]


def test_flags_of_ours_are_told_once(tmp_path: Path) -> None:
    faults, _ = load_with_flags(tmp_path, GOOD + "[profiles.standard.args]\nport = 1\n")
    assert faults == ["9: profiles.standard.args.port: is set by qvl itself (the pool's port says where it listens)"]


def test_an_interpreter_that_isn_t_there_is_a_warning(tmp_path: Path) -> None:
    text = GOOD.replace('"simulated"', f'"sglang"\npython = "{tmp_path}/bin/python"')
    faults, warnings = load_with_flags(tmp_path, text + "[profiles.standard.args]\nnonsense = 1\n")
    assert faults == []
    assert warnings == [
        f"1: engines.sim: {tmp_path}/bin/python does not exist, so the flags of its profiles were not checked "
        "(its workers start once it is there)"
    ]


def test_a_command_has_flags_of_its_own(tmp_path: Path) -> None:
    text = GOOD.replace('"simulated"', '"command"\ncommand = ["x"]')
    faults, _ = load_with_flags(tmp_path, text + "[profiles.standard.args]\nhost = 1\n")
    assert faults == []


def sglang(*flags: str) -> FlagTable:
    return FlagTable.of("0.5.2", [Flag(flag, (flag,)) for flag in flags])


def test_a_key_file_needs_an_sglang_that_reads_one(tmp_path: Path) -> None:
    text = GOOD.replace('"simulated"', '"sglang"\npython = "/opt/python"') + 'api_key_file = "/etc/key"\n'
    path = write(tmp_path, text)

    def old(engine: Engine, args: Mapping[str, ArgValue]) -> Sequence[ArgFault]:
        return check_args(sglang("api-key", "port"), args, ours(engine.kind))

    def new(engine: Engine, args: Mapping[str, ArgValue]) -> Sequence[ArgFault]:
        return check_args(sglang("api-key", "config"), args, ours(engine.kind))

    (fault,) = load(path, flag_check=old).faults
    assert str(fault) == (
        f"{path}:9: pools.p.api_key_file: the SGLang of engine sim takes a key in its arguments only, where everyone "
        "sees it (0.5.3 and later read it from a file)"
    )
    assert load(path, flag_check=new).faults == ()


def test_the_simulated_table_has_aliases_lists_and_negations() -> None:
    table = simulated_table()
    args = {"tensor-parallel-size": 1, "cuda-graph-bs": [1, 2], "enable-metrics": True, "dllm-fdfo": False}
    assert check_args(table, args, ()) == []


def test_flags_of_a_gateway(tmp_path: Path) -> None:
    args = 'polcy = "random", policy = "randm", max-payload-size = 5, dp-aware = "x"'
    faults, warnings = load_with_flags(tmp_path, GOOD + f'gateway = "sglang-router"\ngateway_args = {{ {args} }}\n')
    version = router_version(Path(sys.executable))
    where = "9: pools.p.gateway_args"
    assert faults == [
        f"{where}.dp-aware: \"dp-aware\" takes no value, got 'x' (write dp-aware = true)",
        f'{where}.polcy: sglang-router {version} has no flag "polcy" (did you mean "policy"?)',
    ]
    assert warnings == [
        f'{where}.policy: "randm" is no choice of "policy" in sglang-router {version} (did you mean "random"?)'
    ]


def test_flags_of_a_gateway_that_is_not_installed(tmp_path: Path) -> None:
    text = f'[supervisor]\ngateway_python = "{tmp_path}/python"\n' + GOOD
    faults, warnings = load_with_flags(tmp_path, text + 'gateway = "sglang-router"\ngateway_args = { polcy = 1 }\n')
    assert faults == []
    assert [warning for warning in warnings if "has no sglang-router, so its flags were not checked" in warning]

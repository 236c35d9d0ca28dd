"""The check of flags against what was published: the oldest and the newest SGLang that is supported, and one between.

Nothing is installed but sources, so that whatever imported the engine would fail.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from qvl.config.flags import installed_check
from qvl.config.load import load
from qvl.engines.base import Place
from qvl.engines.flags import FlagTable
from qvl.engines.sglang import SglangDriver, serving_flags
from qvl.engines.sglang_flags import load_flags
from qvl.model.spec import Engine, EngineKind, Launch

from tests.engines.wheels import environment

VERSIONS = ("0.5.3", "0.5.12", "0.5.23")
SPELLINGS = {"0.5.3": 254, "0.5.12": 399, "0.5.23": 547}


@pytest.fixture(scope="module", params=VERSIONS)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("sglang"), request.param)


@pytest.fixture(scope="module")
def table(python: Path) -> FlagTable:
    return load_flags(python, None)


def told(folder: Path, python: Path, args: str, pool: str = "") -> tuple[list[str], list[str]]:
    """What a user reads of a configuration with these arguments: (faults, warnings), from the line's number on."""
    file = folder / "qvl.toml"
    file.write_text(
        f'[engines.it]\nkind = "sglang"\npython = "{python}"\n'
        f'[pools.p]\nprofile = "q"\ngpus = "none"\n{pool}'
        f'[profiles.q]\nengine = "it"\nmodel = "Qwen/Qwen3-VL-8B-Instruct"\n[profiles.q.args]\n{args}\n'
    )
    loaded = load(file, flag_check=installed_check())
    return [str(fault).removeprefix(f"{file}:") for fault in loaded.faults], [
        str(warning).removeprefix(f"{file}:") for warning in loaded.warnings
    ]


def test_every_spelling_of_the_version_is_known(table: FlagTable) -> None:
    assert len(table.flags) == SPELLINGS[table.version]


def test_a_flag_that_no_version_has_is_refused_with_the_nearest_that_this_one_has(
    python: Path, table: FlagTable, tmp_path: Path
) -> None:
    faults, _ = told(tmp_path, python, 'mm-proj-url = "x"\nmem-fraction-statik = 0.8')
    assert [fault.partition(" (")[0] for fault in faults] == [
        f'11: profiles.q.args.mm-proj-url: sglang {table.version} has no flag "mm-proj-url"',
        f'12: profiles.q.args.mem-fraction-statik: sglang {table.version} has no flag "mem-fraction-statik"',
    ]
    [shown] = [word for word in faults[0].split('"')[3::2]]
    assert "the nearest is" in faults[0]
    assert table.find(shown) is not None
    assert faults[1].endswith('(did you mean "mem-fraction-static"?)')


def test_a_beginning_that_several_flags_share_is_refused_with_their_names(
    python: Path, table: FlagTable, tmp_path: Path
) -> None:
    [fault], _ = told(tmp_path, python, "cuda-graph = 8")
    count = len(table.prefix_matches("cuda-graph"))
    assert count > 1
    assert fault.startswith(f'11: profiles.q.args.cuda-graph: "cuda-graph" could be any of {count} flags (write the')


def test_a_flag_of_another_version_is_refused_with_what_took_its_place(
    python: Path, table: FlagTable, tmp_path: Path
) -> None:
    faults, warnings = told(tmp_path, python, "cuda-graph-max-bs = 8")
    if table.version == "0.5.23":
        assert faults == [
            '11: profiles.q.args.cuda-graph-max-bs: sglang 0.5.23 has no flag "cuda-graph-max-bs" '
            '(0.5.19 was the last version with it; use "cuda-graph-max-bs-decode")'
        ]
    else:
        assert faults == warnings == []


def test_every_retired_flag_is_gone_and_its_successor_is_there(table: FlagTable) -> None:
    """Where a version is newer than the last one that had the flag."""

    def number(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split("."))

    for name, retired in table.retired.items():
        if number(retired.last) >= number(table.version):
            continue
        flag = table.find(name)
        assert flag is None or flag.refused or flag.replaced_by, name
        if table.version == VERSIONS[-1]:
            for successor in retired.instead.split('"')[1::4]:
                assert table.find(successor) is not None, f"{name}: {successor}"


def test_every_flag_that_qvl_sets_itself_is_refused(python: Path, tmp_path: Path) -> None:
    place = Place("p-0", tmp_path, tmp_path, (), 20001, "key")
    launch = Launch(engine=Engine("it", EngineKind.SGLANG, python=str(python)), model="m", port=8000)
    ours = [word.removeprefix("--") for word in serving_flags(launch, place, True) if word.startswith("--")]
    assert len(ours) == 5
    for name in [*ours, "model", "api-key", "admin-api-key", "base-gpu-id"]:
        faults, _ = told(tmp_path, python, f'{name} = "x"')
        assert len(faults) == 1, (name, faults)
        assert "is set by qvl itself" in faults[0] or "shows the key to everyone" in faults[0], faults
    for spelling, meant in (("nccl_port", "nccl-port"), ("model_path", "model-path")):
        [fault], _ = told(tmp_path, python, f"{spelling} = 1")
        assert f'flags are written with hyphens: "{meant}"' in fault
    [dashed], _ = told(tmp_path, python, '"--port" = 1')
    assert 'is written without the leading dashes (did you mean "port"?)' in dashed


def test_a_key_file_is_taken_by_every_version_that_reads_one(python: Path, tmp_path: Path) -> None:
    assert told(tmp_path, python, "tp-size = 1", 'api_key_file = "/etc/key"\n') == ([], [])


def test_a_choice_that_the_version_does_not_list_is_a_warning(python: Path, table: FlagTable, tmp_path: Path) -> None:
    faults, warnings = told(tmp_path, python, 'load-format = "dumy"')
    assert faults == []
    assert warnings == [
        f'11: profiles.q.args.load-format: "dumy" is no choice of "load-format" in sglang {table.version} '
        '(did you mean "dummy"?)'
    ]


def test_the_command_line_that_is_made_has_flags_of_this_version_alone(python: Path, table: FlagTable) -> None:
    launch = Launch(
        engine=Engine("it", EngineKind.SGLANG, python=str(python)),
        model="m",
        args={"tp-size": 2, "dp-size": 1, "ep-size": 1, "pp-size": 1, "mem-fraction-static": 0.8},
    )
    place = Place("p-0", Path("/t"), Path("/s"), (), 20001, "key")
    words = SglangDriver().command(launch, place).argv
    flags = [word.removeprefix("--") for word in words if word.startswith("--")]
    assert [flag for flag in flags if table.find(flag) is None] == []
    assert "enable-metrics" in flags


def test_a_check_loads_nothing_heavy_and_is_quick(
    python: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The figures are shown at the end of the run; none is asserted."""
    program = f"""
import sys, time, json
from pathlib import Path
from qvl.engines.sglang_flags import load_flags
figures = []
for cache in (None, Path({str(tmp_path)!r}), Path({str(tmp_path)!r})):
    began = time.perf_counter()
    table = load_flags(Path({str(python)!r}), cache)
    figures.append(round(1000 * (time.perf_counter() - began), 1))
heavy = [name for name in ("torch", "numpy", "sglang", "transformers") if name in sys.modules]
print(json.dumps({{"heavy": heavy, "figures": figures, "version": table.version}}))
"""
    began = time.perf_counter()
    answer = msgspec.json.decode(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    )
    assert answer["heavy"] == []
    whole = 1000 * (time.perf_counter() - began)
    without, _, cached = answer["figures"]
    record_property(
        "flag check",
        f"sglang {answer['version']}: {without} ms without cache, {cached} ms with it ({whole:.0f} ms process)",
    )

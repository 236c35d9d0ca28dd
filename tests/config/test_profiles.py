"""The profiles under etc/profiles: each is a right drop-in for the examples, and they don't get in each other's way."""

import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from qvl.config.load import Loaded, load

from tests.config.test_examples import ETC, VALIDATOR, by_the_flags_of_0_5_18

PROFILES = sorted((ETC / "profiles").glob("*.toml"))
HOSTS = ("minimal.toml", "qvl.toml")


def with_drop_ins(folder: Path, host: str, drop_ins: Sequence[Path]) -> Loaded:
    main = folder / "qvl.toml"
    shutil.copy(ETC / host, main)
    (folder / "qvl.d").mkdir()
    for drop_in in drop_ins:
        shutil.copy(drop_in, folder / "qvl.d")
    return load(main, flag_check=by_the_flags_of_0_5_18)


def names(path: Path) -> list[str]:
    return list(tomllib.loads(path.read_text())["profiles"])


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_each_goes_with_the_examples(path: Path, host: str, tmp_path: Path) -> None:
    loaded = with_drop_ins(tmp_path, host, [path])
    assert [str(fault) for fault in (*loaded.faults, *loaded.warnings)] == []
    assert loaded.config is not None
    assert set(names(path)) <= set(loaded.config.profiles)


@pytest.mark.parametrize("host", [path.name for path in sorted(ETC.glob("*.toml")) if path.name != "cpu.toml"])
def test_all_go_together_with_every_example_of_a_gpu_host(host: str, tmp_path: Path) -> None:
    loaded = with_drop_ins(tmp_path, host, PROFILES)
    assert [str(fault) for fault in (*loaded.faults, *loaded.warnings)] == []


def test_no_two_have_the_same_name_and_each_is_named_like_its_file() -> None:
    assert [names(path) for path in PROFILES] == [[path.stem] for path in PROFILES]


@pytest.mark.parametrize("host", HOSTS)
def test_none_but_the_standard_one_changes_what_a_host_runs(host: str, tmp_path: Path) -> None:
    before = load(ETC / host).config
    loaded = with_drop_ins(tmp_path, host, [path for path in PROFILES if path.stem != "standard"]).config
    assert before is not None
    assert loaded is not None
    runs = {pool.profile for pool in before.pools.values()}
    assert {name: loaded.profiles[name].args for name in runs} == {name: before.profiles[name].args for name in runs}


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_it_fits_the_schema_that_its_first_line_names(path: Path) -> None:
    first, _ = path.read_text().split("\n", 1)
    assert (path.parent / first.removeprefix("#:schema ")).resolve() == ETC / "qvl.schema.json"
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads(path.read_text()))] == []


def test_the_table_names_each_of_them() -> None:
    table = (ETC / "profiles" / "README.md").read_text()
    assert [path.name for path in PROFILES if f"| `{path.stem}` | [{path.name}]({path.name})" not in table] == []

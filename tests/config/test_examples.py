"""The examples and the schema under etc/: right, complete, and in step with the declaration."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jsonschema
import msgspec
import pytest
from qvl.config.declare import Field, Named, Section
from qvl.config.json_schema import json_schema
from qvl.config.load import load
from qvl.config.schema import ROOT
from qvl.engines.flags import ArgFault, check_args
from qvl.engines.simulated import simulated_table
from qvl.model.spec import ArgValue, Engine, EngineKind

from tests.config.files import GOOD

ETC = Path(__file__).parents[2] / "etc"
EXAMPLES = sorted(ETC.glob("*.toml"))
VALIDATOR = jsonschema.Draft7Validator(json_schema())


def by_the_flags_of_0_5_18(engine: Engine, args: Mapping[str, ArgValue]) -> Sequence[ArgFault]:
    found = check_args(simulated_table(), args, ())
    own = [ArgFault(key, "is for the simulated engine") for key in args if key.startswith("sim-")]
    return found if engine.kind is EngineKind.SIMULATED else [*found, *own]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_right_and_invents_no_flag(path: Path) -> None:
    loaded = load(path, flag_check=by_the_flags_of_0_5_18)
    assert [str(fault) for fault in (*loaded.faults, *loaded.warnings)] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_fits_the_schema(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads(path.read_text()))] == []


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.name != "cpu.toml"], ids=lambda path: path.name)
def test_editors_find_the_schema(path: Path) -> None:
    assert path.read_text().startswith("#:schema qvl.schema.json\n")


def test_the_schema_on_disk_is_in_step() -> None:
    written = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    assert (ETC / "qvl.schema.json").read_text() == written, "python -m qvl.config.json_schema > etc/qvl.schema.json"


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "text",
    [
        "pool = {}",
        "[pools.p]",
        "[pools.P]\nprofile = 'x'",
        "[pools.all]\nprofile = 'x'",
        "[pools.p]\nprofile = 'x'\nport = 0",
        "[pools.p]\nprofile = 'x'\ngpus = []",
        "[pools.p]\nprofile = 'x'\ngpus = 'some'",
        "[pools.p]\nprofile = 'x'\nstop.drain = '5 min'",
        "[pools.p]\nprofile = 'x'\nlogs.max_size = '5 megs'",
        "[pools.p]\nprofile = 'x'\nrestart.causes = { hangs = 'retry' }",
        "[engines.x]",
        "[engines.x]\nkind = 'y'",
        "[engines.x]\nkind = 'simulated'\nenv = { A = 1 }",
        "[supervisor]\ngpus = 'simulated:0'",
    ],
)
def test_the_schema_sees_mistakes(text: str) -> None:
    assert list(VALIDATOR.iter_errors(tomllib.loads(GOOD))) == []
    assert list(VALIDATOR.iter_errors(tomllib.loads(text)))


def keys(section: Section, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, entry in section.fields.items():
        if isinstance(entry, Field):
            yield (*path, name)
        elif isinstance(entry, Named):
            yield from keys(entry.section, (*path, name, "*"))
        else:
            yield from keys(entry, (*path, name))


def written(table: Mapping[str, object], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path of a file, the names that users choose as `*`."""
    for key, value in table.items():
        name = "*" if path in (("engines",), ("profiles",), ("pools",)) else key
        yield (*path, name)
        if isinstance(value, dict):
            yield from written(value, (*path, name))


def test_the_full_example_has_every_key() -> None:
    text = (ETC / "qvl.toml").read_text()
    commented_out = "\n".join(
        line.removeprefix("# ") for line in text.split("\n") if line.startswith("# ") and " = " in line
    )
    assert {"socket", "state_dir", "log_dir", "workers"} <= {
        line.partition(" = ")[0] for line in commented_out.split("\n")
    }
    missing = set(keys(ROOT)) - set(written(tomllib.loads(text)))
    assert missing == {("supervisor", "socket"), ("supervisor", "state_dir"), ("supervisor", "log_dir")}


def test_every_key_is_described() -> None:
    def docs(entry: Field | Section | Named) -> Iterator[str]:
        yield entry.doc
        if isinstance(entry, Named):
            yield from docs(entry.section)
        elif isinstance(entry, Section):
            for inner in entry.fields.values():
                yield from docs(inner)

    assert all(doc.endswith(".") for doc in docs(ROOT))


def test_the_declaration_has_the_keys_of_the_structs_it_fills() -> None:
    def sections(entry: Field | Section | Named) -> Iterator[Section]:
        if isinstance(entry, Named):
            yield from sections(entry.section)
        elif isinstance(entry, Section):
            yield entry
            for inner in entry.fields.values():
                yield from sections(inner)

    own = {"name", "policy"}
    reserved = {"standby", "restart", "health", "stop", "logs"}
    for section in sections(ROOT):
        if section.struct is not None:
            assert {field.name for field in msgspec.structs.fields(section.struct)} - own == set(
                section.fields
            ) - reserved

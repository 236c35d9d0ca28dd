"""`extends` and `unset`: what a profile comes to, whoever it inherits from."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from qvl.config.inherit import chain, cycles, merge_values, resolve
from qvl.config.schema import ProfileTable
from qvl.config.tree import Table, leaves, merge, parse, plain

from tests.config.files import GOOD, config_of

names = st.sampled_from(["a", "b", "c", "tp", "tp-size", "tensor-parallel-size"])
values: st.SearchStrategy[object] = st.one_of(
    st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2)
)
args = st.dictionaries(
    names, st.one_of(values, st.dictionaries(st.sampled_from("xyz"), values, max_size=2)), max_size=4
)
one_name_for_each_flag = args.filter(lambda found: len({*found} & {"tp", "tp-size", "tensor-parallel-size"}) <= 1)


@st.composite
def families(draw: st.DrawFn) -> dict[str, ProfileTable]:
    """Profiles that extend one another in any way, cycles and strangers included."""
    members = ["p", "q", "r", "s"]
    return {
        name: ProfileTable(
            extends=draw(st.one_of(st.none(), st.sampled_from([*members, "stranger"]))),
            args=draw(one_name_for_each_flag),
            unset=tuple(draw(st.lists(st.sampled_from(["args.a", "args.tp", "env.X", "args.b.x"]), max_size=2))),
        )
        for name in members
    }


@given(families())
def test_every_family_is_resolved_and_every_argument_has_an_origin_in_the_chain(
    tables: dict[str, ProfileTable],
) -> None:
    for name in tables:
        whole = resolve(name, tables)
        assert {f"args.{key}" for key in whole.args} == {key for key in whole.origins if key.startswith("args.")}
        assert set(whole.origins.values()) <= set(chain(name, tables))
        spellings = {"tp", "tp-size", "tensor-parallel-size"} & set(whole.args)
        assert len(spellings) <= 1
        for key, value in tables[name].args.items():
            if not isinstance(value, dict):
                assert whole.args[key] == value
                assert whole.origins[f"args.{key}"] == name


@given(families())
def test_a_profile_is_in_a_cycle_or_has_an_end(tables: dict[str, ProfileTable]) -> None:
    rings = list(cycles(tables))
    assert len({frozenset(ring) for ring in rings}) == len(rings)
    for ring in rings:
        for member, following in zip(ring, (*ring[1:], ring[0]), strict=True):
            assert tables[member].extends == following
        assert ring[0] == min(ring)
    for name in tables:
        last = chain(name, tables)[-1]
        ends = tables[last].extends not in tables
        assert ends != any(last in ring for ring in rings)


# A key is a table in every file or in none: where they disagree, who merges first decides.
same_shape = st.fixed_dictionaries(
    {}, optional={"a": values, "b": values, "c": st.dictionaries(st.sampled_from("xyz"), values, max_size=3)}
)


@given(same_shape, same_shape, same_shape)
def test_merging_doesn_t_depend_on_where_one_pauses(
    low: dict[str, object], mid: dict[str, object], high: dict[str, object]
) -> None:
    assert merge_values(merge_values(low, mid), high) == merge_values(low, merge_values(mid, high))
    assert merge_values(low, {}) == low
    assert merge_values({}, low) == low


@given(args, args)
def test_files_merge_as_values_do(low: dict[str, object], high: dict[str, object]) -> None:
    def table(found: dict[str, object], name: str) -> Table:
        import tomli_w

        return parse(Path(name), tomli_w.dumps(found))

    merged = merge(table(low, "low"), table(high, "high"))
    assert plain(merged) == merge_values(low, high)
    for key, leaf in leaves(merged):
        assert leaf.mark.line > 0
        if key in high and not isinstance(high[key], dict):
            assert leaf.mark.file == Path("high")


def test_what_a_child_says_goes_before(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        GOOD
        + """
[profiles.standard.args]
tensor-parallel-size = 2
keep = 1
gone = true
json = { a = 1, b = { c = 2, d = 3 } }
[profiles.standard.env]
A = "1"
B = "1"
[profiles.middle]
extends = "standard"
raw_args = ["--x"]
unset = ["args.gone", "env.B", "args.json.b.c"]
[profiles.child]
extends = "middle"
model = "other"
args = { tp = 4, json = { b = { d = 4 } } }
env = { A = "2" }
""",
    )
    child = config.profiles["child"]
    assert child.engine == "sim"
    assert child.model == "other"
    assert child.args == {"keep": 1, "tp": 4, "json": {"a": 1, "b": {"d": 4}}}
    assert child.env == {"A": "2"}
    assert child.raw_args == ("--x",)
    assert child.origins == {
        "engine": "standard",
        "model": "child",
        "raw_args": "middle",
        "args.keep": "standard",
        "args.tp": "child",
        "args.json": "child",
        "env.A": "child",
    }
    assert config.profiles["standard"].args["json"] == {"a": 1, "b": {"c": 2, "d": 3}}


def test_a_long_line_of_ancestors(tmp_path: Path) -> None:
    generations = "".join(f'[profiles.g{i + 1}]\nextends = "g{i}"\nargs.a{i} = {i}\n' for i in range(100))
    config = config_of(tmp_path, GOOD + '[profiles.g0]\nextends = "standard"\n' + generations)
    assert len(config.profiles["g100"].args) == 100

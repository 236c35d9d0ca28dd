"""The table of flags, which the supervisor reads too."""

from collections import Counter

from qvl.simulator.flags import FLAGS, Flag


def flag(name: str) -> Flag:
    return next(flag for flag in FLAGS if name in (flag.name, *flag.aliases))


def test_every_spelling_means_one_flag() -> None:
    spellings = Counter(name for flag in FLAGS for name in (flag.name, *flag.aliases))
    assert [name for name, count in spellings.items() if count > 1] == []


def test_defaults_and_choices_have_the_type_of_their_flag() -> None:
    types = {"int": int, "size": int, "float": float, "bool": bool, "bool-optional": bool, "str": str, "json": str}
    for entry in FLAGS:
        assert entry.default is None or isinstance(entry.default, types[entry.type]), entry
        assert not entry.choices or str(entry.default) in ("None", *entry.choices), entry
        assert entry.nargs in ("", "+", "*", "?"), entry


def test_the_flags_people_use_are_there() -> None:
    assert flag("tensor-parallel-size").field == "tp_size"
    assert flag("context-length").type == "size"
    assert flag("cuda-graph-max-bs").name == "cuda-graph-max-bs-decode"
    assert "EAGLE3" not in flag("speculative-algorithm").choices, "0.5.18 checks it later, since plugins add some"
    assert "fa3" in flag("attention-backend").choices
    assert flag("enable-metrics") == Flag("enable-metrics", type="bool", default=False)
    assert flag("sim-load-seconds").default == 2

"""What the state directory remembers of configurations, and how it does without what can't be read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from qvl.config.state import ConfigState, Override, Rejected, hold

from tests.config.files import GOOD, config_of

OVERRIDES = {"qwen2.5-vl": Override("eagle3", "standard"), "p": Override("wide", "standard")}


def save_overrides(state: ConfigState, folder: Path) -> None:
    state.save_overrides(OVERRIDES)


def save_applied(state: ConfigState, folder: Path) -> None:
    (folder / "config").mkdir()
    state.save_applied(config_of(folder / "config", GOOD))


def save_rejected(state: ConfigState, folder: Path) -> None:
    state.save_rejected(Rejected("abc", "worker p-0 didn't get ready"))


EVERY = [
    pytest.param("overrides.toml", save_overrides, id="overrides"),
    pytest.param("applied.json", save_applied, id="applied"),
    pytest.param("rejected.json", save_rejected, id="rejected"),
]
Save = Callable[[ConfigState, Path], None]


def remembered(state: ConfigState, name: str) -> tuple[object, str | None]:
    match name:
        case "overrides.toml":
            overrides = state.overrides()
            return overrides.value, overrides.reason
        case "applied.json":
            applied = state.applied()
            return applied.value, applied.reason
    rejected = state.rejected()
    return rejected.value, rejected.reason


def test_nothing_is_remembered_at_first(tmp_path: Path) -> None:
    state = ConfigState(tmp_path)
    assert [remembered(state, name) for name in ("overrides.toml", "applied.json", "rejected.json")] == [
        ({}, None),
        (None, None),
        (None, None),
    ]


def test_what_is_saved_is_remembered(tmp_path: Path) -> None:
    state = ConfigState(tmp_path)
    (tmp_path / "config").mkdir()
    config = config_of(tmp_path / "config", GOOD + "[profiles.standard.args]\nx = 1.0\ny = { z = [1, true] }\n")
    rejected = Rejected("abc", "worker p-0 didn't get ready")
    state.save_overrides(OVERRIDES)
    state.save_applied(config)
    state.save_rejected(rejected)
    again = ConfigState(tmp_path)
    assert again.overrides().value == OVERRIDES
    assert again.applied().value == config
    assert again.rejected().value == rejected
    again.save_rejected(None)
    again.save_rejected(None)
    assert state.rejected().value is None
    assert "\n[overrides.p]\n" in (tmp_path / "overrides.toml").read_text()


@pytest.mark.parametrize(("name", "save"), EVERY)
def test_files_are_for_their_owner_and_leave_nothing_beside_them(tmp_path: Path, name: str, save: Save) -> None:
    (tmp_path / f".{name}.new").write_text("what a crash left")
    save(ConfigState(tmp_path), tmp_path)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == [name]


@pytest.mark.parametrize(("name", "save"), EVERY)
def test_any_truncation_is_tolerated_and_put_aside(tmp_path: Path, name: str, save: Save) -> None:
    state = ConfigState(tmp_path)
    save(state, tmp_path)
    path = tmp_path / name
    whole, value = path.read_bytes(), remembered(state, name)
    for size in {0, 1, len(whole) // 4, len(whole) // 2, len(whole) - 5}:
        path.write_bytes(whole[:size])
        found, reason = remembered(state, name)
        if found in ({}, None):
            assert reason is not None
            assert reason.startswith(f"{path} is left out: ")
            assert reason.endswith(f"; it was put aside as {name}.bad")
            assert (tmp_path / f"{name}.bad").read_bytes() == whole[:size]
            assert not path.exists()
    path.write_bytes(whole)
    assert remembered(state, name) == value


@pytest.mark.parametrize(("name", "save"), EVERY)
@pytest.mark.parametrize(
    "content", [b"[1]", b"x = [1]", b"\xff", b"[" * 100_000, b'{"version": "x"}', b"version = 0.5"]
)
def test_nonsense_is_tolerated(tmp_path: Path, name: str, save: Save, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    found, reason = remembered(ConfigState(tmp_path), name)
    assert found in ({}, None)
    assert reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("overrides.toml", 'version = 2\noverrides = "else"\n'),
        ("applied.json", '{"version": 2}'),
        ("rejected.json", '{"version": 2}'),
    ],
)
def test_a_newer_version_is_put_aside(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    _, reason = remembered(ConfigState(tmp_path), name)
    assert reason == (f"{path} is left out: it is of version 2, and this qvl knows 1; it was put aside as {name}.bad")
    assert (tmp_path / f"{name}.bad").read_text() == content


def test_what_can_t_be_read_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "applied.json"
    path.mkdir()
    assert remembered(ConfigState(tmp_path), "applied.json") == (None, f"{path} can't be read: is a directory")
    assert path.is_dir()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    state = ConfigState(tmp_path)
    state.save_overrides(OVERRIDES)
    os.mkdir(tmp_path / ".overrides.toml.new")
    with pytest.raises(OSError, match=r"(?i)directory"):
        state.save_overrides({})
    assert state.overrides().value == OVERRIDES


def test_overrides_hold_until_the_file_says_otherwise(tmp_path: Path) -> None:
    text = GOOD + '[profiles.wide]\nextends = "standard"\n'
    override = {"p": Override("wide", "standard")}
    assert hold(override, config_of(tmp_path, text)) == (override, ())
    edited = config_of(tmp_path, text.replace('profile = "standard"', 'profile = "wide"'))
    assert hold(override, edited) == ({}, ("the override of pool p ends: its profile was edited in the file",))
    assert hold({"q": Override("wide", "standard")}, edited) == ({}, ("the override of pool q ends: the pool is gone",))
    assert hold(override, config_of(tmp_path, GOOD)) == (
        {},
        ('the override of pool p ends: there is no profile "wide" any more',),
    )

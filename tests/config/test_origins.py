"""What a profile comes to, and where each part comes from."""

from pathlib import Path

import pytest
from qvl.config.origins import HIDDEN, origins, profile_infos
from qvl.model.api import ArgOrigin, ProfileInfo
from qvl.model.error import ErrorCode, QvlError

from tests.config.files import config_of

TEXT = """
[engines.sim]
kind = "simulated"
env = { A = "engine", B = "engine", HF_TOKEN = "hf_x" }
[profiles.standard]
engine = "sim"
model = "m"
raw_args = ["--y"]
args = { x = 1, y = { a = 1 } }
env = { B = "profile" }
[profiles.fast]
extends = "standard"
args = { y = { b = 2 }, a = true }
[pools.p]
profile = "standard"
"""


def test_every_argument_tells_where_it_comes_from(tmp_path: Path) -> None:
    detail = origins(config_of(tmp_path, TEXT), "fast", ours={"port": 8000, "x": 0}, command=["python", "-m", "x"])
    assert (detail.name, detail.engine, detail.model, detail.raw_args) == ("fast", "sim", "m", ("--y",))
    assert detail.command == ("python", "-m", "x")
    assert detail.args == (
        ArgOrigin("a", True, "profile fast"),
        ArgOrigin("port", 8000, "qvl"),
        ArgOrigin("x", 1, "profile standard"),
        ArgOrigin("y", {"a": 1, "b": 2}, "profile fast"),
    )
    assert detail.env == (
        ArgOrigin("A", "engine", "engine sim"),
        ArgOrigin("B", "profile", "profile standard"),
        ArgOrigin("HF_TOKEN", HIDDEN, "engine sim"),
    )


def test_an_unknown_profile_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(QvlError) as caught:
        origins(config_of(tmp_path, TEXT), "fats")
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert (caught.value.message, caught.value.hint) == ('there is no profile "fats"', 'did you mean "fast"?')


def test_profiles_tell_who_runs_them(tmp_path: Path) -> None:
    config = config_of(tmp_path, TEXT)
    assert profile_infos(config) == (
        ProfileInfo("standard", "sim", "m", None, ("p",)),
        ProfileInfo("fast", "sim", "m", "standard", ()),
    )
    assert [info.used_by for info in profile_infos(config, {"p": "fast"})] == [(), ("p",)]

"""Where things are, by the order flag, environment, table, default."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from qvl.config.paths import Flags, Paths, check_socket_path, drop_ins_of, resolve_paths

NO_FLAGS = Flags()
SYSTEM = Paths(
    config=Path("/etc/qvl/qvl.toml"),
    drop_ins=Path("/etc/qvl/qvl.d"),
    socket=Path("/run/qvl/supervisor.sock"),
    view_socket=Path("/run/qvl/view.sock"),
    state_dir=Path("/var/lib/qvl"),
    log_dir=Path("/var/log/qvl"),
)


def of_user(home: Path) -> Paths:
    state = home / ".local/state/qvl"
    return Paths(
        config=home / ".config/qvl/qvl.toml",
        drop_ins=home / ".config/qvl/qvl.d",
        socket=state / "run/supervisor.sock",
        view_socket=state / "run/view.sock",
        state_dir=state,
        log_dir=state / "log",
    )


def places(
    env: dict[str, str],
    flags: Flags = NO_FLAGS,
    table: dict[str, object] | None = None,
    *,
    is_root: bool = False,
    system_config: Path = Path("/nonexistent/qvl.toml"),
) -> Paths:
    return resolve_paths(flags, env, table or {}, is_root=is_root, system_config=system_config)


def test_root_has_the_systems_paths() -> None:
    assert resolve_paths(Flags(), {"HOME": "/root"}, {}, is_root=True) == SYSTEM


def test_a_user_has_those_of_xdg(tmp_path: Path) -> None:
    assert places({"HOME": str(tmp_path)}) == of_user(tmp_path)
    found = places(
        {
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": "/c",
            "XDG_STATE_HOME": "/s",
            "XDG_RUNTIME_DIR": "/r",
        }
    )
    assert found == Paths(
        config=Path("/c/qvl/qvl.toml"),
        drop_ins=Path("/c/qvl/qvl.d"),
        socket=Path("/r/qvl/supervisor.sock"),
        view_socket=Path("/r/qvl/view.sock"),
        state_dir=Path("/s/qvl"),
        log_dir=Path("/s/qvl/log"),
    )


def test_relative_xdg_values_are_ignored(tmp_path: Path) -> None:
    assert places({"HOME": str(tmp_path), "XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": ""}) == of_user(tmp_path)


def test_a_service_user_has_the_systems_paths(tmp_path: Path) -> None:
    system_config = tmp_path / "etc/qvl/qvl.toml"
    env = {"HOME": str(tmp_path / "home")}
    assert places(env, system_config=system_config).state_dir == tmp_path / "home/.local/state/qvl"
    system_config.parent.mkdir(parents=True)
    system_config.touch()
    assert places(env, system_config=system_config).config == system_config
    assert places(env, system_config=system_config).state_dir == SYSTEM.state_dir
    own = tmp_path / "home/.config/qvl/qvl.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert places(env, system_config=system_config).config == own
    assert places(env, system_config=system_config).state_dir == tmp_path / "home/.local/state/qvl"


def test_the_config_that_is_named_decides_whose_paths_they_are(tmp_path: Path) -> None:
    system_config = tmp_path / "etc/qvl/qvl.toml"
    system_config.parent.mkdir(parents=True)
    system_config.touch()
    env = {"HOME": str(tmp_path / "home")}
    mine = places(env, Flags(config="/tmp/mine.toml"), system_config=system_config)
    assert mine.state_dir == tmp_path / "home/.local/state/qvl"
    theirs = places(env, Flags(config=str(system_config.with_name("other.toml"))), system_config=system_config)
    assert theirs.state_dir == SYSTEM.state_dir


@pytest.mark.parametrize(
    ("key", "variable"), [("socket", "QVL_SOCKET"), ("state_dir", "QVL_STATE_DIR"), ("log_dir", "QVL_LOG_DIR")]
)
def test_the_order(tmp_path: Path, key: str, variable: str) -> None:
    env = {"HOME": str(tmp_path)}
    assert getattr(places(env), key) == getattr(of_user(tmp_path), key)
    table: dict[str, object] = {key: "/table"}
    assert getattr(places(env, table=table), key) == Path("/table")
    env[variable] = "/env"
    assert getattr(places(env, table=table), key) == Path("/env")
    assert getattr(places(env, Flags(**{key: "/flag"}), table), key) == Path("/flag")
    assert getattr(places({**env, variable: ""}, table=table), key) == Path("/table")


def test_the_order_of_the_config(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "QVL_CONFIG": "/env.toml"}
    assert places(env).config == Path("/env.toml")
    assert places(env, Flags(config="/flag.toml")).config == Path("/flag.toml")
    assert places(env, Flags(config="/flag.toml")).drop_ins == Path("/flag.d")


def test_paths_are_absolute_and_view_sock_is_beside_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = places({"HOME": "/h"}, Flags(config="x/../a.toml", socket="s/a.sock"))
    assert found.config == tmp_path / "a.toml"
    assert found.socket == tmp_path / "s/a.sock"
    assert found.view_socket == tmp_path / "s/view.sock"


def test_drop_ins() -> None:
    assert [str(drop_ins_of(Path(name))) for name in ("/a/qvl.toml", "/a/F.toml", "/a/F", "/a/F.conf")] == [
        *("/a/qvl.d", "/a/F.d", "/a/F.d", "/a/F.conf.d")
    ]


def test_a_socket_path_has_107_bytes_at_most() -> None:
    assert check_socket_path(Path("/" + "x" * 106)) is None
    assert check_socket_path(Path("/" + "ä" * 53)) is None
    long = Path("/" + "ä" * 54)
    assert check_socket_path(long) == f"the socket path {long} has 109 bytes; the kernel takes 107 at most"


def test_the_command_line_pays_for_nothing_but_the_standard_library() -> None:
    code = "import sys, qvl.config.paths, qvl.config.units; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert not {"msgspec", "toml_rs", "tomllib", "difflib"} & set(run.stdout.split())

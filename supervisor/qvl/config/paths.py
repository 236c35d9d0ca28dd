"""Where qvl keeps its things: the config file, the sockets, the state directory and the logs.

Every program asks here, so that `qvlctl` and the daemon agree without talking. Standard library only, and nothing is
created or opened for writing: this says where, and the owner of each place makes it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOCKET_PATH_LIMIT: Final = 107
"""Bytes: `sun_path` of unix(7) holds 108, and the last is the closing NUL."""

_SYSTEM_CONFIG: Final = Path("/etc/qvl/qvl.toml")


@dataclass(frozen=True, slots=True)
class Paths:
    """All absolute."""

    config: Path
    drop_ins: Path
    """The directory whose `*.toml` are merged over `config` in name order; it need not be there."""
    socket: Path
    view_socket: Path
    state_dir: Path
    log_dir: Path


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line said; None where it said nothing."""

    config: str | None = None
    socket: str | None = None
    state_dir: str | None = None
    log_dir: str | None = None


def resolve_paths(
    flags: Flags,
    env: Mapping[str, str],
    table: Mapping[str, object],
    *,
    is_root: bool,
    system_config: Path = _SYSTEM_CONFIG,
) -> Paths:
    """Flag, then environment, then the `[supervisor]` table, then the default of this user.

    `table` is the `[supervisor]` table, or empty before the config is read: the config's own place can't depend on it.
    The defaults are the system's for root, and for a service user: one who is given a config out of the system's
    directory, or who is given none and has none, on a host with a system config. Relative paths are taken from the
    working directory.
    """
    user = _user_defaults(env)
    given = flags.config or env.get("QVL_CONFIG")
    if given:
        system = is_root or _absolute(given).is_relative_to(system_config.parent)
    else:
        system = is_root or (not _is_there(user.config) and _is_there(system_config))
    defaults = _system_defaults(system_config) if system else user

    def choose(flag: str | None, variable: str, key: str, default: Path) -> Path:
        written = flag or env.get(variable) or table.get(key) or default
        return _absolute(written)

    config = choose(flags.config, "QVL_CONFIG", "", defaults.config)
    socket = choose(flags.socket, "QVL_SOCKET", "socket", defaults.socket)
    return Paths(
        config=config,
        drop_ins=drop_ins_of(config),
        socket=socket,
        view_socket=socket.with_name("view.sock"),
        state_dir=choose(flags.state_dir, "QVL_STATE_DIR", "state_dir", defaults.state_dir),
        log_dir=choose(flags.log_dir, "QVL_LOG_DIR", "log_dir", defaults.log_dir),
    )


def drop_ins_of(config: Path) -> Path:
    """`qvl.d` for `qvl.toml`, `F.d` for any `F.toml`."""
    return Path(f"{str(config).removesuffix('.toml')}.d")


def is_drop_in(name: str) -> bool:
    """Hidden files are left out: editors keep their swap and lock files as such."""
    return name.endswith(".toml") and not name.startswith(".")


def check_socket_path(path: Path | str) -> str | None:
    """A sentence where no unix socket can have this path, else None."""
    size = len(os.fsencode(path))
    if size <= SOCKET_PATH_LIMIT:
        return None
    return f"the socket path {path} has {size} bytes; the kernel takes {SOCKET_PATH_LIMIT} at most"


def _system_defaults(config: Path) -> Paths:
    run = Path("/run/qvl")
    return Paths(
        config=config,
        drop_ins=drop_ins_of(config),
        socket=run / "supervisor.sock",
        view_socket=run / "view.sock",
        state_dir=Path("/var/lib/qvl"),
        log_dir=Path("/var/log/qvl"),
    )


def _user_defaults(env: Mapping[str, str]) -> Paths:
    """The XDG base directories; without a runtime directory (cron, plain su) the socket lies with the state."""
    home = _absolute(env.get("HOME") or "~")
    config = _xdg(env, "XDG_CONFIG_HOME", home / ".config") / "qvl" / "qvl.toml"
    state = _xdg(env, "XDG_STATE_HOME", home / ".local" / "state") / "qvl"
    run = _xdg(env, "XDG_RUNTIME_DIR", state / "run", own="qvl")
    return Paths(
        config=config,
        drop_ins=drop_ins_of(config),
        socket=run / "supervisor.sock",
        view_socket=run / "view.sock",
        state_dir=state,
        log_dir=state / "log",
    )


def _xdg(env: Mapping[str, str], variable: str, default: Path, own: str = "") -> Path:
    """The XDG specification has relative values ignored."""
    value = env.get(variable, "")
    return Path(value) / own if os.path.isabs(value) else default


def _absolute(written: object) -> Path:
    return Path(os.path.abspath(os.path.expanduser(str(written))))


def _is_there(path: Path) -> bool:
    """Out of reach is there too: a member of the operator group need not be able to read the config."""
    try:
        return path.exists()
    except PermissionError:
        return True

"""The daemon's command line and where its things lie."""

import argparse
import os
from pathlib import Path

import msgspec

import qvl
from qvl.config.load import load
from qvl.config.paths import Flags, Paths, check_socket_path, resolve_paths
from qvl.config.settings import Config, Supervisor
from qvl.config.state import ConfigState
from qvl.model.error import ErrorCode, QvlError

_EPILOG = """\
Signals: SIGHUP reads the configuration again, SIGTERM and SIGINT stop the daemon as supervisor.on_stop says, a second
one ends workers that drain at once. Exit: 0 asked to stop, 1 can't run here, 2 usage, 78 the configuration is refused.
"""


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qvl-supervisor",
        description="Starts SGLang workers, watches them, restarts them, applies edits of one TOML file.",
        epilog=_EPILOG,
    )
    parser.add_argument("--config", metavar="FILE", help="the TOML file (QVL_CONFIG; /etc/qvl/qvl.toml)")
    parser.add_argument("--socket", metavar="PATH", help="where qvlctl finds it (QVL_SOCKET; /run/qvl/supervisor.sock)")
    parser.add_argument("--state-dir", metavar="DIR", help="what it remembers (QVL_STATE_DIR; /var/lib/qvl)")
    parser.add_argument("--log-dir", metavar="DIR", help="the workers' output (QVL_LOG_DIR; /var/log/qvl)")
    parser.add_argument("--version", action="version", version=f"qvl-supervisor {qvl.__version__}")
    return parser.parse_args(argv)


def locate(options: argparse.Namespace) -> tuple[Paths, Supervisor]:
    """The paths, and the `[supervisor]` table that holds for this run: the file's, or the last applied one's where the
    file is refused. QvlError where the socket's path is too long."""
    flags = Flags(options.config, options.socket, options.state_dir, options.log_dir)
    is_root = os.geteuid() == 0
    paths = resolve_paths(flags, os.environ, {}, is_root=is_root)
    config = load(paths.config).config or _applied(paths.state_dir)
    settings = config.supervisor if config is not None else Supervisor()
    table = {key: value for key, value in msgspec.to_builtins(settings).items() if value}
    paths = resolve_paths(flags, os.environ, table, is_root=is_root)
    for path in (paths.socket, paths.view_socket):
        if (fault := check_socket_path(path)) is not None:
            raise QvlError(ErrorCode.REFUSED, fault, "name a shorter one with --socket")
    return paths, settings


def _applied(state_dir: Path) -> Config | None:
    return ConfigState(state_dir).applied().value

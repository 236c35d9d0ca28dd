"""Where the daemon's socket, the configuration, the state and the logs are, by the rules of `qvl.config.paths`.

What a flag or the environment names outright is answered without loading those rules, and the configuration is parsed
only where it names a place at all: `qvlctl status` must not pay for reading TOML. A file that can't be read counts as
one that says nothing; verbs that need the file itself say so.
"""

from __future__ import annotations

import os
from functools import cached_property

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from qvl.config.paths import Flags, Paths

KEYS = ("socket", "state_dir", "log_dir")


class Places:
    """The places for one command line."""

    def __init__(self, args: argparse.Namespace, env: Mapping[str, str] | None = None) -> None:
        self._args = args
        self._env = os.environ if env is None else env

    def socket(self) -> str:
        """The daemon's socket, absolute."""
        named: str | None = self._args.socket or self._env.get("QVL_SOCKET")
        return os.path.abspath(os.path.expanduser(named)) if named else str(self.paths.socket)

    @cached_property
    def flags(self) -> Flags:
        from qvl.config.paths import Flags

        args = self._args
        return Flags(config=args.config, socket=args.socket, state_dir=args.state_dir, log_dir=args.log_dir)

    @cached_property
    def paths(self) -> Paths:
        """All of them, as the daemon has them when it is given the same flags and environment."""
        from qvl.config.paths import resolve_paths

        root = os.geteuid() == 0
        before = resolve_paths(self.flags, self._env, {}, is_root=root)
        table = supervisor_table(before.config, before.drop_ins)
        return resolve_paths(self.flags, self._env, table, is_root=root) if table else before


def supervisor_table(config: Path, drop_ins: Path) -> dict[str, object]:
    """The places that `[supervisor]` names; a later file goes before an earlier one."""
    found: dict[str, object] = {}
    try:
        more = sorted(name for name in os.listdir(drop_ins) if name.endswith(".toml") and not name.startswith("."))
    except OSError:
        more = []
    for path in (config, *(drop_ins / name for name in more)):
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError:
            continue
        if any(key.encode() in text for key in KEYS):
            found.update(_places_in(text))
    return found


def _places_in(text: bytes) -> dict[str, object]:
    import tomllib

    try:
        table = tomllib.loads(text.decode()).get("supervisor", {})
    except ValueError:
        return {}
    if not isinstance(table, dict):
        return {}
    return {key: value for key, value in table.items() if key in KEYS and isinstance(value, str) and value}

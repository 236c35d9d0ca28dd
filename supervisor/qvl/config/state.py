"""What the daemon remembers of configurations: which was applied last, which was rejected, and which pools run another
profile than their file says.

The user's own file is never written. What is here is whole or not there at all; a file that can't be read (cut short by
a power cut, or of a newer qvl) is put aside as `*.bad`, said why, and done without.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec
import tomli_w

from qvl.config.settings import Config
from qvl.host.crashpoint import crash_point
from qvl.host.files import write_atomically

VERSION: Final = 1
_HEADER: Final = "# Written by qvl-supervisor: `qvlctl switch` and `qvlctl switch --reset` change it.\n"

T = TypeVar("T")


class Override(msgspec.Struct, frozen=True):
    """A pool runs `profile`, and that holds while the file says `file_profile`."""

    profile: str
    file_profile: str


class Rejected(msgspec.Struct, frozen=True):
    """A configuration that was tried and went back: it isn't tried again until the file changes or `apply` is typed."""

    revision: str
    error: str


class Remembered(msgspec.Struct, Generic[T], frozen=True):
    value: T
    reason: str | None = None
    """Why something that was written is not in `value`; None where nothing is amiss."""


class _Overrides(msgspec.Struct, frozen=True):
    version: int
    overrides: dict[str, Override] = {}


class _Applied(msgspec.Struct, frozen=True):
    version: int
    config: Config


class _Rejected(msgspec.Struct, frozen=True):
    version: int
    rejected: Rejected


class ConfigState:
    """The configuration's files in the state directory, which has to be there. Writing raises OSError."""

    def __init__(self, directory: Path) -> None:
        self._overrides = directory / "overrides.toml"
        self._applied = directory / "applied.json"
        self._rejected = directory / "rejected.json"

    def overrides(self) -> Remembered[dict[str, Override]]:
        read = _read(self._overrides, _Overrides)
        return Remembered(read.value.overrides if read.value else {}, read.reason)

    def save_overrides(self, overrides: Mapping[str, Override]) -> None:
        document = msgspec.to_builtins(_Overrides(VERSION, dict(overrides)))
        write_atomically(self._overrides, (_HEADER + tomli_w.dumps(document)).encode(), durable=True)

    def applied(self) -> Remembered[Config | None]:
        read = _read(self._applied, _Applied)
        return Remembered(read.value.config if read.value else None, read.reason)

    def save_applied(self, config: Config) -> None:
        write_atomically(self._applied, msgspec.json.encode(_Applied(VERSION, config)), durable=True)

    def rejected(self) -> Remembered[Rejected | None]:
        read = _read(self._rejected, _Rejected)
        return Remembered(read.value.rejected if read.value else None, read.reason)

    def save_rejected(self, rejected: Rejected | None) -> None:
        """None forgets it."""
        if rejected is None:
            crash_point("before rejected.json is removed")
            self._rejected.unlink(missing_ok=True)
        else:
            write_atomically(self._rejected, msgspec.json.encode(_Rejected(VERSION, rejected)), durable=True)


def hold(overrides: Mapping[str, Override], config: Config) -> tuple[dict[str, Override], tuple[str, ...]]:
    """The overrides that hold with this configuration, and a sentence for each that has ended."""
    held: dict[str, Override] = {}
    ended: list[str] = []
    for name, override in overrides.items():
        pool = config.pools.get(name)
        if pool is None:
            ended.append(f"the override of pool {name} ends: the pool is gone")
        elif pool.profile != override.file_profile:
            ended.append(f"the override of pool {name} ends: its profile was edited in the file")
        elif override.profile not in config.profiles:
            ended.append(f'the override of pool {name} ends: there is no profile "{override.profile}" any more')
        else:
            held[name] = override
    return held, tuple(ended)


def _read(path: Path, kind: type[T]) -> Remembered[T | None]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Remembered(None)
    except OSError as error:
        return Remembered(None, f"{path} can't be read: {(error.strerror or str(error)).lower()}")
    try:
        document = tomllib.loads(data.decode()) if path.suffix == ".toml" else msgspec.json.decode(data)
        version = document.get("version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > VERSION:
            return Remembered(None, _put_aside(path, f"it is of version {version}, and this qvl knows {VERSION}"))
        return Remembered(msgspec.convert(document, kind))
    except (ValueError, RecursionError) as error:
        # What TOML, JSON, UTF-8 and msgspec raise are all ValueErrors.
        return Remembered(None, _put_aside(path, str(error)))


def _put_aside(path: Path, why: str) -> str:
    aside = path.with_name(path.name + ".bad")
    try:
        path.replace(aside)
    except OSError as error:
        return f"{path} is left out: {why} (and it can't be put aside: {(error.strerror or str(error)).lower()})"
    return f"{path} is left out: {why}; it was put aside as {aside.name}"

"""The flag table of an interpreter, from a cache where one is still right.

The cache saves a tenth of a second at each edit of the config. It is keyed by the version and by the size and time of
every file that was read, so that neither an upgrade nor an edit of an editable install is missed. A cache that can't be
read or written costs the tenth of a second and is nobody's error.
"""

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qvl.engines.sglang_flags.installed import find
from qvl.engines.sglang_flags.source import read_flags, sources
from qvl.engines.sglang_flags.table import Flag, FlagTable

FORMAT = 1
"""To be raised with any change of what is read from the sources, or of `Flag`."""

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Cached:
    format: int
    version: str
    stamp: Stamp
    flags: tuple[Flag, ...]


def load_flags(python: Path, cache_dir: Path | None) -> FlagTable:
    """The flags of the SGLang that `python` would run; `cache_dir` is made where it is missing.

    Raises SglangNotFound. Takes about 2 ms with a cache and 0.1 s without; more where the interpreter has to be run.
    """
    installed = find(python)
    if cache_dir is None:
        return read_flags(installed)
    stamp = _stamp(installed.package)
    digest = hashlib.sha256(os.fsencode(installed.package)).hexdigest()[:16]
    file = cache_dir / f"sglang-flags-{digest}.json"
    cached = _read(file)
    if cached is not None and (cached.format, cached.version, cached.stamp) == (FORMAT, installed.version, stamp):
        return FlagTable.of(cached.version, cached.flags)
    table = read_flags(installed)
    flags = tuple({id(flag): flag for flag in table.flags.values()}.values())
    _write(file, _Cached(FORMAT, installed.version, stamp, flags))
    return table


def _stamp(package: Path) -> Stamp:
    status = [(file.relative_to(package).as_posix(), file.stat()) for file in sources(package)]
    return tuple((name, at.st_mtime_ns, at.st_size) for name, at in status)


def _read(file: Path) -> _Cached | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Cached)
    except (OSError, msgspec.DecodeError):  # absent, of another format, or cut short by a full disk
        return None


def _write(file: Path, cached: _Cached) -> None:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        # By a rename, since two daemons of one user may share the directory.
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as temporary:
            temporary.write(msgspec.json.encode(cached))
        os.replace(temporary.name, file)

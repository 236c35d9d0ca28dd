"""The flag table of an interpreter, from a cache where one is still right.

The cache saves a tenth of a second at each edit of the config. It is keyed by the version and by the size and time of
every file that was read, so that neither an upgrade nor an edit of an editable install is missed. A cache that can't be
read or written costs the tenth of a second and is nobody's error.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qvl.engines.flags.installed import Installed
from qvl.engines.flags.table import Flag, FlagTable

FORMAT = 2
"""To be raised with any change of what is read from the sources, or of `Flag`."""

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Cached:
    format: int
    version: str
    stamp: Stamp
    flags: tuple[Flag, ...]


def cached_flags(
    installed: Installed,
    cache_dir: Path | None,
    sources: Sequence[Path],
    read: Callable[[Installed], FlagTable],
    table_of: Callable[[str, Iterable[Flag]], FlagTable],
) -> FlagTable:
    """What `read` makes of `sources`, or what it made of them when they were last read, put together by `table_of`
    from the version and the flags. `cache_dir` is made where it is missing."""
    if cache_dir is None:
        return read(installed)
    stamp = _stamp(installed.package, sources)
    digest = hashlib.sha256(os.fsencode(installed.package)).hexdigest()[:16]
    file = cache_dir / f"{installed.package.name}-flags-{digest}.json"
    cached = _read(file)
    if cached is not None and (cached.format, cached.version, cached.stamp) == (FORMAT, installed.version, stamp):
        return table_of(cached.version, cached.flags)
    table = read(installed)
    flags = tuple({id(flag): flag for flag in table.flags.values()}.values())
    _write(file, _Cached(FORMAT, installed.version, stamp, flags))
    return table


def _stamp(package: Path, sources: Sequence[Path]) -> Stamp:
    status = [(file.relative_to(package).as_posix(), file.stat()) for file in sources]
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

"""Notices edits of the configuration: saves, renames, atomic replaces, drop-ins that come and go, symlinked files."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import awatch

from qvl.config.paths import drop_ins_of

log = logging.getLogger(__name__)

QUIET = 200
"""Milliseconds without a change after which edits count as one."""

COMPARED = 1000
"""Milliseconds between looks of our own, for what no watch tells."""

Signature = tuple[tuple[str, int, int, int], ...]
"""Of each file its path, time of change, size and inode."""


async def edits(config: Path, seen: Signature) -> AsyncIterator[None]:
    """One item after each burst of changes near the file. Directories are watched, not the file: editors replace it.

    `seen` was taken before the last look at the file. What was written between that look and the first watch, or while
    a directory was away, and what a network mount never tells, is found by comparing.
    """
    complained = False
    while True:
        folders = _folders(config)
        if not folders:
            if (now := signature(config)) != seen:
                seen = now
                yield
            await asyncio.sleep(COMPARED / 1000)
            continue
        try:
            watch = awatch(
                *folders,
                debounce=1600,
                step=QUIET,
                recursive=False,
                rust_timeout=COMPARED,
                yield_on_timeout=True,
            )
            async for changes in watch:
                now = signature(config)
                if now != seen or any(_concerns(Path(path), config) for _, path in changes):
                    seen = now
                    yield
                if _folders(config) != folders:
                    break
        except (OSError, RuntimeError) as error:  # a directory went away, or inotify's limits are used up
            if not complained:
                log.warning("the configuration can't be watched, so it is looked at each second: %s", error)
            complained = True
            await asyncio.sleep(COMPARED / 1000)
            if (now := signature(config)) != seen:
                seen = now
                yield


def signature(config: Path) -> Signature:
    """Changes with the files that make up the configuration."""
    found: list[tuple[str, int, int, int]] = []
    drop_ins = drop_ins_of(config)
    for path in (config, *(sorted(drop_ins.glob("*.toml")) if drop_ins.is_dir() else ())):
        try:
            state = path.stat()
        except OSError:
            continue
        found.append((str(path), state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(found)


def _folders(config: Path) -> list[Path]:
    """The file's directory, that of what it points to (Kubernetes swaps a symlinked directory), the drop-ins'."""
    real = Path(config).resolve()
    candidates = [config.parent, real.parent, real.parent.parent if config.is_symlink() else real.parent]
    candidates.append(drop_ins_of(config))
    return [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]


def _concerns(path: Path, config: Path) -> bool:
    drop_ins = drop_ins_of(config)
    if path.parent == drop_ins:
        return path.suffix == ".toml"
    return path in (config, drop_ins) or config.is_symlink()

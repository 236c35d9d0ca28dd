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

ABSENT = 1.0
"""Seconds between looks for a directory that isn't there."""


async def edits(config: Path) -> AsyncIterator[None]:
    """One item after each burst of changes near the file. Directories are watched, not the file: editors replace it."""
    while True:
        folders = _folders(config)
        if not folders:
            await asyncio.sleep(ABSENT)
            if _folders(config):
                yield
            continue
        try:
            async for changes in awatch(*folders, debounce=1600, step=QUIET, recursive=False, rust_timeout=5000):
                if any(_concerns(Path(path), config) for _, path in changes):
                    yield
                if _folders(config) != folders:
                    break
        except (FileNotFoundError, RuntimeError) as error:  # a watched directory went away
            log.warning("the configuration's directory can't be watched, trying again: %s", error)
            await asyncio.sleep(ABSENT)
            yield


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

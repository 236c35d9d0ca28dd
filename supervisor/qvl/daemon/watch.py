"""Notices edits of the configuration: saves, renames, atomic replaces, drop-ins that come and go, swapped links.

inotify is asked by itself: libraries around it look for events some times a second, which is late for who saves a file
and awake for nothing else, and they take a file that goes on being written for one that is at rest.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from qvl.config.paths import drop_ins_of, is_drop_in
from qvl.host.inotify import Inotify

log = logging.getLogger(__name__)

QUIET = 200
"""Milliseconds without a change after which edits count as one."""

PATIENCE = 5000
"""Milliseconds after which a file that never comes to rest is looked at all the same."""

COMPARED = 1000
"""Milliseconds between looks of our own, for what no watch tells."""

LINKS = 40
"""Links of one path that are followed, as many as the kernel follows: path_resolution(7)."""

Signature = tuple[tuple[str, int, int, int, int], ...]
"""Of each file its path, times of change, size and inode."""

Entry = tuple[str, str]
"""A directory, free of links, and a name in it."""


async def edits(config: Path, seen: Signature, *, patience: float = PATIENCE) -> AsyncIterator[None]:
    """One item after each burst of changes to what makes up the configuration.

    `seen` was taken before the last look at the file. What was written between that look and the first watch, and what
    a network mount never tells, is found by comparing.
    """
    complained = False
    while True:
        try:
            with _Watch(config) as watch:
                while True:
                    watch.refresh()
                    # What was written before the watch began, and then what no watch tells.
                    while signature(config) == seen and not await watch.wait(COMPARED):
                        pass
                    await watch.rest(patience)
                    seen = signature(config)
                    yield
        except OSError as error:  # inotify's limits are used up, or a directory can't be read
            if not complained:
                log.warning("the configuration can't be watched, so it is looked at each second: %s", error)
            complained = True
            await asyncio.sleep(COMPARED / 1000)
            if (now := signature(config)) != seen:
                seen = now
                yield


class _Watch:
    """Hears of all that the configuration hangs on. `refresh` begins it, and follows it to other places."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._entries: set[Entry] = set()
        self._drop_ins = ""
        self._happened = asyncio.Event()

    def __enter__(self) -> "_Watch":
        self._inotify = Inotify()
        asyncio.get_running_loop().add_reader(self._inotify, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._inotify)
        self._inotify.close()

    def refresh(self) -> None:
        """Watch the directories of what the configuration hangs on now. Of those on the way there the names count, of
        the last ones what is written too."""
        found = None
        while found != (found := _hangs_on(self._config)):  # until nothing has changed between the look and the watch
            self._entries, ends = found
            self._drop_ins = os.path.realpath(drop_ins_of(self._config))
            self._watch({folder for folder, _ in ends} | {self._drop_ins})

    def _watch(self, written: set[str]) -> None:
        folders = {folder for folder, _ in self._entries} | written
        for folder in folders:
            try:
                self._inotify.watch(folder, writes=folder in written)
            except (FileNotFoundError, NotADirectoryError):
                pass  # not there yet, or gone meanwhile: the directory above tells
            except PermissionError:
                if folder in written:  # one on the way may be closed to us: what is moved there is seen by comparing
                    raise
        self._inotify.keep(folders)

    def _read(self) -> None:
        if any(self._concerns(folder, name) for folder, name in self._inotify.read()):
            self._happened.set()

    def _concerns(self, folder: str | None, name: str) -> bool:
        return folder is None or (folder, name) in self._entries or (folder == self._drop_ins and is_drop_in(name))

    async def wait(self, milliseconds: float) -> bool:
        """Whether something happens within this time."""
        try:
            async with asyncio.timeout(milliseconds / 1000):
                await self._happened.wait()
        except TimeoutError:
            return False
        self._happened.clear()
        return True

    async def rest(self, patience: float) -> None:
        """Wait until nothing happens any more, but no longer than `patience` milliseconds."""
        now = asyncio.get_running_loop().time
        last = now() + patience / 1000
        self.refresh()
        while await self.wait(QUIET) and now() < last:
            self.refresh()


def signature(config: Path) -> Signature:
    """Changes with the files that make up the configuration, and with who may read them."""
    found: list[tuple[str, int, int, int, int]] = []
    for path in (str(config), *_drop_ins(config)):
        try:
            state = os.stat(path)
        except OSError:
            continue
        found.append((path, state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino))
    return tuple(found)


def _drop_ins(config: Path) -> list[str]:
    folder = str(drop_ins_of(config))
    try:
        return [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if is_drop_in(name)]
    except OSError:
        return []


def _hangs_on(config: Path) -> tuple[set[Entry], set[Entry]]:
    """Every name that decides which files are read, and of these the last ones, which are the files themselves: the
    drop-ins' directory and its files, all directories on the way there, and all links on the way, to whatever they
    point (Kubernetes swaps one for a whole directory)."""
    entries: set[Entry] = set()
    ends: set[Entry] = set()
    for path in (str(config), *_drop_ins(config)):
        way = list(_way(path))
        entries.update(way)
        ends.update(way[-1:])
    entries.update(_way(str(drop_ins_of(config))))
    return entries, ends


def _way(path: str) -> Iterator[Entry]:
    """The names that the kernel looks up for an absolute path, until one is missing: path_resolution(7)."""
    folder, names, links = "/", _names(path), 0
    while names:
        name = names.pop()
        if name == "..":
            folder = os.path.dirname(folder)
            continue
        yield folder, name
        at = os.path.join(folder, name)
        try:
            target = os.readlink(at)
        except OSError:  # no link, or not there
            if names and not os.path.isdir(at):
                return
            folder = at
            continue
        if (links := links + 1) > LINKS:
            return
        folder = "/" if target.startswith("/") else folder
        names += _names(target)


def _names(path: str) -> list[str]:
    """The last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]

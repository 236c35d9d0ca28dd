"""Edits as editors, people and Kubernetes make them, by the kernel's own inotify."""

import asyncio
import os
import resource
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from qvl.daemon.watch import PATIENCE, QUIET, edits, signature

Act = Callable[[], object]


class Watch:
    """Counts what `edits` tells."""

    def __init__(self) -> None:
        self.told = 0
        self._wake = asyncio.Event()

    def tell(self) -> None:
        self.told += 1
        self._wake.set()

    async def more(self, than: int) -> None:
        """Wait until more than `than` edits were told."""
        async with asyncio.timeout(10):
            while self.told <= than:
                self._wake.clear()
                await self._wake.wait()


@asynccontextmanager
async def watching(config: Path, act: Act = lambda: None, *, patience: float = PATIENCE) -> AsyncIterator[Watch]:
    """A watch that knows the file as it is now. `act` is done at each edit that is told."""
    watch = Watch()

    async def follow() -> None:
        async for _ in edits(config, signature(config), patience=patience):
            act()
            watch.tell()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        await asyncio.sleep(0)  # it has taken its first look
        yield watch
        task.cancel()


def told(config: Path, *acts: Act) -> list[int]:
    """How many edits were told after each act."""

    async def scenario() -> list[int]:
        counts = []
        async with watching(config) as watch:
            for act in acts:
                before = watch.told
                act()
                await watch.more(before)
                await asyncio.sleep(3 * QUIET / 1000)  # time in which a second telling would come
                counts.append(watch.told - before)
        return counts

    return asyncio.run(scenario())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "etc" / "qvl.toml"
    file.parent.mkdir()
    file.write_text("a = 1\n")
    return file


def replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.swp")
    new.write_text(text)
    new.replace(file)


def test_a_file_written_in_place_replaced_removed_and_made_anew(config: Path) -> None:
    counts = told(
        config,
        lambda: config.write_text("a = 2\n"),
        lambda: replace(config, "a = 3\n"),
        lambda: config.rename(config.with_name("qvl.toml~")),
        lambda: config.write_text("a = 4\n"),
    )
    assert counts == [1, 1, 1, 1]


def test_a_burst_is_one_edit(config: Path) -> None:
    def burst() -> None:
        for number in range(20):
            replace(config, f"a = {number}\n")

    assert told(config, burst) == [1]


def test_a_file_that_is_still_being_written_is_not_told_yet(config: Path) -> None:
    """Half a file may be valid TOML."""

    async def scenario() -> list[str]:
        found = []
        async with watching(config, lambda: found.append(config.read_text())) as watch:
            with config.open("w") as file:
                for line in PIECES:
                    file.write(line)
                    file.flush()
                    await asyncio.sleep(QUIET / 2000)  # a slow writer is what this is about
            await watch.more(0)
        return found

    assert asyncio.run(scenario()) == ["".join(PIECES)]


PIECES = [f"a{number} = {number}\n" for number in range(12)]
"""Written for six times as long as the file has to be at rest."""


def test_a_file_that_never_comes_to_rest_is_told_all_the_same(config: Path) -> None:
    async def scenario() -> None:
        async with watching(config, patience=2 * QUIET) as watch:
            while watch.told < 2:
                config.write_text(f"a = {time.monotonic()}\n")
                await asyncio.sleep(QUIET / 4000)

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_saves_of_real_editors(config: Path) -> None:
    """vim writes a swap file, a probe of the directory ("4913") and a backup; sed replaces."""
    vim, sed = shutil.which("vim"), shutil.which("sed")
    acts = [lambda: run(sed, "-i", "s/a = 1/a = 2/", config)]
    if vim is not None:
        for backup in ("no", "yes"):
            wanted = ("-u", "NONE", "-es", "-c", f"set swapfile backup backupcopy={backup}", "-c", "normal A0")
            acts.append(lambda wanted=wanted: run(vim, *wanted, "-c", "wq", config))  # type: ignore[misc]
    assert told(config, *acts) == [1] * len(acts)
    assert config.read_text() == f"a = 2{'0' * (len(acts) - 1)}\n"


def run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=30)


def test_locks_and_backups_of_editors_are_nobodys_edit(config: Path) -> None:
    drop_ins = config.with_name("qvl.d")
    drop_ins.mkdir()
    (drop_ins / "10-more.toml").write_text("b = 1\n")

    def locks() -> None:
        for file in (config, drop_ins / "10-more.toml"):
            file.with_name(f".#{file.name}").symlink_to("somebody@here.1:1")  # emacs
            file.with_name(f"#{file.name}#").write_text("half")
            file.with_name(f".{file.name}.swp").write_text("nano and vim")
            file.with_name(f"{file.name}~").write_text("backup")
            file.with_name(f".#{file.name}").unlink()

    assert nothing_told(config, locks)


def nothing_told(config: Path, act: Act) -> bool:
    """Whether an act is followed by one edit only, which is the proof that the watch was awake."""

    def both() -> None:
        act()
        time.sleep(3 * QUIET / 1000)  # time in which a telling would come
        config.write_text("a = 33\n")

    async def scenario() -> int:
        async with watching(config) as watch:
            await asyncio.to_thread(both)
            await watch.more(0)
            await asyncio.sleep(3 * QUIET / 1000)
            return watch.told

    return asyncio.run(scenario()) == 1


def test_a_drop_in_is_renamed_linked_and_moved_in_with_its_directory(config: Path, tmp_path: Path) -> None:
    ready, folder = tmp_path / "ready", config.with_name("qvl.d")
    (ready / "..data").mkdir(parents=True)
    (ready / "..data" / "10-more.toml").write_text("b = 1\n")
    (ready / "10-more.toml").symlink_to("..data/10-more.toml")
    counts = told(
        config,
        lambda: ready.rename(folder),
        lambda: (folder / "..data" / "10-more.toml").write_text("b = 2\n"),
        lambda: (folder / "10-more.toml").rename(folder / "20-more.toml"),
        lambda: (folder / "20-more.toml").rename(folder / "20-more.off"),
        lambda: folder.rename(ready),
    )
    assert counts == [1, 1, 1, 1, 1]


def test_a_directory_on_the_way_that_goes_and_comes_back(config: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    counts = told(
        config,
        lambda: config.parent.rename(aside),
        lambda: aside.rename(config.parent),
        lambda: config.write_text("a = 2\n"),
    )
    assert counts == [1, 1, 1]


def test_who_may_read_it_is_an_edit(config: Path) -> None:
    assert told(config, lambda: config.chmod(0), lambda: config.chmod(0o644)) == [1, 1]


def test_a_link_on_the_way_that_is_swapped(config: Path, tmp_path: Path) -> None:
    """A directory is reached by a link to a link; each of them may be swapped."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "qvl.toml").write_text("a = 22\n")
    (tmp_path / "near").symlink_to("far")
    (tmp_path / "far").symlink_to(config.parent)

    def swap(link: str, target: str) -> None:
        (tmp_path / "new").symlink_to(target)
        (tmp_path / "new").replace(tmp_path / link)

    counts = told(
        tmp_path / "near" / "qvl.toml",
        lambda: swap("far", "other"),
        lambda: (other / "qvl.toml").write_text("a = 333\n"),
        lambda: swap("near", config.parent.name),
        lambda: config.write_text("a = 4444\n"),
    )
    assert counts == [1, 1, 1, 1]


def test_drop_ins_come_change_and_go_with_their_directory(config: Path) -> None:
    folder = config.with_name("qvl.d")
    drop_in = folder / "10-more.toml"

    def vanish() -> None:
        drop_in.unlink()
        folder.rmdir()

    def come() -> None:
        folder.mkdir()
        drop_in.write_text("b = 1\n")

    counts = told(config, come, lambda: drop_in.write_text("b = 2\n"), vanish, come)
    assert all(counts), counts


def test_a_link_whose_target_changes_or_is_swapped(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: qvl.toml -> ..data/qvl.toml, ..data -> ..1, and `..data` is replaced."""
    root = tmp_path / "mount"
    for version in ("1", "2"):
        (root / f"..{version}").mkdir(parents=True)
        (root / f"..{version}" / "qvl.toml").write_text(f"a = {version}\n")
    (root / "..data").symlink_to("..1")
    config = root / "qvl.toml"
    config.symlink_to("..data/qvl.toml")

    def swap() -> None:
        (root / "..new").symlink_to("..2")
        os.replace(root / "..new", root / "..data")

    counts = told(config, swap, lambda: (root / "..2" / "qvl.toml").write_text("a = 3\n"))
    assert all(counts), counts


def test_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    config = tmp_path / "etc" / "qvl.toml"

    def come() -> None:
        config.parent.mkdir()
        config.write_text("a = 1\n")

    assert all(told(config, come, lambda: config.write_text("a = 22\n")))


def test_other_files_of_the_directory_are_nobodys_edit(config: Path) -> None:
    async def scenario() -> int:
        async with watching(config) as watch:
            config.write_text("a = 2\n")
            await watch.more(0)
            before = watch.told
            (config.parent / "other.toml").write_text("x")
            (config.parent / ".qvl.toml.swp").write_text("x")
            os.utime(config.parent)
            config.write_text("a = 33\n")  # the proof that the watch was awake: one edit, this one
            await watch.more(before)
            await asyncio.sleep(3 * QUIET / 1000)
            return watch.told - before

    assert asyncio.run(scenario()) == 1


def test_what_was_written_before_the_watch_began_is_told(config: Path) -> None:
    async def scenario() -> None:
        seen = signature(config)
        config.write_text("a = 22\n")
        found = edits(config, seen)
        await asyncio.wait_for(anext(aiter(found)), 10)

    asyncio.run(scenario())


def test_where_nothing_can_be_watched_edits_are_found_by_looking(
    config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    versions = [config.with_name(f"{number}") for number in (22, 333)]
    for version in versions:
        version.write_text(f"a = {version.name}\n")

    async def scenario() -> None:
        async with watching(config) as watch:
            for told, version in enumerate(versions):
                version.replace(config)
                await watch.more(told)

    async def without_descriptors() -> None:  # inotify needs one, a look doesn't
        with no_descriptors_left():
            await scenario()

    asyncio.run(without_descriptors())
    assert caplog.text.count("can't be watched") == 1


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(2))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

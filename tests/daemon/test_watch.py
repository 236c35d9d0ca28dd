"""Edits as editors, people and Kubernetes make them, by the kernel's own inotify."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from qvl.daemon.watch import QUIET, edits, signature

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
async def watching(config: Path) -> AsyncIterator[Watch]:
    """A watch that knows the file as it is now."""
    watch = Watch()

    async def follow() -> None:
        async for _ in edits(config, signature(config)):
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

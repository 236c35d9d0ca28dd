"""The next match in several logs, asked for once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from qvl.model.error import QvlError
from qvl_tui.logs.hunt import AHEAD, Hunt

from tests.tui.logs.link import LogLink


def play(scene: Callable[[LogLink], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(LogLink()), 10))


def lines(*seconds: int, word: str = "needle") -> bytes:
    return b"".join(b"[2026-01-01 00:00:%02d] %s\n" % (s, word.encode()) for s in seconds)


SIZE = len(lines(0))


def test_the_nearest_one_by_one_each_asked_for_once() -> None:
    async def scene(link: LogLink) -> None:
        link.of("a").write(lines(1) + lines(2, word="nothin") + lines(3, 4))
        hunt = Hunt("needle")
        end = link.of("a").end
        found = []
        at = end
        while (hit := await hunt.next(link, {"a": at}, back=True)) is not None:
            at = hit[1].offset
            found.append(at // SIZE)
        assert found == [3, 2, 0]
        forth = []
        while (hit := await hunt.next(link, {"a": at + 1}, back=False)) is not None:
            at = hit[1].offset
            forth.append(at // SIZE)
        assert forth == [2, 3]
        assert len(link.searches) == 2  # back, and on from the end to see whether it grew
        link.of("a").write(lines(5))
        hit = await hunt.next(link, {"a": at + 1}, back=False)
        assert hit is not None
        assert hit[1].offset == 4 * SIZE

    play(scene)


def test_of_several_logs_the_nearest_in_time() -> None:
    async def scene(link: LogLink) -> None:
        link.of("a").write(lines(1, 5))
        link.of("b").write(lines(2, 4))
        hunt = Hunt("needle")
        ends = {"a": 2 * SIZE, "b": 2 * SIZE}
        assert (await hunt.next(link, ends, back=True) or ("",))[0] == "a"
        assert (await hunt.next(link, ends | {"a": SIZE}, back=True) or ("",))[0] == "b"
        assert (await hunt.next(link, {"a": 0, "b": 0}, back=False) or ("",))[0] == "a"
        assert (await hunt.next(link, {"a": 1, "b": 0}, back=False) or ("",))[0] == "b"

    play(scene)


def test_more_than_are_asked_for_at_once() -> None:
    async def scene(link: LogLink) -> None:
        link.of("a").write(lines(*[1] * (AHEAD + 5)))
        hunt = Hunt("needle")
        at = link.of("a").end
        count = 0
        while (hit := await hunt.next(link, {"a": at}, back=True)) is not None:
            at = hit[1].offset
            count += 1
        assert count == AHEAD + 5
        assert len(link.searches) == 2

    play(scene)


def test_how_far_it_is_is_told_while_it_looks() -> None:
    async def scene(link: LogLink) -> None:
        link.of("a").write(lines(1))
        link.gate = asyncio.Event()
        hunt = Hunt("needle")
        looking = asyncio.ensure_future(hunt.next(link, {"a": SIZE}, back=True))
        await link.asked.wait()
        assert hunt.looking == {"a": SIZE}
        link.gate.set()
        assert await looking is not None
        assert hunt.looking == {}

    play(scene)


def test_without_a_daemon_it_says_so() -> None:
    async def scene(link: LogLink) -> None:
        link.up = False
        with pytest.raises(QvlError, match="no daemon answers"):
            await Hunt("x").next(link, {"a": 0}, back=True)

    play(scene)

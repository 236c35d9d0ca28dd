"""The first picture: what the daemon says at once is on it, and who says nothing does not hold it up."""

import asyncio
from collections.abc import AsyncIterator

from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Frame
from qvl_tui.app import QvlApp
from rich.style import Style
from textual.pilot import Pilot

from tests.tui.fleet import FakeLink, event, snapshot, worker
from tests.tui.support import screen_test, terminal, until


class Mute(FakeLink):
    """Takes connections, and says nothing until it shall."""

    def __init__(self, *frames: Frame) -> None:
        super().__init__(*frames)
        self.speaks = asyncio.Event()

    async def events(self, since: int) -> AsyncIterator[Frame]:
        await self.speaks.wait()
        async for frame in super().events(since):
            yield frame


async def seen(link: FakeLink) -> list[str]:
    """What stands on the first row of the table in each picture of a whole run."""
    pictures: list[str] = []

    class Watched(QvlApp):
        def post_display_hook(self) -> None:
            strips = self.screen._compositor.render_strips()
            pictures.append("\n".join("".join(segment.text for segment in strip) for strip in strips))

    app = Watched([link])

    async def leave(pilot: Pilot[None]) -> None:
        await until(app, lambda: pictures, "the first picture")
        if isinstance(link, Mute):
            link.speaks.set()
        link.tell(event(11, "and on it goes"))
        await until(app, lambda: "and on it goes" in "".join(pictures[-1:]), "what came later")
        app.exit()

    await app.run_async(headless=True, size=(120, 40), auto_pilot=leave)
    return pictures


@screen_test
async def test_what_the_daemon_says_at_once_is_on_the_first_picture() -> None:
    link = FakeLink(snapshot(worker("chat-0")))
    pictures = await seen(link)
    assert "chat-0" in pictures[0]
    assert "1/1 ready   ● live" in pictures[0]
    assert link.resumed == [0]


@screen_test
async def test_a_daemon_that_says_nothing_does_not_hold_it_up() -> None:
    link = Mute(snapshot(worker("chat-0")))
    pictures = await seen(link)
    assert "◌ connecting" in pictures[0]
    assert "chat-0" in pictures[-1]
    assert link.resumed == [0]


class Silent(FakeLink):
    """Has no stream at first, and says so when it is asked for one."""

    def events(self, since: int) -> AsyncIterator[Frame]:
        self.resumed.append(since)
        if len(self.resumed) == 1:
            raise QvlError(ErrorCode.REFUSED, "not now")
        return super().events(since)


@screen_test
async def test_a_link_without_a_stream_is_no_crash() -> None:
    link = Silent(snapshot(worker("chat-0")))
    assert "chat-0" in (await seen(link))[-1]


@screen_test
async def test_what_was_never_heard_is_not_dimmed_as_old() -> None:
    link = FakeLink()
    async with terminal(link) as t:
        assert not t.app.screen.has_class("-stale")
        link.tell(snapshot(worker("chat-0")))
        await t.settle()
        assert not t.app.screen.has_class("-stale")
        link.drop()
        await t.until(lambda: t.app.screen.has_class("-stale"), "what is old steps back")


@screen_test
async def test_another_theme_colours_what_stands_there() -> None:
    async with terminal(FakeLink(snapshot(worker("chat-0")))) as t:

        def look() -> Style | None:
            strips = t.app.screen._compositor.render_strips()
            return next(segment.style for strip in strips for segment in strip if segment.text.startswith("chat-0"))

        before = look()
        await t.press("ctrl+t")
        after = look()
        assert before is not None
        assert after is not None
        assert before.color != after.color
        assert before.bgcolor != after.bgcolor

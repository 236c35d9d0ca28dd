"""A terminal of any size with the program in it, without a terminal; and waiting for it without sleeping."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from qvl_tui.app import QvlApp
from qvl_tui.keymap import Keymap
from qvl_tui.prefs import Preferences
from qvl_tui.store import Store
from qvl_tui.widgets.log_view import LogView
from textual.pilot import Pilot

from tests.tui.fleet import FakeLink

NEVER = 86400.0
"""Seconds between two beats of figures: a test beats itself where it wants to, however slow the machine is."""
ENDLESS = ("link", "log")
"""Workers that run as long as their screen does."""


def screen_test(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test on a loop of its own."""

    def run() -> None:
        async def bounded() -> None:
            async with asyncio.timeout(30):
                await test()

        asyncio.run(bounded())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


class Clock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Terminal:
    app: QvlApp
    link: FakeLink
    pilot: Pilot[None]
    clock: Clock
    others: tuple[FakeLink, ...] = ()
    """Further hosts, below the first one's."""

    @property
    def store(self) -> Store:
        """Of the first host."""
        return self.app.context.sessions[0].store

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def settle(self) -> None:
        await settled(self.app, self.link, *self.others)

    async def until(self, predicate: Callable[[], object], what: str) -> None:
        await until(self.pilot.app, predicate, what)

    @property
    def lines(self) -> list[str]:
        """The screen as text, a string a row."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def log(self) -> list[str]:
        """The lines between head and footer, without the scrollbar's column."""
        width = self.app.size.width
        return [line.ljust(width)[: width - 1].strip() for line in self.lines[3:-1]]

    def row(self, start: str) -> str:
        """The one line of the screen that contains this."""
        found = [line for line in self.lines if start in line]
        assert len(found) == 1, f"{start!r} is on {len(found)} lines of\n{self.text}"
        return found[0]


@asynccontextmanager
async def terminal(
    link: FakeLink,
    size: tuple[int, int] = (80, 24),
    *,
    others: tuple[FakeLink, ...] = (),
    owned: bool = False,
    readonly: bool = False,
    prefs: Preferences | None = None,
    keymap: Keymap | None = None,
    home: Path | None = None,
    on_quit: Callable[[], None] | None = None,
) -> AsyncIterator[Terminal]:
    clock = Clock()
    links = (link, *others)
    app = QvlApp(
        links,
        owned=owned,
        readonly=readonly,
        interval=NEVER,
        prefs=prefs,
        keymap=keymap,
        home=home,
        on_quit=on_quit,
        clock=clock,
    )
    async with app.run_test(size=size, notifications=True) as pilot:
        await settled(app, *links)
        yield Terminal(app, link, pilot, clock, others)


def painted(app: QvlApp) -> bool:
    """All asked is answered, and all changes are on the screen."""
    busy = any(not worker.is_finished and worker.name not in ENDLESS for worker in app.workers)
    # Textual waits a moment with a resize, for more of them.
    resizes = app._resize_event is not None or app.screen._layout_required
    queued = any(node._message_queue.qsize() for node in (app, *app.screen.walk_children(with_self=True)))
    return not (busy or app.due or resizes or queued)


async def settled(app: QvlApp, *links: FakeLink) -> None:
    """Nothing is on its way any more: all frames applied, all asked answered, all changes painted."""

    def calm() -> bool:
        if not app.is_running:
            return True
        unread = any(link.pending and link.up for link in links)
        logs = any(view.dirty for view in app.screen.query(LogView))
        return painted(app) and not (unread or logs)

    await until(app, calm, "the screen to settle")


async def until(app: object, predicate: Callable[[], object], what: str) -> None:
    """Let the loop turn until `predicate` holds, a few turns long: what it set off shall have run as well."""
    deadline = asyncio.get_running_loop().time() + 5
    held = 0
    while held < 3:
        held = held + 1 if predicate() else 0
        assert asyncio.get_running_loop().time() < deadline, f"waited 5 s for {what}"
        await asyncio.sleep(0.005)

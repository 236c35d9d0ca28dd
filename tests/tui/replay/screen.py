"""The interface over a scripted recording, in a terminal of any size that is none; its time passes when told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from qvl_tui.replay.app import ReplayApp
from qvl_tui.replay.deck import Deck
from qvl_tui.replay.tape import Tape
from qvl_tui.store import Store
from textual.pilot import Pilot

from tests.recording.scripts import START
from tests.tui.support import NEVER, Clock, painted


@dataclass
class Screen:
    app: ReplayApp
    deck: Deck
    pilot: Pilot[None]
    clock: Clock

    @property
    def store(self) -> Store:
        return self.app.context.store

    @property
    def place(self) -> float:
        """Seconds since the recording's begin."""
        return round(self.deck.clock() - START / 1000, 3)

    @property
    def lines(self) -> list[str]:
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def bar(self) -> str:
        return self.lines[-2]

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def pass_(self, seconds: float) -> None:
        """Let real time pass."""
        self.clock.now += seconds
        self.deck.wake()
        await self.settle()

    async def settle(self) -> None:
        await _until(lambda: self.deck.still and painted(self.app), "the replay to settle")

    async def shows(self, text: str) -> None:
        """Wait until this is on the screen."""
        await _until(lambda: text in self.text, text)


async def _until(predicate: Callable[[], bool], what: str) -> None:
    """A few turns of the loop longer than it takes: blocks are read in threads."""
    held = 0
    try:
        async with asyncio.timeout(20):
            while held < 3:
                held = held + 1 if predicate() else 0
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited 20 s for {what}") from None


@asynccontextmanager
async def replay(path: Path, size: tuple[int, int] = (80, 24), keys: Sequence[str] = ()) -> AsyncIterator[Screen]:
    clock = Clock()
    deck = Deck(Tape(path), clock)
    app = ReplayApp(deck, interval=NEVER)
    async with app.run_test(size=size, notifications=True) as pilot:
        screen = Screen(app, deck, pilot, clock)
        await screen.settle()
        await screen.press(*keys)
        yield screen

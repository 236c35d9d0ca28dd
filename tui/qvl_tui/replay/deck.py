"""Brings a store to the moment that the player shows, and keeps it there: what the link's loop is for a daemon.

A jump tells the store everything anew, from some minutes before, so that it holds what it would hold had it listened
all the time. The recording's clock is the only one that the interface sees (`clock`).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from qvl.model.api import History
from qvl.recording.block import Mark

from qvl_tui.paint import Line
from qvl_tui.replay.bar import replay_bar
from qvl_tui.replay.player import Player, moment
from qvl_tui.replay.tape import Heard, Linked, Tape
from qvl_tui.store import Store, Topic

TICK = 1.0
"""Seconds between two pictures of the replay bar."""
_GATHERED = 0.03
"""Seconds of news that are told together, when they come fast."""


class Deck:
    """`now`: seconds of any monotonic clock. The commands may be called at any time; `run` carries them out."""

    def __init__(self, tape: Tape, now: Callable[[], float] = time.monotonic) -> None:
        self.tape = tape
        self._now = now
        self.player = Player(tape.begin, tape.end, tape.begin, now())
        self.jumps = 0
        """How often something else than what comes next was asked for."""
        self.jumped: Callable[[], None] = lambda: None
        """Called when the store holds the picture after a jump."""
        self.shown_jumps = -1
        self._index = 0
        self._next: deque[Heard] = deque()
        self._woken = asyncio.Event()

    def clock(self) -> float:
        """Unix seconds of the moment that shows."""
        return self.player.position(self._now())

    @property
    def at(self) -> int:
        return round(self.clock() * 1000)

    @property
    def still(self) -> bool:
        """The store holds what is due, as far as is known without reading on."""
        ahead = self._next[0].at > self.at if self._next else self._index + 1 >= len(self.tape.recording.blocks)
        return self.shown_jumps == self.jumps and ahead

    def bar(self, width: int) -> Line:
        recording = self.tape.recording
        return replay_bar(self.player, self._now(), self.tape.moments, width, cut=not recording.ended)

    # --- commands -------------------------------------------------------------------------------------------------

    def toggle(self) -> None:
        before, player = self.clock(), self.player.toggled(self._now())
        self._set(player, jump=player.place < before)

    def move(self, seconds: float) -> None:
        self._set(self.player.moved(seconds, self._now()), jump=True)

    def pace(self, by: int) -> None:
        self._set(self.player.paced(by, self._now()), jump=False)

    def edge(self, side: int) -> None:
        """To the beginning, or to the end."""
        self._set(self.player.at(self.player.begin if side < 0 else self.player.end, self._now()), jump=True)

    def jump(self, by: int, marks: Mark) -> bool:
        """To the next moment with one of `marks`, or the one before; False where there is none."""
        wanted = int(marks)
        moments = [each.at for each in self.tape.moments if each.mark & wanted]
        player = self.player.jumped(moments, by, self._now())
        found = player is not self.player
        self._set(player, jump=found)
        return found

    def go(self, text: str) -> None:
        """To a time as users type it. Raises NotThere."""
        self._set(self.player.at(moment(text, self.player, self._now()), self._now()), jump=True)

    def _set(self, player: Player, *, jump: bool) -> None:
        self.player = player
        self.jumps += jump
        self._woken.set()

    def wake(self) -> None:
        """The clock has moved."""
        self._woken.set()

    # --- what is shown --------------------------------------------------------------------------------------------

    async def run(self, store: Store, told: Callable[[set[Topic]], None]) -> None:
        """Keep `store` at the moment that shows; `told` hears what changed."""
        while True:
            self._woken.clear()
            if self.shown_jumps != self.jumps:
                await self._begin(store)
                told(set(Topic))
                self.jumped()
            topics = self._play(store)
            if not self._next and self._index + 1 < len(self.tape.recording.blocks):
                jumps = self.jumps
                following = await asyncio.to_thread(self.tape.block, self._index + 1)
                if jumps == self.jumps:
                    self._index += 1
                    self._next.extend(following)
                continue
            self.player = self.player.settled(self._now())
            told(topics | {Topic.LINK})
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience()):
                    await self._woken.wait()

    def _patience(self) -> float | None:
        """Seconds until there is something to do; None: until a key is pressed."""
        if not self.player.playing:
            return None
        next_at = self._next[0].at / 1000 if self._next else self.player.end
        wait = self.player.wait(next_at, self._now())
        return TICK if wait is None else min(TICK, max(_GATHERED, wait))

    async def _begin(self, store: Store) -> None:
        """Tell the store the whole picture. Who goes on jumping meanwhile gets the last one only."""
        while True:
            jumps, at = self.jumps, self.at
            heard = await asyncio.to_thread(self.tape.until, at)
            index = self.tape.recording.find(at)
            rest = [each for each in await asyncio.to_thread(self.tape.block, index) if each.at > at]
            if jumps == self.jumps:
                break
        store.forget()
        for each in heard:
            tell(store, each)
        store.publish()
        self._index, self._next = index, deque(rest)
        self.shown_jumps = jumps

    def _play(self, store: Store) -> set[Topic]:
        """Tell the store what has come by now."""
        topics: set[Topic] = set()
        at = self.at
        while self._next and self._next[0].at <= at:
            topics |= tell(store, self._next.popleft())
        return topics - {Topic.FIGURES}


def tell(store: Store, heard: Heard) -> set[Topic]:
    """Tell a store one thing; answers what it may have changed."""
    mono = heard.at / 1000
    match heard.what:
        case Linked(phase, reason):
            return store.linked(phase, mono, reason)
        case History() as history:
            return store.seed(history)
        case frame:
            return store.apply(frame, mono)

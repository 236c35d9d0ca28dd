"""The interface over a recording: the same screens, with a deck in the place of the link's loop and keys to move in
time."""

from pathlib import Path

from qvl.recording.block import Mark

from qvl_tui.app import BEAT, QvlApp
from qvl_tui.keymap import Keymap
from qvl_tui.keys import Where, bindings
from qvl_tui.prefs import Preferences
from qvl_tui.replay.deck import Deck
from qvl_tui.replay.link import ReplayLink
from qvl_tui.screens.frame import Frame
from qvl_tui.store import REPLAY
from qvl_tui.watching import Watch

_MARKS = {"event": Mark.EVENT | Mark.AWAY, "exit": Mark.EXIT}
_OF_A_TIME = (Where.WORKER, Where.LOG, Where.METRICS, Where.CONFIG)
"""Screens that fetch more than the store holds, and begin anew at another time."""


class ReplayApp(QvlApp):
    BINDINGS = bindings(Where.REPLAY)

    def __init__(
        self,
        deck: Deck,
        *,
        interval: float = BEAT,
        prefs: Preferences | None = None,
        keymap: Keymap | None = None,
        home: Path | None = None,
    ) -> None:
        link = ReplayLink(deck)
        super().__init__([link], interval=interval, prefs=prefs, keymap=keymap, home=home, clock=deck.clock)
        self.deck = deck
        self._own = self.context.worker
        self.context.replay = deck
        deck.jumped = self._begin_anew

    async def follow(self, watch: Watch) -> None:
        store = watch.session.store
        store.role = REPLAY
        await self.deck.run(store, self._changed)

    def on_unmount(self) -> None:
        # What is kept is which worker of one's own was in focus, not one of another host and time.
        self.context.worker = self._own

    def _begin_anew(self) -> None:
        here = self.screen
        if isinstance(here, Frame) and here.where in _OF_A_TIME:
            self.switch_screen(type(here)(self.context))

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_replay_toggle(self) -> None:
        self.deck.toggle()

    def action_replay_move(self, seconds: int) -> None:
        self.deck.move(seconds)

    def action_replay_pace(self, by: int) -> None:
        self.deck.pace(by)

    def action_replay_edge(self, side: int) -> None:
        self.deck.edge(side)

    def action_replay_jump(self, by: int, what: str) -> None:
        if not self.deck.jump(by, _MARKS[what]):
            self.notify(f"no {what} {'after' if by > 0 else 'before'} this in the recording", timeout=2)

    def action_replay_goto(self) -> None:
        from qvl_tui.replay.goto import GotoScreen

        self.push_screen(GotoScreen(self.deck))

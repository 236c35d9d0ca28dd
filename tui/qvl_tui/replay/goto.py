"""The question which time to go to."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from qvl_tui.keys import Bindings
from qvl_tui.paint import Tone, wrap
from qvl_tui.replay.deck import Deck
from qvl_tui.replay.player import NotThere
from qvl_tui.screens.dialog import Dialog
from qvl_tui.widgets.canvas import Canvas


class GotoScreen(Dialog[None]):
    BINDINGS: ClassVar[Bindings] = [Binding("escape", "dismiss(None)", tooltip="stay")]

    def __init__(self, deck: Deck) -> None:
        super().__init__("go to")
        self.deck = deck

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = self.heading
            field = Input(placeholder="03:12, 03:12:30, +90, -5m", id="time", compact=True)
            field.cursor_blink = False
            yield field
            yield Canvas("lines")

    def on_mount(self) -> None:
        self.query_one("#time", Input).focus()
        self._say("⏎ goes there, Esc stays", Tone.MUTED)

    @on(Input.Submitted)
    def _go(self, event: Input.Submitted) -> None:
        try:
            self.deck.go(event.value)
        except NotThere as error:
            self._say(str(error), Tone.WARN)
        else:
            self.dismiss(None)

    def _say(self, text: str, tone: Tone) -> None:
        self.put(tuple(((line, tone),) for line in wrap(text, self.room())))

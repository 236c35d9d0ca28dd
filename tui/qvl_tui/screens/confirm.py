"""A question before something is interrupted. It names what, and Esc is always the harmless answer."""

from typing import ClassVar

from textual.binding import Binding

from qvl_tui.keys import Bindings
from qvl_tui.paint import BLANK, Line, Tone, choices, wrap
from qvl_tui.screens.dialog import Dialog


class ConfirmScreen(Dialog[bool]):
    BINDINGS: ClassVar[Bindings] = [
        Binding("enter,y", "answer(True)", id="confirm.yes", tooltip="do it"),
        Binding("escape,n,q", "answer(False)", id="confirm.no", tooltip="leave it"),
    ]

    def __init__(self, title: str, lines: list[str], yes: str) -> None:
        super().__init__(title)
        self.sentences = lines
        self.yes = yes

    def on_mount(self) -> None:
        width = self.room()
        body: list[Line] = [((part, Tone.TEXT),) for line in self.sentences for part in wrap(line, width)]
        self.put((*body, BLANK, choices(("⏎ y", self.yes, Tone.TEXT), ("Esc n", "leave it", Tone.MUTED))))

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)

"""SwitchScreen."""

from collections.abc import Iterable

from textual.widget import Widget

from qvl_tui.keys import Where, bindings
from qvl_tui.screens.frame import Frame
from qvl_tui.widgets.canvas import Canvas


class SwitchScreen(Frame):
    where = Where.SWITCH
    BINDINGS = bindings(Where.SWITCH)

    def body(self) -> Iterable[Widget]:
        yield Canvas("body", "data scrolls")

"""A box in the middle of the screen, over what it is about."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen, ScreenResultType

from qvl_tui.paint import Line
from qvl_tui.store import Topic
from qvl_tui.widgets.canvas import Canvas


class Dialog(ModalScreen[ScreenResultType]):
    def __init__(self, title: str) -> None:
        super().__init__()
        self.heading = title

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = self.heading
            yield Canvas("lines")

    def show(self, topics: set[Topic]) -> None:
        """Called after every change of what is known. Most dialogs are of one moment, and stay as they are."""

    def room(self) -> int:
        """Cells for a line."""
        return min(64, self.app.size.width - 10)

    def put(self, lines: tuple[Line, ...]) -> None:
        canvas = self.query_one("#lines", Canvas)
        if canvas.styles.height is None or canvas.styles.height.value != len(lines):
            canvas.styles.height = len(lines)
        canvas.show(lines)

"""A box in the middle of the screen, over what it is about."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen, ScreenResultType

from qvl_tui.paint import Line
from qvl_tui.widgets.canvas import Canvas


class Dialog(ModalScreen[ScreenResultType]):
    def __init__(self, title: str) -> None:
        super().__init__()
        self.heading = title

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = self.heading
            yield Canvas("lines")

    def room(self) -> int:
        """Cells for a line."""
        return min(64, self.app.size.width - 10)

    def put(self, lines: tuple[Line, ...]) -> None:
        canvas = self.query_one("#lines", Canvas)
        canvas.styles.height = len(lines)
        canvas.show(lines)

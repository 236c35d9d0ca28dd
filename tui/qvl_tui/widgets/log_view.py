"""The rows of a desk of logs, on a terminal. Only cells that differ are repainted, and what comes in is shown at most
five times a second, so that a flood costs the same as a drizzle."""

from textual import events
from textual.message import Message

from qvl_tui.logs.desk import Desk
from qvl_tui.widgets.canvas import Canvas

PACE = 0.2
"""Seconds between two pictures of what comes in. A key's picture waits for nothing."""
WHEEL = 3
"""Lines that a notch of the mouse's wheel moves."""


class LogView(Canvas):
    class Wheel(Message):
        """The wheel was turned, by so many lines."""

        def __init__(self, lines: int) -> None:
            super().__init__()
            self.lines = lines

    def __init__(self, desk: Desk, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id, classes)
        self.desk = desk

    @property
    def dirty(self) -> bool:
        """There is something that no picture shows yet."""
        return self.desk.dirty

    def paint(self) -> None:
        width, height = self.size
        if width and height:
            self.show(*self.desk.picture(width, height))

    def on_resize(self) -> None:
        self.paint()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        event.prevent_default()
        self.post_message(self.Wheel(-WHEEL))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        event.prevent_default()
        self.post_message(self.Wheel(WHEEL))

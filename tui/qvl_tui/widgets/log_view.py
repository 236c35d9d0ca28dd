"""A worker's lines. It draws what is in view and nothing else, at most ten times a second, so that a flood costs the
same as a drizzle; and it holds still as soon as one scrolls away from the end."""

from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qvl_tui.logbuffer import Level, LogBuffer

PACE = 0.1
"""Seconds between two pictures."""


class LogView(ScrollView, can_focus=False):
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--warning", "log--error", "log--note", "log--mark"}

    class Moved(Message):
        """Follows or holds, or lines came while it holds."""

    def __init__(self, buffer: LogBuffer, id: str | None = None) -> None:
        super().__init__(id=id)
        self.buffer = buffer
        self.following = True
        self.shift = 0
        """Cells that long lines are moved to the left."""
        self.mark: int | None = None
        """Number (of all lines seen) of the line that was jumped to."""
        self._held_at = 0
        self.dirty = False
        """The buffer has what no picture shows yet."""
        self._absorbing = False
        self._seen_dropped = 0

    def on_mount(self) -> None:
        self.set_interval(PACE, self._absorb)

    def on_resize(self) -> None:
        self.dirty = True
        self._absorb()

    def touch(self) -> None:
        """The buffer grew."""
        self.dirty = True

    @property
    def unseen(self) -> int:
        """Lines that came since it holds."""
        return 0 if self.following else max(0, self.buffer.seen - self._held_at)

    def _absorb(self) -> None:
        if not self.dirty:
            return
        self.dirty = False
        self._absorbing = True
        moved_out = self.buffer.dropped - self._seen_dropped
        self._seen_dropped = self.buffer.dropped
        self.virtual_size = Size(0, len(self.buffer))
        if self.following:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
        elif moved_out:
            # What one reads stays where it is while lines leave at the top.
            self.scroll_to(y=self.scroll_offset.y - moved_out, animate=False, force=True)
        self._absorbing = False
        self.refresh()
        if not self.following:
            self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._absorbing and round(old_value) != round(new_value):
            self._follow(round(new_value) >= self.max_scroll_y)

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        # A scrollbar that only now appears has missed where the view was scrolled to.
        self.vertical_scrollbar.position = self.scroll_y

    def _follow(self, follow: bool) -> None:
        if follow != self.following:
            self.following = follow
            self._held_at = self.buffer.seen
            self.post_message(self.Moved())

    def hold(self) -> None:
        self._follow(not self.following)
        if self.following:
            self.to_end()

    def to_end(self) -> None:
        self.mark = None
        self._follow(True)
        self.dirty = True
        self._absorb()

    def go(self, top: int) -> None:
        """Put this line at the top of the view; not following unless that is the end."""
        self.scroll_to(y=top, animate=False, force=True)

    def by(self, lines: int) -> None:
        self.go(self.scroll_offset.y + lines)

    def by_page(self, pages: int) -> None:
        self.by(pages * max(1, self.size.height - 1))

    def sideways(self, steps: int) -> None:
        self.shift = max(0, self.shift + steps * max(8, self.size.width // 3))
        self.refresh()

    def error(self, step: int) -> bool:
        """To the next error line up or down; False where there is none."""
        start = self.mark - self.buffer.dropped if self.mark is not None else len(self.buffer) if step < 0 else -1
        place = self.buffer.find(Level.ERROR, start, step)
        if place is None:
            return False
        self.mark = place + self.buffer.dropped
        self._follow(False)
        self._absorbing = True
        self.go(max(0, place - self.size.height // 3))
        self._absorbing = False
        self.refresh()
        return True

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        style = self.rich_style
        if row >= len(self.buffer.lines):
            return Strip.blank(width, style)
        line = self.buffer.lines[row]
        if line.level is not Level.PLAIN:
            style += self.get_component_rich_style(f"log--{line.level}", partial=True)
        if self.mark == row + self.buffer.dropped:
            style += self.get_component_rich_style("log--mark", partial=True)
        sign = {Level.ERROR: "✕", Level.WARNING: "▲"}.get(line.level, " ")
        strip = Strip([Segment(line.text, style)])
        visible = strip.crop(self.shift, self.shift + width - 3)
        more = "…" if strip.cell_length > self.shift + width - 3 else " "
        return Strip.join(
            [
                Strip([Segment(f"{sign} ", style)]),
                visible.adjust_cell_length(width - 3, style),
                Strip([Segment(more, style)]),
            ]
        )

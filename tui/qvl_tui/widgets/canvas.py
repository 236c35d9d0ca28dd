"""A widget that shows lines and repaints only the cells that differ: over SSH each cell counts, and what does not move
must not flicker. It knows no store and no keys."""

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qvl_tui.paint import UNSAFE, Line, Tone, differences

_CONTROLS = dict.fromkeys(UNSAFE)


class Canvas(ScrollView, can_focus=False):
    COMPONENT_CLASSES = {f"tone-{tone}" for tone in Tone} | {"canvas--mark"}

    class Picked(Message):
        """A line was clicked; `x` is the cell in it."""

        def __init__(self, canvas: "Canvas", line: int, x: int) -> None:
            super().__init__()
            self.canvas = canvas
            self.line = line
            self.x = x

        @property
        def control(self) -> "Canvas":
            return self.canvas

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        self._looks: dict[tuple[Tone | None, bool], Style] = {}
        super().__init__(id=id, classes=classes)
        self.lines: tuple[Line, ...] = ()
        self.marked: int | None = None
        self.anchor_end = False
        """Stay at the last line until the reader scrolls away from it."""
        self._at_end = True

    def show(self, lines: tuple[Line, ...], marked: int | None = None) -> None:
        """Show these lines from now on, one of them marked."""
        before, self.lines = self.lines, lines
        marks, self.marked = {self.marked, marked} if self.marked != marked else set(), marked
        if len(before) != len(lines):
            self.virtual_size = Size(0, len(lines))
            self._keep_end()
        left, top = self.scroll_offset
        regions = [Region(0, row - top, self.size.width, 1) for row in marks if row is not None]
        for row in range(max(len(before), len(lines))):
            old = before[row] if row < len(before) else ()
            new = lines[row] if row < len(lines) else ()
            regions += [Region(x - left, row - top, size, 1) for x, size in differences(old, new)]
        visible = self.size.region
        dirty = [region for each in regions if (region := each.intersection(visible))]
        if dirty:
            self.refresh(*dirty)

    def on_resize(self) -> None:
        self._keep_end()

    def _keep_end(self) -> None:
        if self.anchor_end and self._at_end:
            self._go(self.max_scroll_y)

    def _go(self, top: float) -> None:
        # Forced: whether a scrollbar shows is known only after the next layout.
        self.scroll_to(y=top, animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._at_end = round(new_value) >= self.max_scroll_y

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        # A scrollbar that only now appears has missed where the view was scrolled to.
        self.vertical_scrollbar.position = self.scroll_y

    def reveal(self, row: int) -> None:
        """Scroll as little as brings this line into view."""
        top, height = self.scroll_offset.y, self.size.height
        if not top <= row < top + height:
            self._go(row if row < top else row - height + 1)

    def line(self, lines: int) -> None:
        self._go(self.scroll_offset.y + lines)

    def edge(self, side: int) -> None:
        """To the top (-1), or to the end."""
        self._go(0 if side < 0 else self.max_scroll_y)

    def page(self, pages: int) -> None:
        self._go(self.scroll_offset.y + pages * max(1, self.size.height - 1))

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        width = self.size.width
        marked = row == self.marked
        base = self._look(None, marked)
        if row >= len(self.lines):
            return Strip.blank(width, base)
        # Reasons and evidence quote what engines wrote: it must not steer the terminal.
        segments = [
            Segment(text if text.isprintable() else text.translate(_CONTROLS), self._look(tone, marked))
            for text, tone in self.lines[row]
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _look(self, tone: Tone | None, marked: bool) -> Style:
        """Worked out once a theme: a line has a dozen spans, and each of them would cost what all else does."""
        if (look := self._looks.get((tone, marked))) is None:
            look = self.rich_style
            if marked:
                look += self.get_component_rich_style("canvas--mark", partial=True)
            if tone is not None:
                look += self.get_component_rich_style(f"tone-{tone}", partial=True)
            self._looks[tone, marked] = look
        return look

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._looks.clear()

    def on_click(self, event: object) -> None:
        from textual.events import Click

        if isinstance(event, Click):
            self.post_message(self.Picked(self, event.y + self.scroll_offset.y, event.x))

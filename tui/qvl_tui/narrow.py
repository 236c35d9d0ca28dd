"""Writes only the cells that changed. Textual 8.2 repaints a span from the start of its widget's line on; over SSH that
is most of the bytes. This is the same update, cropped at both ends."""

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


class NarrowUpdate(ChopsUpdate):
    def __init__(self, update: ChopsUpdate) -> None:
        super().__init__(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: Console) -> str:
        parts: list[str] = []
        for y, start, stop in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                first, last = max(x, start), min(end, stop)
                if strip is not None and first < last:
                    parts.append(Control.move_to(first, y).segment.text)
                    parts.append(strip.crop(first - x, last - x).simplify().render(console))
        return "".join(parts)

"""Only what differs is sent, and what the terminal shows in the end is what was meant."""

import io
import re

from hypothesis import given
from hypothesis import strategies as st
from qvl_tui.shadow import Shadow, cells
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

WIDTH, HEIGHT = 12, 3
CONSOLE = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=WIDTH)
LOOKS = [Style(color="red"), Style(color="blue", bold=True), Style()]


class Screen:
    """A terminal that understands what is sent: places, looks and characters."""

    def __init__(self) -> None:
        self.rows: list[list[tuple[str, str]]] = [[(" ", "")] * WIDTH for _ in range(HEIGHT)]

    def feed(self, data: str) -> None:
        x, y, look = 0, 0, ""
        for move_y, move_x, sgr, char in re.findall(r"\x1b\[(\d+);(\d+)H|\x1b\[([\d;]*)m|(.)", data, re.S):
            if move_y:
                x, y = int(move_x) - 1, int(move_y) - 1
            elif char:
                for text, _ in cells(Strip([Segment(char)])):
                    self.rows[y][x] = (text, look)
                    x += 1
            else:
                look = "" if sgr in ("", "0") else sgr


texts = st.text(st.sampled_from("ab 中█"), min_size=WIDTH, max_size=WIDTH)


def strip(parts: list[tuple[str, Style]]) -> Strip:
    segments = [Segment(text[: WIDTH // len(parts) + 1], look) for text, look in parts]
    return Strip(segments).adjust_cell_length(WIDTH)


lines = st.lists(st.tuples(texts, st.sampled_from(LOOKS)), min_size=1, max_size=4).map(strip)
pictures = st.lists(lines, min_size=HEIGHT, max_size=HEIGHT)


def whole(picture: list[Strip]) -> LayoutUpdate:
    return LayoutUpdate([[strip] for strip in picture], Region(0, 0, WIDTH, HEIGHT))


@given(st.lists(pictures, min_size=1, max_size=4))
def test_the_terminal_ends_with_the_last_picture(told: list[list[Strip]]) -> None:
    shadow, short, full = Shadow(), Screen(), Screen()
    for picture in told:
        short.feed(shadow.narrowed(whole(picture)).render_segments(CONSOLE))
        full.feed(Shadow().narrowed(whole(picture)).render_segments(CONSOLE))
    assert short.rows == full.rows
    assert [[text for text, _ in row] for row in short.rows] == [[text for text, _ in cells(line)] for line in told[-1]]


@given(pictures)
def test_the_same_picture_again_costs_nothing(picture: list[Strip]) -> None:
    shadow = Shadow()
    assert shadow.narrowed(whole(picture)).render_segments(CONSOLE)
    assert shadow.narrowed(whole(picture)).render_segments(CONSOLE) == ""
    shadow.forget()
    assert shadow.narrowed(whole(picture)).render_segments(CONSOLE)


def test_a_span_costs_its_own_cells() -> None:
    shadow = Shadow()
    before = Strip([Segment("abcdefghijkl")])
    after = Strip([Segment("abcdefgXijkl")])
    shadow.narrowed(whole([before] * HEIGHT)).render_segments(CONSOLE)
    update = ChopsUpdate([{0: after}, {0: after}], [(1, 2, 10)], [[WIDTH], [WIDTH]])
    assert shadow.narrowed(update).render_segments(CONSOLE) == "\x1b[2;8HX"

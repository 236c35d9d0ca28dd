"""Only what differs is sent, and what the terminal shows in the end is what was meant."""

import io

import pyte
from hypothesis import given
from hypothesis import strategies as st
from qvl_tui.shadow import Shadow
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

WIDTH, HEIGHT = 40, 3
LOOKS = [
    Style(),
    Style(color="#c6cdd2", bgcolor="#14171a"),
    Style(color="#8b959d", bgcolor="#14171a"),
    Style(color="#c6cdd2", bgcolor="#14171a", bold=True),
    Style(color="#c6cdd2", bgcolor="#24303a", underline=True),
    Style(color="red", italic=True),
    Style(reverse=True),
    Style(color="default", bgcolor="default", strike=True, bold=True),
]


def console(colors: str = "truecolor") -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system=colors, width=WIDTH)  # type: ignore[arg-type]


class Screen:
    """A terminal, and the shadow that writes to it."""

    def __init__(self, *, erases: bool = False, colors: str = "truecolor") -> None:
        self.shadow = Shadow(erases=erases)
        self.console = console(colors)
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self.screen.reset_mode(pyte.modes.DECAWM)
        self._stream = pyte.Stream(self.screen)

    def show(self, update: CompositorUpdate) -> str:
        narrowed = self.shadow.narrowed(update, self.console)
        text = narrowed.render_segments(self.console) if narrowed else ""
        self._stream.feed(text)
        return text

    def feed(self, text: str) -> None:
        self._stream.feed(text)

    @property
    def cells(self) -> list[list[tuple[object, ...]]]:
        """What is seen: of a blank only its background, unless something is drawn on it."""
        rows = []
        for y in range(HEIGHT):
            row = [self.screen.buffer[y][x] for x in range(WIDTH)]
            rows.append(
                [
                    (" ", cell.bg)
                    if cell.data == " " and not (cell.underscore or cell.reverse or cell.strikethrough)
                    else tuple(cell)
                    for cell in row
                ]
            )
        return rows


texts = st.lists(st.sampled_from(["a", "b", " ", " ", "中", "█", "e\u0301"]), min_size=1, max_size=WIDTH).map("".join)
blanks = st.integers(1, WIDTH).map(lambda count: " " * count)


def strip(parts: list[tuple[str, Style]]) -> Strip:
    return Strip([Segment(text, look) for text, look in parts]).adjust_cell_length(WIDTH, parts[-1][1])


lines = st.lists(st.tuples(texts | blanks, st.sampled_from(LOOKS)), min_size=1, max_size=6).map(strip)
pictures = st.lists(lines, min_size=HEIGHT, max_size=HEIGHT)


def whole(picture: list[Strip]) -> LayoutUpdate:
    return LayoutUpdate([[strip] for strip in picture], Region(0, 0, WIDTH, HEIGHT))


def plain(picture: list[Strip], colors: str = "truecolor") -> Screen:
    """A terminal that was given the whole picture as Textual writes it."""
    screen = Screen(colors=colors)
    for y, line in enumerate(picture):
        screen.feed(f"\x1b[{y + 1}H" + line.render(screen.console))
    return screen


@given(st.lists(pictures, min_size=1, max_size=3), st.sampled_from(["truecolor", "256", "standard"]), st.booleans())
def test_the_terminal_ends_with_the_last_picture(told: list[list[Strip]], colors: str, erases: bool) -> None:
    screen = Screen(erases=erases, colors=colors)
    for picture in told:
        for line in picture:
            for _, style, _ in line:  # Rich keeps a style's codes for the first terminal that asks
                if style is not None:
                    style._ansi = None
        screen.show(whole(picture))
        assert screen.cells == plain(picture, colors).cells


@given(before=pictures, after=pictures, x=st.integers(0, WIDTH - 1), width=st.integers(1, WIDTH), y=st.integers(0, 2))
def test_a_part_of_the_screen_leaves_the_rest(
    before: list[Strip], after: list[Strip], x: int, width: int, y: int
) -> None:
    """Also where its edges cut wide characters in halves: what they show until the next picture is the terminal's."""
    screen = Screen(erases=True)
    screen.show(whole(before))
    stop = min(x + width, WIDTH)
    chops = [{0: line} for line in after]
    screen.show(ChopsUpdate(chops, [(y, x, stop)], [[WIDTH]] * HEIGHT))
    assert screen.cells[y][x + 1 : stop - 1] == plain(after).cells[y][x + 1 : stop - 1] or "中" in str(after[y])
    rest = [row for place, row in enumerate(screen.cells) if place != y]
    assert rest == [row for place, row in enumerate(plain(before).cells) if place != y]
    screen.show(whole(after))
    assert screen.cells == plain(after).cells


@given(pictures)
def test_the_same_picture_again_costs_nothing(picture: list[Strip]) -> None:
    screen = Screen()
    assert screen.show(whole(picture))
    assert screen.shadow.narrowed(whole(picture), screen.console) is None
    screen.shadow.forget()
    assert screen.show(whole(picture))


@given(pictures)
def test_it_leaves_the_pen_as_it_found_it(picture: list[Strip]) -> None:
    screen = Screen()
    screen.show(whole(picture))
    assert screen.screen.cursor.attrs == pyte.Screen(1, 1).cursor.attrs


def test_a_span_costs_its_own_cells() -> None:
    screen = Screen()
    screen.show(whole([Strip([Segment("abcdefghijkl".ljust(WIDTH))])] * HEIGHT))
    after = Strip([Segment("abcdefgXijkl".ljust(WIDTH))])
    update = ChopsUpdate([{0: after}, {0: after}], [(1, 2, 10)], [[WIDTH], [WIDTH]])
    assert screen.show(update) == "\x1b[2;8HX"


def test_what_moves_on_a_line_shares_its_colour_and_its_address() -> None:
    look = Style(color="#c6cdd2", bgcolor="#14171a")
    screen = Screen()
    screen.show(whole([Strip([Segment("0 tok/s         0 running".ljust(WIDTH), look)])] * HEIGHT))
    after = [Strip([Segment("7 tok/s         9 running".ljust(WIDTH), look)])] * HEIGHT
    assert screen.show(whole(after)) == (
        "\x1b[1H\x1b[38;2;198;205;210;48;2;20;23;26m7\x1b[17G9\x1b[2H7\x1b[17G9\x1b[3H7\x1b[17G9\x1b[m"
    )


def test_a_long_blank_is_erased_where_that_keeps_the_background() -> None:
    look = Style(bgcolor="#14171a")
    before = whole([Strip([Segment("x" * WIDTH, look)])] * HEIGHT)
    after = whole([Strip([Segment("xx" + " " * (WIDTH - 2), look)])] * HEIGHT)
    ours, writes = Screen(erases=True), Screen()
    for screen in (ours, writes):
        screen.show(before)
    assert ours.show(after) == "\x1b[1;3H\x1b[48;2;20;23;26m\x1b[K\x1b[2;3H\x1b[K\x1b[3;3H\x1b[K\x1b[m"
    assert "\x1b[K" not in writes.show(after)
    assert ours.cells == writes.cells


def test_a_terminal_of_few_colours_gets_those() -> None:
    line = Strip([Segment("x".ljust(WIDTH), Style(color="#ff0000"))])
    assert console("256")._color_system is ColorSystem.EIGHT_BIT
    assert Screen(colors="256").show(whole([line] * HEIGHT)).startswith("\x1b[1H\x1b[38;5;196mx")


def test_nothing_steers_the_terminal_whoever_drew_it() -> None:
    screen = Screen()
    text = screen.show(whole([Strip([Segment("a\x1b[2Jb\x9bc", Style())]).adjust_cell_length(WIDTH)] * HEIGHT))
    assert "\x1b[2J" not in text
    assert "\x9b" not in text
    assert screen.screen.display[0].startswith("a[2Jbc")

"""All keys, from the one table."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import ClassVar

from textual.binding import Binding

from qvl_tui.context import Context
from qvl_tui.keys import SCREENS, Bindings, Where, keys
from qvl_tui.paint import BLANK, Line, Tone, left, pad
from qvl_tui.screens.dialog import Dialog
from qvl_tui.sentences import READY, STATES
from qvl_tui.widgets.canvas import Canvas

_NARROW, _WIDE = 38, 48
"""Cells of a column."""


def help_lines(context: Context, where: Where, width: int) -> tuple[Line, ...]:
    """What works here first, then everywhere, then the signs; in two columns where they fit."""
    column = _WIDE if width >= 2 * _WIDE else _NARROW
    own = _section(f"here: {where.value}", where, context)
    replay = [] if context.replay is None else [*_section("in a recording", Where.REPLAY, context), BLANK]
    rest = [*replay, *_section("everywhere", Where.EVERYWHERE, context), BLANK, *_signs()]
    others = [where_ for where_ in SCREENS if where_ is not where]
    more = [line for other in others for line in (*_section(other.value, other, context), BLANK)]
    if width < 2 * _NARROW - 2:
        return (*own, BLANK, *rest, BLANK, *more)
    first = tuple((*pad(start, column), *end) for start, end in zip_longest(own, rest, fillvalue=BLANK))
    half = _even(others)
    columns = [[line for each in part for line in (*_section(each.value, each, context), BLANK)] for part in half]
    below = tuple((*pad(start, column), *end) for start, end in zip_longest(*columns, fillvalue=BLANK))
    return (*first, BLANK, *below)


def _even(others: Iterable[Where]) -> tuple[list[Where], list[Where]]:
    """Two columns of about the same length."""
    start: list[Where] = []
    end: list[Where] = []
    for each in others:
        lengths = [sum(sum(1 for _ in keys(w)) + 2 for w in part) for part in (start, end)]
        (start if lengths[0] <= lengths[1] else end).append(each)
    return start, end


def _section(heading: str, where: Where, context: Context) -> list[Line]:
    lines: list[Line] = [((heading, Tone.STRONG),)]
    for key in keys(where):
        acts = (" *", Tone.FAINT) if key.acts else ("", Tone.FAINT)
        lines.append(((left(f"  {context.keymap.shown(key)}", 9), Tone.ACCENT), (key.tooltip, Tone.TEXT), acts))
    if any(key.acts for key in keys(where)):
        lines.append((("  * operators only", Tone.FAINT),))
    return lines


def _signs() -> list[Line]:
    """Every sign that the table uses, from where the table has them."""
    signs = [READY, *(sign for sign in STATES.values())]
    lines: list[Line] = [(("signs", Tone.STRONG),)]
    for first, second, third in zip_longest(signs[::3], signs[1::3], signs[2::3], fillvalue=None):
        line: Line = ((" ", Tone.TEXT),)
        for sign in filter(None, (first, second, third)):
            line += ((sign.glyph, sign.tone), (left(f" {sign.word}", 11), Tone.TEXT))
        lines.append(line)
    return lines


class HelpScreen(Dialog[None]):
    BINDINGS: ClassVar[Bindings] = [
        Binding("escape,question_mark,q,enter,f1", "dismiss(None)", tooltip="close"),
        Binding("down,j", "line(1)", show=False),
        Binding("up,k", "line(-1)", show=False),
        Binding("pagedown,ctrl+d,space", "page(1)", show=False),
        Binding("pageup,ctrl+u", "page(-1)", show=False),
        Binding("g,home", "edge(-1)", show=False),
        Binding("G,end", "edge(1)", show=False),
    ]

    def __init__(self, context: Context, where: Where) -> None:
        super().__init__("keys")
        self.context = context
        self.where = where

    def on_mount(self) -> None:
        room = self.app.size.width - 5
        lines = help_lines(self.context, self.where, room)
        self.put(lines)
        canvas = self.query_one("#lines", Canvas)
        canvas.styles.width = min(room, 2 * _WIDE) + 1
        canvas.styles.height = min(len(lines), self.app.size.height - 2)

    def action_line(self, lines: int) -> None:
        self.query_one("#lines", Canvas).line(lines)

    def action_page(self, pages: int) -> None:
        self.query_one("#lines", Canvas).page(pages)

    def action_edge(self, side: int) -> None:
        self.query_one("#lines", Canvas).edge(side)

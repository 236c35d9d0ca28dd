"""All keys, from the one table."""

from itertools import zip_longest
from typing import ClassVar

from textual.binding import Binding

from qvl_tui.keys import Bindings, Where, keys
from qvl_tui.paint import BLANK, Line, Tone, left, pad
from qvl_tui.screens.dialog import Dialog
from qvl_tui.sentences import READY, STATES
from qvl_tui.widgets.canvas import Canvas

_COLUMN = 37


def help_lines(width: int) -> tuple[Line, ...]:
    """Two columns where they fit, so that all is seen at once even at 80×24."""
    own = [*_section("fleet", Where.FLEET), BLANK, *_signs()]
    other = [*_section("log", Where.LOG), BLANK, *_section("everywhere", Where.EVERYWHERE)]
    if width < 2 * _COLUMN:
        return (*own, BLANK, *other)
    rows = zip_longest(own, other, fillvalue=BLANK)
    return tuple((*pad(start, _COLUMN), *end) for start, end in rows)


def _section(heading: str, where: Where) -> list[Line]:
    lines: list[Line] = [((heading, Tone.STRONG),)]
    for key in keys(where):
        acts = (" *", Tone.FAINT) if key.acts else ("", Tone.FAINT)
        lines.append(((left(f"  {key.shown}", 9), Tone.ACCENT), (key.tooltip, Tone.TEXT), acts))
    if where is Where.FLEET:
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
        Binding("down,j,pagedown,space", "page(1)", show=False),
        Binding("up,k,pageup", "page(-1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__("keys")

    def on_mount(self) -> None:
        lines = help_lines(self.app.size.width - 4)
        self.put(lines)
        self.query_one("#lines", Canvas).styles.height = min(len(lines), self.app.size.height - 2)

    def action_page(self, pages: int) -> None:
        self.query_one("#lines", Canvas).page(pages)

"""All keys, from the one table."""

from typing import ClassVar

from textual.binding import Binding

from qvl_tui.keys import KEYS, Bindings, Where
from qvl_tui.paint import BLANK, Line, Tone, left
from qvl_tui.screens.dialog import Dialog
from qvl_tui.widgets.canvas import Canvas

_HEADINGS = {Where.FLEET: "fleet", Where.LOG: "log", Where.EVERYWHERE: "everywhere"}


def help_lines() -> tuple[Line, ...]:
    lines: list[Line] = []
    for where, heading in _HEADINGS.items():
        lines += [BLANK, ((heading, Tone.STRONG),)]
        for key in KEYS:
            if key.where is where:
                acts = ((" · operators", Tone.FAINT),) if key.acts else ()
                lines.append(((left(f"  {key.shown}", 10), Tone.ACCENT), (key.tooltip, Tone.TEXT), *acts))
    lines += [
        BLANK,
        (("signs", Tone.STRONG),),
        (("  ● ready   ◐ starting   ▲ not ready   ↻ backoff   ✕ failed", Tone.TEXT),),
        (("  ○ stopped   ◒ draining   ◌ stopping, releasing   ◇ parked", Tone.TEXT),),
    ]
    return tuple(lines[1:])


class HelpScreen(Dialog[None]):
    BINDINGS: ClassVar[Bindings] = [
        Binding("escape,question_mark,q,enter,f1", "dismiss(None)", tooltip="close"),
        Binding("down,j,pagedown,space", "page(1)", show=False),
        Binding("up,k,pageup", "page(-1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__("keys")

    def on_mount(self) -> None:
        lines = help_lines()
        self.put(lines)
        self.query_one("#lines", Canvas).styles.height = min(len(lines), int(self.app.size.height * 0.9) - 4)

    def action_page(self, pages: int) -> None:
        self.query_one("#lines", Canvas).page(pages)

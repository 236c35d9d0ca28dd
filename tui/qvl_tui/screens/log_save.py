"""Where to save a log, and how much of it."""

from enum import StrEnum
from pathlib import Path
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from qvl_tui.paint import BLANK, Line, Tone, choices, cut
from qvl_tui.screens.dialog import Dialog
from qvl_tui.widgets.canvas import Canvas


class Scope(StrEnum):
    VIEW = "what is loaded around the view, as it is shown"
    REST = "from the line under the cursor to the end"
    WHOLE = "the whole log"


class Order(NamedTuple):
    scope: Scope
    path: Path
    over: bool
    """In place of the file that is there."""


class LogSaveScreen(Dialog[Order | None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel", show=False),
        Binding("tab,down", "scope(1)", "how much", show=False, priority=True),
        Binding("shift+tab,up", "scope(-1)", "how much", show=False, priority=True),
    ]

    def __init__(self, worker: str, name: str) -> None:
        super().__init__(f"save the log of {worker}")
        self._name = name
        self._scope = Scope.WHOLE
        self._told = ""
        self._agreed = ""
        """The file that may be written over: who presses Enter again has read that it is there."""

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = self.heading
            yield Canvas("lines")
            field = Input(self._name, id="file", compact=True, select_on_focus=False)
            field.cursor_blink = False
            yield field

    def on_mount(self) -> None:
        self._paint()
        self.query_one("#file", Input).focus()

    def _paint(self) -> None:
        room = self.room()
        scopes: list[Line] = [
            ((" ● " if scope is self._scope else " ○ ", Tone.ACCENT if scope is self._scope else Tone.FAINT),
             (scope.value, Tone.STRONG if scope is self._scope else Tone.TEXT))
            for scope in Scope
        ]  # fmt: skip
        keys = choices(("Enter", "save", Tone.TEXT), ("Tab", "how much", Tone.TEXT), ("Esc", "don't", Tone.TEXT))
        told: Line = ((cut(self._told, room), Tone.WARN),) if self._told else (("to this file:", Tone.MUTED),)
        self.put((*scopes, BLANK, keys, BLANK, told))

    def action_scope(self, by: int) -> None:
        known = list(Scope)
        self._scope = known[(known.index(self._scope) + by) % len(known)]
        self._paint()

    def action_cancel(self) -> None:
        self.dismiss(None)

    @on(Input.Submitted, "#file")
    def _save(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if not text:
            return
        try:
            path = Path(text).expanduser()
            self._told = self._why_not(path, text)
        except (OSError, RuntimeError) as error:  # not ours to look into, too long, or of nobody's home
            why = getattr(error, "strerror", None) or str(error).rstrip(".")
            self._told = f"{why}: {text}"
        if not self._told:
            self.dismiss(Order(self._scope, path, over=self._agreed == text))
            return
        self._paint()

    def _why_not(self, path: Path, text: str) -> str:
        if path.is_dir():
            return f"{path} is a directory"
        if not path.absolute().parent.is_dir():
            return f"there is no directory {path.absolute().parent}"
        if path.exists() and self._agreed != text:
            self._agreed = text
            return f"{path.name} is there already; Enter again writes over it"
        return ""

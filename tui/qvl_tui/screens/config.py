"""The configuration: its files with what is wrong in them where it is, whether they are what runs, and what they would
change. The file is the user's: it is edited by their editor alone, never from here."""

from collections.abc import Iterable

from qvl.model.config import ConfigFile, ConfigView
from qvl.model.error import ErrorCode, QvlError
from qvl.model.plan import Plan
from qvl.model.status import ConfigStatus
from textual import on
from textual.app import SuspendNotSupported
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Input

from qvl_tui import editor
from qvl_tui.asked import FILE
from qvl_tui.context import Context
from qvl_tui.keys import Where, bindings
from qvl_tui.paint import Tone
from qvl_tui.screens.frame import Frame
from qvl_tui.store import Topic
from qvl_tui.widgets.canvas import Canvas
from qvl_tui.widgets.config_side import side_lines, state_line, tab_line
from qvl_tui.widgets.config_text import Page, page, told_of
from qvl_tui.widgets.plan import consequences, hung

_WIDE = 120
"""Cells from which on the plan stands beside the text."""


class ConfigScreen(Frame):
    where = Where.CONFIG
    BINDINGS = bindings(Where.CONFIG)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.view: ConfigView | None = None
        self.problem = ""
        self.file = 0
        """Which of the files is looked at."""
        self.needle = ""
        self.page = Page()
        self._laid_out: object = None
        """What the page was made of."""
        self._read_for: object = None
        """What the daemon said of the configuration when it was read last."""

    def body(self) -> Iterable[Widget]:
        yield Canvas("tabs", "data")
        with Container(id="config"):
            yield Canvas("text", "data scrolls")
            yield Canvas("side", "data scrolls")
        # The cursor does not blink: a repaint each half second is too much of one over SSH.
        field = Input(placeholder="search", id="needle", compact=True, select_on_focus=False)
        field.cursor_blink = False
        yield field

    def on_mount(self) -> None:
        self.set_focus(None)

    # --- what is shown --------------------------------------------------------------------------------------------

    @property
    def told(self) -> ConfigStatus | None:
        return self.store.supervisor.config if self.store.supervisor is not None else None

    @property
    def files(self) -> tuple[ConfigFile, ...]:
        return self.view.files if self.view is not None else ()

    def draw(self, topics: set[Topic]) -> None:
        super().draw(topics)
        width = self.size.width
        if not width:
            return
        self.set_class(width >= _WIDE, "-wide")
        self.set_class(width >= 170, "-huge")
        self._ask()
        asked = self.context.acts.changes.of(FILE, self.context.clock())
        state = state_line(self.view, self.told, asked, width)
        view = self.view
        if view is None:
            self.canvas("tabs").show((state,))
            told = hung("✕ ", Tone.BAD, self.problem, width) if self.problem else [((" reading …", Tone.MUTED),)]
            self.canvas("text").show(tuple(told))
            self.canvas("side").show(())
            return
        side = (84 if width >= 170 else 54) if width >= _WIDE else 0
        self.file = min(self.file, max(len(self.files) - 1, 0))
        self.canvas("tabs").show((tab_line(self.files, view, self.file, width), state))
        self._lay_out(view, width - side - 1)
        text = self.canvas("text")
        text.show(self.page.rows, text.marked if text.marked in (*self.page.faults, *self.page.hits) else None)
        room = (side or width) - 2
        plan = side_lines(view, self.told, self.store, self._why_not(), room, index=side > 0)
        beside = self.canvas("side")
        beside.show((*hung("✕ ", Tone.BAD, self.problem, room), *plan) if self.problem else plan)
        # Below the text it takes what it needs, and leaves most to the text; one more is its upper edge.
        beside.styles.height = "1fr" if side else min(len(beside.lines) + 1, max(4, self.size.height * 2 // 5))

    def _lay_out(self, view: ConfigView, width: int) -> None:
        made_of = (view, self.file, self.needle, width)
        if made_of != self._laid_out and self.files:
            self._laid_out = made_of
            file = self.files[self.file]
            self.page = page(file, told_of(file.path, view.faults, view.warnings), self.needle, width)

    def _why_not(self) -> str:
        if self.store.may_act:
            return ""
        return "this view is read-only" if self.store.readonly else "only operators may apply"

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Read it where the daemon says something else of it than when it was read last."""
        told = self.told
        if not self.store.live or told is None:
            return
        # With a new connection too: what failed with the old one is not to stay.
        session, since = self.context.session, self.store.link.since
        known = (session, since, told.path, told.revision, told.applied, told.error, told.pending)
        if known != self._read_for:
            if isinstance(self._read_for, tuple) and self._read_for[0] != known[0]:
                self.view, self.file = None, 0
            self._read_for = known
            self.run_worker(self._read(), exclusive=True, group="read")

    async def _read(self) -> None:
        try:
            self.view = await self.context.link.config()
            self.problem = ""
        except QvlError as error:
            if error.code is ErrorCode.NOT_FOUND:
                self.problem = "this daemon is of a release that doesn't show its configuration → qvlctl daemon restart"
            else:
                self.problem = error.message + (f" → {error.hint}" if error.hint else "")
        self.show({Topic.STATE})

    # --- keys -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "escape":
            return bool(self.needle) or self.has_class("-searching")
        return True

    def action_again(self) -> None:
        self._read_for = None
        self.show({Topic.STATE})

    def action_scroll(self, lines: int) -> None:
        self.canvas("text").line(lines)

    def action_page(self, pages: int) -> None:
        self.canvas("text").page(pages)

    def action_edge(self, side: int) -> None:
        self.canvas("text").edge(side)

    def action_plan(self, pages: int) -> None:
        self.canvas("side").page(pages)

    def action_turn(self, step: int) -> None:
        if self.files:
            self.file = (self.file + step) % len(self.files)
            self._top()

    def _top(self) -> None:
        self.canvas("text").edge(-1)
        self.canvas("text").marked = None
        self.show({Topic.STATE})

    def action_find(self, step: int) -> None:
        """To the next hit of the search; without one, to the next fault, in the other files as well."""
        rows = self.page.hits if self.needle else self.page.faults
        text = self.canvas("text")
        here = text.marked if text.marked is not None else -1 if step > 0 else len(self.page.rows)
        ahead = [row for row in rows if row > here] if step > 0 else [row for row in reversed(rows) if row < here]
        if not ahead and not self.needle and self._turn_to_fault(step):
            rows = self.page.faults
            ahead = [rows[0] if step > 0 else rows[-1]]
        elif not ahead and rows:
            ahead = [rows[0] if step > 0 else rows[-1]]
        if not ahead:
            what = f"“{self.needle}” is not in this file" if self.needle else "nothing is wrong with it"
            self.app.notify(what, timeout=2)
            return
        text.show(self.page.rows, ahead[0])
        self._reveal(ahead[0])

    def _turn_to_fault(self, step: int) -> bool:
        """To the next file that has one."""
        if self.view is None:
            return False
        wrong = {fault.file for fault in (*self.view.faults, *self.view.warnings)}
        for by in range(1, len(self.files)):
            place = (self.file + by * step) % len(self.files)
            if self.files[place].path in wrong:
                self.file = place
                self._top()
                return True
        return False

    def _reveal(self, row: int) -> None:
        """With some lines around it, so that one sees where one is."""
        text = self.canvas("text")
        height = text.size.height
        if not text.scroll_offset.y + 2 <= row < text.scroll_offset.y + height - 4:
            text.scroll_to(y=max(0, row - height // 3), animate=False, force=True)

    # --- search ---------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        self.add_class("-searching")
        self.query_one("#needle", Input).focus()

    @on(Input.Changed, "#needle")
    def _narrow(self, event: Input.Changed) -> None:
        self.needle = event.value
        self.canvas("text").marked = None
        self.show({Topic.STATE})

    @on(Input.Submitted, "#needle")
    def _searched(self) -> None:
        self._close_search()
        if self.needle:
            self.action_find(1)

    def action_escape(self) -> None:
        self.query_one("#needle", Input).value = ""
        self._close_search()

    def _close_search(self) -> None:
        self.remove_class("-searching")
        self.set_focus(None)
        self.show({Topic.STATE})

    # --- acts -----------------------------------------------------------------------------------------------------

    def action_apply(self) -> None:
        if self.context.acts.permitted("to apply it"):
            self.run_worker(self._plan_and_ask(), exclusive=True, group="plan")

    async def _plan_and_ask(self) -> None:
        """A plan of this moment: what is confirmed is what is applied, or the daemon refuses it as stale."""
        acts, told = self.context.acts, self.told
        try:
            plan = await self.context.link.plan()
        except QvlError as error:
            self.app.notify(error.message.partition("\n")[0], title="refused", severity="error", timeout=6)
            return
        if not plan.changes and told is not None and plan.revision == told.applied and told.error is None:
            self.app.notify(f"revision {plan.revision} is what runs: there is nothing to apply", timeout=3)
            return
        acts.confirm(f"apply revision {plan.revision}?", self._consequences(plan), "apply", lambda: acts.apply(plan))

    def _consequences(self, plan: Plan) -> list[str]:
        removed = [f"Removes pool {pool} with its workers, which are up." for pool in plan.removes_pools]
        waits = [f"{each.worker} would wait: {each.message}." for each in plan.warnings if each.waits]
        return [*removed, *(consequences(plan, self.store) or ["No worker changes."]), *waits[:3]]

    def action_edit(self) -> None:
        path = self.files[self.file].path if self.files else self.told.path if self.told is not None else ""
        if not path:
            return
        if why := editor.why_not(path, self.context.link.name):
            self.app.notify(why, title="it can't be edited from here", severity="warning", timeout=8)
            return
        try:
            with self.app.suspend():
                wrong = editor.edit(path, self._line())
        except SuspendNotSupported:
            self.app.notify("this terminal can't be lent to an editor: `qvlctl edit`", severity="warning")
            return
        if wrong:
            self.app.notify(wrong, severity="warning")
        self.action_again()

    def _line(self) -> int:
        """Of the file, where one looks."""
        text = self.canvas("text")
        row = text.marked if text.marked is not None else text.scroll_offset.y
        return max(1, sum(first <= row for first in self.page.first))

    @on(Canvas.Picked, "#tabs")
    def _turned_to(self, event: Canvas.Picked) -> None:
        if event.line == 0:
            self.action_turn(1)

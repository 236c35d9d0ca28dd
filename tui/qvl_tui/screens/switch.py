"""Which profile a pool shall run: the list, and for the one under the cursor the daemon's own plan of what would
happen. Nothing can be confirmed before its plan is seen."""

from typing import ClassVar

from qvl.model.api import ProfileInfo
from qvl.model.error import QvlError
from qvl.model.plan import Action, Plan
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical

from qvl_tui.format import count, duration
from qvl_tui.keys import Bindings
from qvl_tui.link import Link
from qvl_tui.paint import BLANK, Line, Tone, cut, left, wrap
from qvl_tui.screens.dialog import Dialog
from qvl_tui.sentences import interrupted
from qvl_tui.store import Store
from qvl_tui.widgets.canvas import Canvas


class SwitchScreen(Dialog[str | None]):
    BINDINGS: ClassVar[Bindings] = [
        Binding("down,j", "move(1)", id="switch.down", tooltip="next profile"),
        Binding("up,k", "move(-1)", id="switch.up", tooltip="previous profile"),
        Binding("enter", "confirm", id="switch.confirm", tooltip="switch as planned"),
        Binding("escape,q", "dismiss(None)", id="switch.leave", tooltip="leave it"),
    ]

    def __init__(self, store: Store, link: Link, pool: str) -> None:
        super().__init__(f"switch {pool} to")
        self.store = store
        self.link = link
        self.pool = pool
        self.profiles: tuple[ProfileInfo, ...] = ()
        self.place = 0
        self.plan: Plan | None = None
        self.problem: str | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = self.heading
            yield Canvas("lines", "scrolls")
            yield Canvas("plan")

    def on_mount(self) -> None:
        self.put(((("asking for the profiles …", Tone.MUTED),),))
        self.run_worker(self._load(), exclusive=True)

    async def _load(self) -> None:
        try:
            self.profiles = await self.link.profiles()
        except QvlError as error:
            self.put((((cut(error.message, self.room()), Tone.BAD),), BLANK, *_keys(None)))
            return
        names = [profile.name for profile in self.profiles]
        current = self._current()
        self.place = names.index(current) if current in names else 0
        self._paint()
        await self._ask()

    async def _ask(self) -> None:
        self.plan = self.problem = None
        self._paint()
        try:
            self.plan = await self.link.plan_switch(self.pool, self.profiles[self.place].name)
        except QvlError as error:
            self.problem = f"{error.message}" + (f" → {error.hint}" if error.hint else "")
        self._paint()

    def _current(self) -> str | None:
        return next((pool.profile for pool in self.store.pools if pool.name == self.pool), None)

    def _paint(self) -> None:
        current, width = self._current(), self.room()
        lines: list[Line] = []
        for place, profile in enumerate(self.profiles):
            mark = " › " if place == self.place else "   "
            note = "runs now" if profile.name == current else f"extends {profile.extends}" if profile.extends else ""
            name = max(len(known.name) for known in self.profiles) + 2
            tone = Tone.STRONG if place == self.place else Tone.TEXT
            model = cut(profile.model or profile.engine, width - name - 26)
            lines.append(
                (
                    (mark, Tone.ACCENT),
                    (left(profile.name, name), tone),
                    (left(note, 22), Tone.MUTED),
                    (model, Tone.FAINT),
                )
            )
        self.put(tuple(lines))
        canvas = self.query_one("#lines", Canvas)
        canvas.show(tuple(lines), self.place)
        canvas.styles.height = min(len(lines), max(3, self.app.size.height - 16))
        canvas.reveal(self.place)
        plan = (*self._plan_lines(width), BLANK, *_keys(self.plan))
        below = self.query_one("#plan", Canvas)
        below.styles.height = len(plan)
        below.show(plan)

    def _plan_lines(self, width: int) -> tuple[Line, ...]:
        if self.problem:
            return tuple(((part, Tone.BAD),) for part in wrap(self.problem, width))
        if self.plan is None:
            return ((("asking what that would do …", Tone.MUTED),),)
        return plan_lines(self.plan, self.store, width)

    def action_move(self, step: int) -> None:
        if self.profiles:
            place = min(max(self.place + step, 0), len(self.profiles) - 1)
            if place != self.place:
                self.place = place
                self.run_worker(self._ask(), exclusive=True)

    def action_confirm(self) -> None:
        if self.plan is not None and self.plan.changes and not self.plan.errors:
            self.dismiss(self.profiles[self.place].name)

    @on(Canvas.Picked, "#lines")
    def _picked(self, event: Canvas.Picked) -> None:
        self.action_move(event.line - self.place)


_TONES = {Action.RESTART: Tone.WARN, Action.RELAYOUT: Tone.WARN, Action.STOP: Tone.WARN, Action.START: Tone.GOOD}


def plan_lines(plan: Plan, store: Store, width: int) -> tuple[Line, ...]:
    """What the plan does, worker by worker, and what that cuts off."""
    if plan.errors:
        return tuple(((part, Tone.BAD),) for error in plan.errors for part in wrap(error, width))
    steps = [step for step in plan.steps if step.action is not Action.KEEP]
    if not steps:
        return ((("nothing changes", Tone.MUTED),),)
    lines: list[Line] = []
    for step in steps[:6]:
        down = f"about {duration(step.downtime_s)} away" if step.downtime_s is not None else ""
        keys = ", ".join(key.key for key in step.keys)
        rest = " · ".join(filter(None, (down, keys)))
        lines.append(
            (
                (left(str(step.action), 12), _TONES.get(step.action, Tone.MUTED)),
                (step.worker, Tone.TEXT),
                (cut(f"  {rest}", width - 12 - len(step.worker)), Tone.MUTED),
            )
        )
    if len(steps) > 6:
        lines.append(((f"and {count(len(steps) - 6, 'worker')} more", Tone.MUTED),))
    hit = [store.workers[step.worker] for step in steps if step.action.interrupts and step.worker in store.workers]
    if hit:
        lines.append(((f"one after the other, drained first; now {interrupted(hit, store)}", Tone.TEXT),))
    return tuple(lines)


def _keys(plan: Plan | None) -> tuple[Line, ...]:
    ready = plan is not None and plan.changes and not plan.errors
    return (
        (
            ("⏎", Tone.ACCENT if ready else Tone.FAINT),
            (" switch", Tone.TEXT if ready else Tone.FAINT),
            ("   ↑↓", Tone.ACCENT),
            (" choose", Tone.MUTED),
            ("   Esc", Tone.ACCENT),
            (" leave it", Tone.MUTED),
        ),
    )

"""Which profile a pool shall run: the list, and for the one under the cursor the daemon's own plan of what would
happen. Nothing can be confirmed before that is seen. For the way back to the file's profile there is no plan to ask
for, since only the daemon knows which that is."""

from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from qvl.model.api import ProfileInfo
from qvl.model.error import QvlError
from qvl.model.plan import Action, Plan, PlanStep
from qvl.model.status import PoolStatus
from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical

from qvl_tui.format import count, duration
from qvl_tui.keys import Bindings
from qvl_tui.link import Link
from qvl_tui.messages import SwitchWanted
from qvl_tui.paint import BLANK, Line, Tone, choices, cut, left, wrap
from qvl_tui.screens.dialog import Dialog
from qvl_tui.sentences import interrupted
from qvl_tui.store import Store
from qvl_tui.widgets.canvas import Canvas


class Choice(NamedTuple):
    profile: str | None
    """None: whatever the file names."""
    name: str
    note: str
    model: str


class SwitchScreen(Dialog[SwitchWanted]):
    BINDINGS: ClassVar[Bindings] = [
        Binding("down,j", "move(1)", id="switch.down", tooltip="next profile"),
        Binding("up,k", "move(-1)", id="switch.up", tooltip="previous profile"),
        Binding("enter,y", "confirm", id="switch.confirm", tooltip="switch as planned"),
        Binding("escape,n,q", "dismiss(None)", id="switch.leave", tooltip="leave it"),
    ]

    def __init__(self, store: Store, link: Link, pool: PoolStatus) -> None:
        super().__init__(f"switch {pool.name} to")
        self.store = store
        self.link = link
        self.pool = pool
        self.choices: tuple[Choice, ...] = ()
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
            profiles = await self.link.profiles()
        except QvlError as error:
            self.put((((cut(error.message, self.room()), Tone.BAD),), BLANK, _keys(False)))
            return
        self.choices = tuple(offered(self.pool, profiles))
        names = [choice.profile for choice in self.choices]
        self.place = names.index(self.pool.profile) if self.pool.profile in names else 0
        await self._ask()

    async def _ask(self) -> None:
        self.plan = self.problem = None
        self._paint()
        profile = self.choices[self.place].profile
        if profile is None:
            return
        try:
            self.plan = await self.link.plan_switch(self.pool.name, profile)
        except QvlError as error:
            self.problem = f"{error.message}" + (f" → {error.hint}" if error.hint else "")
        self._paint()

    def _paint(self) -> None:
        width = self.room()
        name = max((cell_len(choice.name) for choice in self.choices), default=0) + 2
        note = max((cell_len(choice.note) for choice in self.choices), default=0) + 2
        lines: tuple[Line, ...] = tuple(
            (
                (" › " if place == self.place else "   ", Tone.ACCENT),
                (left(choice.name, name), Tone.STRONG if place == self.place else Tone.TEXT),
                (left(choice.note, note), Tone.MUTED),
                (cut(choice.model, width - 3 - name - note), Tone.FAINT),
            )
            for place, choice in enumerate(self.choices)
        )
        canvas = self.query_one("#lines", Canvas)
        canvas.show(lines, self.place)
        canvas.styles.height = min(len(lines), max(3, self.app.size.height - 16))
        canvas.reveal(self.place)
        plan = (*self._plan_lines(width), BLANK, _keys(self._ready))
        below = self.query_one("#plan", Canvas)
        below.styles.height = len(plan)
        below.show(plan)

    def _plan_lines(self, width: int) -> tuple[Line, ...]:
        if self.problem:
            return tuple(((part, Tone.BAD),) for part in wrap(self.problem, width))
        if self.choices[self.place].profile is None:
            mine = [worker for worker in self.store.workers.values() if worker.pool == self.pool.name]
            text = f"workers that run anything else restart, one after the other; now {interrupted(mine, self.store)}"
            return tuple(((part, Tone.TEXT),) for part in wrap(text, width))
        if self.plan is None:
            return ((("asking what that would do …", Tone.MUTED),),)
        return plan_lines(self.plan, self.store, width)

    @property
    def _ready(self) -> bool:
        """It was seen what would happen, and something would."""
        return self.choices[self.place].profile is None or (self.plan is not None and self.plan.changes)

    def action_move(self, step: int) -> None:
        if self.choices:
            place = min(max(self.place + step, 0), len(self.choices) - 1)
            if place != self.place:
                self.place = place
                self.run_worker(self._ask(), exclusive=True)

    def action_confirm(self) -> None:
        if self.choices and self._ready:
            self.dismiss(SwitchWanted(self.pool.name, self.choices[self.place].profile))

    @on(Canvas.Picked, "#lines")
    def _picked(self, event: Canvas.Picked) -> None:
        self.action_move(event.line - self.place)


def offered(pool: PoolStatus, profiles: Iterable[ProfileInfo]) -> Iterator[Choice]:
    """Every profile, and last, where the file's is overridden, the way back to it."""
    for profile in profiles:
        note = f"extends {profile.extends}" if profile.extends else ""
        if profile.name == pool.profile:
            note = "runs now, by a switch" if pool.override else "runs now"
        yield Choice(profile.name, profile.name, note, profile.model or profile.engine)
    if pool.override:
        yield Choice(None, "the file's profile", "ends the override", "")


_TONES = {Action.RESTART: Tone.WARN, Action.RELAYOUT: Tone.WARN, Action.STOP: Tone.WARN, Action.START: Tone.GOOD}


def plan_lines(plan: Plan, store: Store, width: int) -> tuple[Line, ...]:
    """What the plan does, worker by worker, and what that cuts off."""
    steps = [step for step in plan.steps if step.action is not Action.KEEP]
    if not steps:
        return ((("nothing changes", Tone.MUTED),),)
    lines: list[Line] = []
    for (action, keys, downtime), same in _alike(steps):
        who = same[0] if len(same) == 1 else count(len(same), "worker")
        down = "" if downtime is None else f"about {duration(downtime)} away" + (" each" if len(same) > 1 else "")
        tone = _TONES.get(action, Tone.MUTED)
        lines.append(((left(str(action), 12), tone), (who, Tone.TEXT), (f"  {down}", Tone.MUTED)))
        lines += [((" " * 12, Tone.TEXT), (part, Tone.MUTED)) for part in wrap(", ".join(keys), width - 12)[:3]]
    hit = [store.workers[step.worker] for step in steps if step.action.interrupts and step.worker in store.workers]
    if hit:
        lines.append(((f"one after the other, drained first; now {interrupted(hit, store)}", Tone.TEXT),))
    return tuple(lines)


_Kind = tuple[Action, tuple[str, ...], int | None]


def _alike(steps: list[PlanStep]) -> list[tuple[_Kind, list[str]]]:
    """Workers to which the same happens for the same reasons, together."""
    kinds: dict[_Kind, list[str]] = {}
    for step in steps:
        downtime = None if step.downtime_s is None else round(step.downtime_s)
        kinds.setdefault((step.action, tuple(key.key for key in step.keys), downtime), []).append(step.worker)
    return list(kinds.items())


def _keys(ready: bool) -> Line:
    switch = ("⏎ y", "switch", Tone.TEXT if ready else Tone.FAINT)
    return choices(switch, ("↑↓", "choose", Tone.MUTED), ("Esc n", "leave it", Tone.MUTED))

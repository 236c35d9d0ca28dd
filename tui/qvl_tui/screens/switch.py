"""Which profile a pool runs, which it may run and how they differ; the plan of a switch, the switch itself while it
goes on, and how it ended. Nothing can be confirmed before the daemon's plan of it was seen."""

from collections.abc import Iterable

from qvl.model.api import ProfileDetail, ProfileInfo
from qvl.model.error import QvlError
from qvl.model.plan import KeyChange, Plan
from qvl.model.status import PoolStatus, SwitchStatus
from textual import on
from textual.containers import Container
from textual.widget import Widget

from qvl_tui.changes import course, last_outcome
from qvl_tui.context import Context
from qvl_tui.keys import Where, bindings
from qvl_tui.paint import BLANK, Line, Tone, clip
from qvl_tui.screens.frame import Frame
from qvl_tui.session import Session
from qvl_tui.store import Topic
from qvl_tui.widgets.canvas import Canvas
from qvl_tui.widgets.plan import consequences, expected, hung, key_lines, plan_lines
from qvl_tui.widgets.profiles import Choice, choice_lines, differences, offered, pool_line, resolved_lines, runs_line
from qvl_tui.widgets.transaction import outcome_lines, outcome_sentence, transaction_lines

_WIDE = 120
"""Cells from which on the plan stands beside the profiles."""


class SwitchScreen(Frame):
    where = Where.SWITCH
    BINDINGS = bindings(Where.SWITCH)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.profiles: tuple[ProfileInfo, ...] = ()
        self.chosen: str | None = None
        """The profile under the cursor; None: the way back to the file's."""
        self.plan: Plan | None = None
        self.keys: tuple[KeyChange, ...] | None = None
        """What differs, for those who may not ask for a plan."""
        self.detail: ProfileDetail | None = None
        """What the profile under the cursor comes to."""
        self.problem = ""
        self.watched: SwitchStatus | None = None
        """The change that is, or was, looked at; it stays until the cursor moves."""
        self._pool: tuple[Session, str] | None = None
        self._known: object = None
        """What the profiles were asked for."""
        self._planned: object = None
        """What the plan was asked for."""
        self._expected: tuple[str, float | None] = ("", None)
        """The profile that was confirmed here, and how long that takes."""

    def body(self) -> Iterable[Widget]:
        yield Canvas("pools", "data")
        with Container(id="switch"):
            with Container(id="offered"):
                yield Canvas("choices", "data scrolls")
                yield Canvas("resolved", "data scrolls")
            yield Canvas("plan", "data scrolls")

    # --- what is shown --------------------------------------------------------------------------------------------

    def draw(self, topics: set[Topic]) -> None:
        super().draw(topics)
        width, height = self.size
        if not width:
            return
        self.set_class(width >= _WIDE, "-wide")
        self.set_class(width >= 170, "-huge")
        pool = self.context.pool
        if pool is None:
            self.canvas("pools").show((((" no pool is configured", Tone.MUTED),),))
            return
        if (here := (self.context.session, pool.name)) != self._pool:
            self._pool, self.chosen, self.watched = here, pool.profile, None
        self._ask(pool)
        self.canvas("pools").show((pool_line(self.store.pools, pool.name, width), runs_line(pool, width)))
        choices = self.choices(pool)
        place = self.place(choices)
        canvas = self.canvas("choices")
        canvas.styles.height = min(max(len(choices), 1), max(3, height // (2 if width >= _WIDE else 4)))
        room = (48 if width < 170 else 70) if width >= _WIDE else width
        canvas.show(choice_lines(choices, place, room - 1), place if choices else None)
        canvas.reveal(place)
        resolved = self.canvas("resolved")
        title = f"{self.detail.name}, as {pool.name} runs it" if self.detail else ""
        if resolved.border_title != title:  # it repaints all of it, also where it is the same
            resolved.border_title = title
        resolved.show(resolved_lines(self.detail, room - 1) if self.detail else ())
        self.canvas("plan").show(self._below(pool, choices, place, (width - room if width >= _WIDE else width) - 2))

    def choices(self, pool: PoolStatus) -> tuple[Choice, ...]:
        return offered(pool, self.profiles)

    def place(self, choices: tuple[Choice, ...]) -> int:
        names = [choice.profile for choice in choices]
        return names.index(self.chosen) if self.chosen in names else 0

    def _below(self, pool: PoolStatus, choices: tuple[Choice, ...], place: int, width: int) -> tuple[Line, ...]:
        """The change under way, else the one that has just ended, else the plan of the profile under the cursor."""
        mono = self.context.clock()
        now = self.store.now(mono)
        asked = self.context.acts.changes.of(pool.name, mono)
        head: tuple[Line, ...] = ()
        if asked:
            head = (((" ◌ ", Tone.ACCENT), (f"{asked}: asked, not confirmed yet", Tone.ACCENT)), BLANK)
        if pool.switch is not None:
            self.watched = pool.switch
            time = self._expected[1] if self._expected[0] == pool.switch.to else None
            return (*head, *transaction_lines(pool, pool.switch, self.store, now, time, width))
        told = last_outcome(tuple(self.store.events), pool.name)
        if self.watched is not None and told is not None and told.at >= self.watched.started_at:
            so_far = course(self.store.events, pool.name, self.watched.started_at)
            more: Line = ((" ↑↓ shows the plan again", Tone.FAINT),)
            return (*head, *outcome_lines(told, so_far, width), BLANK, more)
        lines = [*head, *self._plan_lines(pool, choices[place] if choices else None, width)]
        if told is not None:
            lines += [BLANK, ((" last change", Tone.FAINT),), *outcome_sentence(told, width)]
        return tuple(lines)

    def _plan_lines(self, pool: PoolStatus, choice: Choice | None, width: int) -> list[Line]:
        if self.problem:
            return hung("✕ ", Tone.BAD, self.problem, width)
        if choice is None:
            return [((" asking for the profiles …", Tone.MUTED),)]
        # Where there is little room, the list above has said it.
        roomy = self.size.height >= 32 or choice.profile is None
        lines: list[Line] = [self._about(choice, width), BLANK] if roomy else []
        if self.keys is not None:
            lines += key_lines(self.keys, width) or [((" nothing differs from what runs", Tone.MUTED),)]
            why = "this view is read-only" if self.store.readonly else "only operators may plan and switch"
            return [*lines, BLANK, *hung("", Tone.MUTED, f"{why}; above is what differs from {pool.profile}.", width)]
        if self.plan is None:
            return [*lines, ((" asking what that would do …", Tone.MUTED),)]
        lines += plan_lines(self.plan, self.store, width)
        if self.plan.changes and self.store.may_act:
            lines += [BLANK, ((" ⏎ ", Tone.ACCENT), ("switches, after a question", Tone.MUTED))]
        return lines

    def _about(self, choice: Choice, width: int) -> Line:
        told = next((each for each in self.profiles if each.name == choice.profile), None)
        name = choice.name
        if choice.profile is None and self.plan is not None:  # which one that is, only its plan tells
            names = {str(key.new) for step in self.plan.steps for key in step.keys if key.key == "profile"}
            name = ", ".join((name, *sorted(names)))
        line: Line = ((f" {name}", Tone.STRONG),)
        if told is not None:
            parts = [told.model, f"on {told.engine}", f"extends {told.extends}" if told.extends else ""]
            line += ((f"  {' · '.join(filter(None, parts))}", Tone.MUTED),)
        return clip(line, width)

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask(self, pool: PoolStatus) -> None:
        """Ask for what is shown where it may have changed: profiles with the configuration and with a new connection,
        plans with the pool too."""
        if not self.store.live:
            return
        session = self.context.session
        applied = self.store.supervisor.config.applied if self.store.supervisor else None
        known = (session, applied, self.store.link.since)
        if known != self._known:
            if not isinstance(self._known, tuple) or self._known[0] != known[0]:
                self.profiles = ()  # of another host; those of before an edit stay until the new ones are here
            self._known, self._planned, self.problem = known, None, ""
            self.run_worker(self._load(), exclusive=True, group="profiles")
            return
        ways = self.store.may_act, pool.switch is None
        planned = (known, pool.name, pool.profile, pool.override, ways, self.chosen)
        if planned != self._planned and self.profiles:
            self._planned = planned
            self.plan = self.keys = None
            self.problem = ""
            self.run_worker(self._ask_plan(pool, self.chosen), exclusive=True, group="plan")

    async def _load(self) -> None:
        try:
            self.profiles = await self.context.link.profiles()
        except QvlError as error:
            self._failed(error)
        self.show({Topic.STATE})

    async def _ask_plan(self, pool: PoolStatus, profile: str | None) -> None:
        try:
            self.detail = await self._detail(profile, pool) if profile is not None else None
            if pool.switch is not None:
                pass  # it is shown instead, and changes what there would be to plan
            elif self.store.may_act:
                self.plan = await self.context.link.plan_switch(pool.name, profile)
            elif self.detail is None:
                self.keys = ()
            else:
                self.keys = differences(await self._detail(pool.profile, pool), self.detail)
        except QvlError as error:
            self._failed(error)
        self.show({Topic.STATE})

    async def _detail(self, name: str, pool: PoolStatus) -> ProfileDetail:
        return await self.context.link.profile(name, pool.name)

    def _failed(self, error: QvlError) -> None:
        self.problem = error.message + (f" → {error.hint}" if error.hint else "")

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_move(self, step: int) -> None:
        pool = self.context.pool
        if pool is not None and (choices := self.choices(pool)):
            place = 0 if abs(step) >= len(choices) and step < 0 else self.place(choices) + step
            self._choose(choices[min(max(place, 0), len(choices) - 1)].profile)

    def action_edge(self, side: int) -> None:
        self.action_move(side * 10_000)

    def _choose(self, profile: str | None) -> None:
        self.chosen, self.watched = profile, None
        self.show({Topic.STATE})

    def action_pool(self, step: int) -> None:
        """To the first worker of the pool beside this one: the worker in focus says which pool is."""
        pools = self.store.pools
        here = self.context.pool
        if here is None:
            return
        there = pools[min(max(pools.index(here) + step, 0), len(pools) - 1)]
        first = next((worker.name for worker in self.store.rows() if worker.pool == there.name), None)
        if first is not None and there is not here:
            self.context.focus(self.context.session, first)
            self.refocus()

    def action_again(self) -> None:
        self._planned = self._known = None
        self.refocus()

    def action_page(self, pages: int) -> None:
        self.canvas("plan").page(pages)

    def action_reset(self) -> None:
        pool = self.context.pool
        if pool is None or not self.context.acts.permitted("a reset"):
            return
        if pool.override is None:
            self.app.notify(f"{pool.name} runs what the file says: there is nothing to reset", timeout=3)
        else:
            self._choose(None)

    def action_confirm(self) -> None:
        pool, acts = self.context.pool, self.context.acts
        if pool is None or not acts.permitted("a switch"):
            return
        if pool.switch is not None:
            self.app.notify("a change is under way: c takes it back", timeout=3)
            return
        plan, profile = self.plan, self.chosen
        if plan is None or not plan.changes:
            why = "there is no plan of it yet" if plan is None else "it runs already: nothing would change"
            self.app.notify(why, timeout=3)
            return
        lines = consequences(plan, self.store)
        waits = [warning for warning in plan.warnings if warning.waits]
        lines += [f"{waits[0].worker} would wait: {waits[0].message}."] if waits else []
        title = f"switch {pool.name} to {profile}?" if profile else f"take {pool.name} back to the file's profile?"

        def send() -> None:
            self._expected = (profile or "", expected(plan))
            acts.switch(pool.name, profile)

        acts.confirm(title, lines, "switch", send)

    def action_cancel(self) -> None:
        pool, acts = self.context.pool, self.context.acts
        if pool is None or not acts.permitted("to take it back"):
            return
        switch = pool.switch
        if switch is None:
            self.app.notify("no change is under way", timeout=3)
        elif switch.why is not None:
            self.app.notify("it goes back already", timeout=3)
        else:
            done = (
                f"{switch.done} of {switch.total} are through; what was changed goes back, which takes as long again."
            )
            acts.confirm(
                f"take the change of {pool.name} back?", [done], "take it back", lambda: acts.cancel(pool.name)
            )

    @on(Canvas.Picked, "#choices")
    def _picked(self, event: Canvas.Picked) -> None:
        pool = self.context.pool
        if pool is not None and event.line < len(choices := self.choices(pool)):
            self._choose(choices[event.line].profile)

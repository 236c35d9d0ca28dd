"""Logs: of one worker, or of all of a host in one. Keys and pictures; what they mean is `qvl_tui.logs`."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import replace

from qvl.model.error import QvlError
from textual import on
from textual.widget import Widget
from textual.widgets import Input

from qvl_tui.context import Context
from qvl_tui.keys import Where, bindings
from qvl_tui.logs import told
from qvl_tui.logs.around import traceback_at
from qvl_tui.logs.desk import Desk
from qvl_tui.logs.feed import LEVELS, Feed
from qvl_tui.logs.items import Folds
from qvl_tui.logs.rows import Look, item_at
from qvl_tui.logs.stamps import Stamps
from qvl_tui.logs.tags import tags
from qvl_tui.paint import Line, Tone, spread
from qvl_tui.screens.frame import Frame
from qvl_tui.screens.log_hunting import Hunting
from qvl_tui.screens.log_taking import Taking
from qvl_tui.sentences import state, why
from qvl_tui.store import LinkPhase, Topic
from qvl_tui.widgets.log_view import PACE, LogView

MEASURE_SECONDS = 3.0
"""Between two looks at how far the logs reach, and which runs they have."""


class LogScreen(Taking, Hunting, Frame):
    where = Where.LOG
    BINDINGS = bindings(Where.LOG)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.together = False
        self.folds = Folds()
        self.session = context.session
        self.desk = self._desk()
        self.view = LogView(self.desk, "log", "data")

    def body(self) -> Iterable[Widget]:
        yield self.view
        field = Input(id="prompt", compact=True, select_on_focus=False)
        field.cursor_blink = False
        yield field

    # --- desks ----------------------------------------------------------------------------------------------------

    def _desk(self) -> Desk:
        worker, prefs = self.context.worker, self.context.prefs
        every = [known.name for known in self.context.store.rows()] if self.together else []
        workers = every or ([worker] if worker else [])
        stamps = Stamps(prefs.log_stamps) if prefs.log_stamps in tuple(Stamps) else Stamps.ABSOLUTE
        look = Look(80, wrap=prefs.log_wrap, stamps=stamps, tags=tags(workers) if len(workers) > 1 else None)
        least = prefs.log_level if prefs.log_level in LEVELS else "all"
        return Desk(self.context.link, workers, least=least, look=look, folds=self.folds)

    def on_mount(self) -> None:
        self.set_interval(PACE, self._tick)
        self.set_focus(None)
        self._begin()

    def _begin(self, then: Coroutine[None, None, None] | None = None) -> None:
        """Read the logs of the desk from now on; `then` looks somewhere else than at their end."""
        desk = self.desk

        async def opened() -> None:
            await desk.open()
            for feed in desk.feeds:
                self.run_worker(feed.follow(), name="log", group="follow")
            self.run_worker(self._measure(desk), name="log", group="follow")
            self.picture()
            if then is not None:
                await self._asked(then)

        self.run_worker(opened(), name="log-open", group="follow")

    async def _measure(self, desk: Desk) -> None:
        """Learn how far those logs reach whose ends aren't read, and of new runs of all."""
        seen: dict[str, int | None] = {}
        while True:
            pids = {worker.name: worker.pid for worker in self.store.rows()}
            for feed in desk.shown:
                pid = pids.get(feed.worker)
                if feed.part.at_bottom and seen.get(feed.worker, pid) == pid:
                    continue
                before = feed.extent
                try:
                    await feed.measure()
                except QvlError:
                    break  # that the daemon can't be reached is told by the banner
                if before != feed.extent:
                    desk.touch()
            seen = pids
            await asyncio.sleep(MEASURE_SECONDS)

    def _change(self, *, keep: bool = True) -> None:
        """Begin with another desk: other workers, or another level. `keep`: stay at what one looks at."""
        old, here = self.desk, self.desk.place.current
        self.workers.cancel_group(self, "follow")
        self.workers.cancel_group(self, "fill")
        self.workers.cancel_group(self, "search")
        self.desk = self.view.desk = self._desk()
        self.desk.hunt = old.hunt
        self.desk.look = replace(self.desk.look, spots=old.look.spots)
        then = None
        names = [feed.worker for feed in self.desk.feeds]
        if keep and here is not None and not old.place.following:
            worker = old.feeds[here.entry.feed].worker
            if worker in names:
                then = self.desk.go(worker, here.entry.offset, here.entry.stamp.at)
        self._begin(then)

    def refocus(self) -> None:
        names = [feed.worker for feed in self.desk.feeds]
        if self.session is not self.context.session or self.context.worker not in names:
            self.session = self.context.session
            self._change(keep=False)
        super().refocus()

    # --- pictures -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self.desk.dirty or self.busy:
            self.picture()

    def picture(self) -> None:
        """Show the logs as they are now, and fetch what the view lacks."""
        if not self.there:
            return
        self.view.paint()
        self.canvas("banner").show((self.banner(self.size.width),))
        for feed in self.desk.lacking():
            if feed.part.feed not in self.desk.filling:
                self.desk.filling.add(feed.part.feed)
                self.run_worker(self._fill(self.desk, feed), name="log-fill", group="fill")
        if wanted := self.desk.baseless():
            asked = self._asked(self.desk.learn_bases(wanted))
            self.run_worker(asked, name="log-bases", group="bases", exclusive=True)

    async def _fill(self, desk: Desk, feed: Feed) -> None:
        await desk.fill(feed)
        if desk.dirty and self.there:
            self.view.paint()

    async def _asked(self, asked: Coroutine[None, None, None]) -> None:
        try:
            await asked
        except QvlError as error:
            self.say(error.message)
        self.picture()

    def draw(self, topics: set[Topic]) -> None:
        super().draw(topics)
        if self.together:
            known = {worker.name for worker in self.store.rows()}
            if known and known != {feed.worker for feed in self.desk.feeds}:
                self._change()  # workers came or went
        elif not self.desk.feeds and self.context.worker:
            self._change(keep=False)  # the first snapshot names one

    def banner(self, width: int) -> Line:
        if self.store.link.phase is LinkPhase.DOWN:
            return super().banner(width)
        news = self.news
        end = told.mode(self.desk, wrap=self.desk.look.wrap, short=news is not None and width < 120)
        text, tone = news or self._about()
        return spread(((f" {text}", tone),), end, width)

    def _about(self) -> tuple[str, Tone]:
        if self.together:
            return f"{len(self.desk.shown)} of {len(self.desk.feeds)} logs in one, by time", Tone.MUTED
        worker = self.context.status
        if worker is None:
            return (
                "no worker" if not self.context.worker else f"{self.context.worker} is no longer configured",
                Tone.WARN,
            )
        known = state(worker)
        text = why(worker, self.store.now(self.context.clock()))
        if not text and worker.last_exit:
            last = worker.last_exit
            text = f"last exit: {last.cause.value}" + (f", {last.evidence}" if last.evidence else "")
        tone = known.tone if known.tone in (Tone.WARN, Tone.BAD) else Tone.MUTED
        return f"{known.glyph} {worker.name}  {text or worker.endpoint}", tone

    # --- keys: where one looks ------------------------------------------------------------------------------------

    def _moved(self, *, down: bool) -> None:
        place = self.desk.place
        if down and self.desk.complete and place.ends and place.cursor == len(place.items) - 1:
            self.action_follow()
            return
        self.say("")
        self.picture()

    def action_follow(self) -> None:
        self.say("")
        if self.desk.follow():
            self.picture()
        else:
            self.run_worker(self._asked(self.desk.open()), name="log-open", group="go", exclusive=True)

    def action_pause(self) -> None:
        if self.desk.place.following:
            self.desk.hold()
            self._moved(down=False)
        else:
            self.action_follow()

    def action_scroll(self, lines: int) -> None:
        self.desk.hold()
        last = self.desk.place.cursor == len(self.desk.place.items) - 1
        self.desk.place.step(lines)
        self._moved(down=lines > 0 and last)

    def action_page(self, pages: int) -> None:
        self.desk.hold()
        self.desk.place.page(pages)
        self._moved(down=pages > 0)

    def action_half(self, halves: int) -> None:
        self.desk.hold()
        self.desk.place.scroll(halves * max(1, self.desk.place.height // 2))
        self._moved(down=halves > 0)

    @on(LogView.Wheel)
    def _wheel(self, event: LogView.Wheel) -> None:
        self.desk.hold()
        self.desk.place.scroll(event.lines)
        if event.lines > 0 and self.desk.place.ends:
            self.desk.place.step(len(self.desk.place.items))
        self._moved(down=event.lines > 0)

    @on(LogView.Picked, "#log")
    def _picked(self, event: LogView.Picked) -> None:
        place = self.desk.place
        if event.x >= self.view.size.width - 1 and self.desk.feeds:
            worker = self.desk.feeds[place.current.entry.feed if place.current else 0].worker
            self.go(self.desk.go_share(worker, event.line / max(self.view.size.height - 1, 1)))
        elif (at := item_at(place, event.line)) is not None:
            again = at == place.cursor and not place.following
            self.desk.hold()
            place.step(at - place.cursor)
            if again:
                self.action_fold()
            self._moved(down=False)

    def action_top(self) -> None:
        self.go(self.desk.to_top())

    def action_run(self, by: int) -> None:
        self.desk.hold()

        async def to_run() -> None:
            if not await self.desk.run(by):
                self.say("no run before this one" if by < 0 else "no run after this one")

        self.go(to_run())

    def go(self, asked: Coroutine[None, None, None]) -> None:
        """Look elsewhere; whatever was on its way there is dropped."""
        self.workers.cancel_group(self, "fill")
        self.desk.filling.clear()  # one that had not begun can't do that itself
        self.say("")
        self.run_worker(self._asked(asked), name="log-go", group="go", exclusive=True)

    # --- keys: how it is shown ------------------------------------------------------------------------------------

    def action_sideways(self, steps: int) -> None:
        look = self.desk.look
        shift = 0 if steps == 0 else max(0, look.shift + steps * max(8, look.width // 3))
        self.desk.look = replace(look, shift=shift)
        self.picture()

    def action_wrap(self) -> None:
        prefs = self.context.prefs
        prefs.log_wrap = not prefs.log_wrap
        self.desk.look = replace(self.desk.look, wrap=prefs.log_wrap, shift=0)
        self.desk.touch()
        self.picture()

    def action_stamps(self) -> None:
        known = list(Stamps)
        stamps = known[(known.index(self.desk.look.stamps) + 1) % len(known)]
        self.context.prefs.log_stamps = stamps.value
        self.desk.look = replace(self.desk.look, stamps=stamps)
        self.desk.touch()
        relative = "times since each run began" if stamps is Stamps.RELATIVE else f"times {stamps.value}"
        self.say(relative if stamps is not Stamps.ABSOLUTE else "times as they stand in the log")
        self.picture()

    def action_fold(self) -> None:
        here = self.desk.place.current
        if here is None:
            return
        body = here.hidden[0] if here.hidden else traceback_at(self.desk.place.items, self.desk.place.cursor)
        if body is None:
            self.say("no traceback here")
        else:
            self.folds.turn(body)
        self.desk.hold()
        self.desk.touch()
        self.picture()

    def action_folds(self) -> None:
        self.folds.turn_all()
        self.desk.touch()
        self.say("all tracebacks unfolded" if self.folds.all_open else "all tracebacks folded")
        self.picture()

    def action_level(self) -> None:
        known = list(LEVELS)
        prefs = self.context.prefs
        prefs.log_level = known[(known.index(self.desk.least) + 1) % len(known)]
        self.say("")
        self._change()
        self.picture()

    # --- keys: whose logs -----------------------------------------------------------------------------------------

    def action_all(self) -> None:
        self.together = not self.together
        here = self.desk.place.current
        if not self.together and here is not None:
            self.context.worker = self.desk.feeds[here.entry.feed].worker
        self.say("")
        self._change()
        self.show(set(Topic))

    def action_only(self) -> None:
        if self.together and self.desk.place.current is not None:
            self.action_all()

    def action_hide(self) -> None:
        here = self.desk.place.current
        if not self.together or here is None:
            self.say("only one log is shown; a shows all")
        elif len(self.desk.shown) > 1:
            worker = self.desk.feeds[here.entry.feed].worker
            self.desk.hidden.add(worker)
            self.desk.touch()
            self.say(f"{worker} is hidden; X shows it again")
        self.picture()

    def action_unhide(self) -> None:
        self.desk.hidden.clear()
        self.say("")
        self.desk.touch()
        self.picture()

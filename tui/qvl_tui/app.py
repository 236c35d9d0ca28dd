"""The Textual program: wires links, stores and screens, and decides what is painted when. It shows nothing itself."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from qvl.model.worker import Phase
from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.app import App, SystemCommand
from textual.screen import Screen
from textual.worker import WorkerFailed

from qvl_tui import crash
from qvl_tui.acts import Acts
from qvl_tui.context import Context
from qvl_tui.ending import Ending, terminal_is_gone
from qvl_tui.keymap import Keymap
from qvl_tui.keys import SCREENS, Where, bindings
from qvl_tui.link import Link
from qvl_tui.paint import UNSAFE
from qvl_tui.prefs import Preferences, save
from qvl_tui.screens.dialog import Dialog
from qvl_tui.screens.fleet import FleetScreen
from qvl_tui.screens.frame import Frame
from qvl_tui.session import Session
from qvl_tui.shadow import Shadow
from qvl_tui.store import Store, Topic
from qvl_tui.terminfo import erases
from qvl_tui.theme import THEMES
from qvl_tui.watching import Watch

BEAT = 2.0
"""Seconds between two pictures of figures and ages: faster than that nobody reads them."""
PACE = 0.05
"""Seconds in which changes of state are gathered into one picture."""
_HOMES = {
    Where.WORKER: "worker:WorkerScreen",
    Where.LOG: "logs:LogScreen",
    Where.METRICS: "metrics:MetricsScreen",
    Where.SWITCH: "switch:SwitchScreen",
    Where.CONFIG: "config:ConfigScreen",
}
"""Screens are imported when they are first opened: the first picture must not wait for them."""


_CONTROLS = dict.fromkeys(set(UNSAFE) - {ord("\n")})


class QvlApp(App[None]):
    TITLE = "qvl"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    BINDINGS = bindings(Where.EVERYWHERE)
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        links: Sequence[Link],
        *,
        owned: bool = False,
        readonly: bool = False,
        interval: float = BEAT,
        prefs: Preferences | None = None,
        keymap: Keymap | None = None,
        home: Path | None = None,
        on_quit: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`owned`: the daemon belongs to this terminal, so that to quit asks first and then calls `on_quit`.
        `interval`: seconds between two pictures of figures. `home`: where preferences and reports of crashes are kept;
        None: nowhere."""
        super().__init__()
        self.owned = owned
        self.on_quit = on_quit
        self.clock = clock
        self.interval = interval
        self.home = home
        self.report: Path | None = None
        """What a crash left for its reader."""
        self.context = Context(
            [self._session(link, readonly) for link in links], clock, prefs or Preferences(), keymap or Keymap()
        )
        self.context.worker = self.context.prefs.worker or None
        self.watches = [Watch(each, clock, self._changed, self._introduce) for each in self.context.sessions]
        self.due: set[Topic] = set()
        """What changed since the last picture."""
        self._shadow = Shadow(erases=erases())
        self._ending: Ending | None = None
        self.animation_level = "none"
        for theme in THEMES:
            self.register_theme(theme)
        names = [theme.name for theme in THEMES]
        self.theme = self.context.prefs.theme if self.context.prefs.theme in names else names[0]
        self.set_keymap(self.context.keymap.own)

    def _session(self, link: Link, readonly: bool) -> Session:
        store = Store(readonly=readonly)
        return Session(link, store, Acts(self, link, store, self.clock, self._changed))

    def get_default_screen(self) -> Screen[None]:
        return FleetScreen(self.context)

    def on_mount(self) -> None:
        self.set_interval(self.interval, self._beat)
        self.app_resume_signal.subscribe(self, lambda _: self._shadow.forget())
        if not (self.is_headless or self.is_web):
            self._ending = Ending(self.exit)
            self.call_after_refresh(_collect_from_now_on)
        for watch in self.watches:
            self.run_worker(self.follow(watch), name="link")
            if watch.session.begun is not None:
                self._introduce(watch)
        for fault in self.context.keymap.faults:
            self.notify(fault, title="keys", severity="warning", timeout=10)
        if self.context.prefs.screen != Where.FLEET and self.context.prefs.screen in SCREENS:
            self.call_after_refresh(self.action_show, self.context.prefs.screen)

    # --- the links ------------------------------------------------------------------------------------------------

    async def run_async(self, **how: Any) -> None:
        await asyncio.gather(*(watch.begin() for watch in self.watches))
        try:
            await super().run_async(**how)
        finally:
            # Only now is all of it written: a terminal that takes nothing in blocks until the last byte.
            if self._ending is not None:
                self._ending.done()

    async def follow(self, watch: Watch) -> None:
        await watch.follow()

    def _introduce(self, watch: Watch) -> None:
        self.run_worker(watch.introduce(), name="introduce")

    # --- pictures -------------------------------------------------------------------------------------------------

    def _changed(self, topics: set[Topic]) -> None:
        if topics and not self.due:
            # Whoever sees nothing yet is not made to wait for more.
            self.set_timer(PACE if self.context.live else 0.001, self.paint)
        self.due |= topics

    def paint(self) -> None:
        """Show what changed since the last picture."""
        topics, self.due = self.due, set()
        self.context.settle()
        for screen in reversed(self.screen_stack):
            if isinstance(screen, Frame | Dialog) and screen.is_mounted and screen.is_attached:
                screen.show(topics)
            if isinstance(screen, Frame):
                break  # what lies below is hidden, and shows all once it comes up again

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        # Only what Textual is going to write counts as shown.
        writes = self._running and not self._closed and not self._batch_count and not self.is_headless
        if writes and isinstance(renderable, CompositorUpdate):
            renderable = self._shadow.narrowed(renderable, self.console)
        super()._display(screen, renderable)

    def _beat(self) -> None:
        if self._ending is not None and terminal_is_gone():
            self.exit()
        topics = {Topic.FIGURES, Topic.LINK}
        for session in self.context.sessions:
            session.store.publish()
            topics |= session.store.expire(self.clock())
        self._changed(topics)

    def on_resize(self) -> None:
        self._shadow.forget()

    # --- screens --------------------------------------------------------------------------------------------------

    def action_show(self, name: str) -> None:
        """Go to a screen. The fleet lies below all others, so that there is one way back."""
        where = Where(name)
        here = self.screen
        if not isinstance(here, Frame) or here.where is where:
            return
        self.context.prefs.screen = where.value
        if where is Where.FLEET:
            self.pop_screen()
            return
        module, _, title = _HOMES[where].partition(":")
        made: Screen[None] = getattr(import_module(f"qvl_tui.screens.{module}"), title)(self.context)
        if here.where is Where.FLEET:
            self.push_screen(made)
        else:
            self.switch_screen(made)

    async def action_back(self) -> None:
        self.action_show(Where.FLEET)

    def action_step(self, by: int) -> None:
        self.context.step(by)
        if isinstance(self.screen, Frame):
            self.screen.refocus()

    def action_help(self) -> None:
        from qvl_tui.screens.help import HelpScreen

        where = self.screen.where if isinstance(self.screen, Frame) else Where.FLEET
        self.push_screen(HelpScreen(self.context, where))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        from qvl_tui.palette import commands

        return commands(self, screen)

    def action_redraw(self) -> None:
        self._shadow.forget()
        self.screen.refresh(layout=True)

    def action_theme(self, name: str = "") -> None:
        """The theme of that name, else the next one."""
        names = [theme.name for theme in THEMES]
        self.theme = name or names[(names.index(self.theme) + 1) % len(names)]
        self.context.prefs.theme = self.theme

    # --- the end --------------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Quit. The workers are the daemon's: they end only with a daemon that is this terminal's own."""
        if not self.owned:
            self.exit()
            return
        up = sum(worker.phase not in (Phase.STOPPED, Phase.FAILED) for worker in self.context.store.workers.values())
        lines = [f"The daemon runs in this terminal and ends with it, and so do its workers ({up} up)."]

        def ended() -> None:
            if self.on_quit is not None:
                self.on_quit()
            self.exit()

        self.context.acts.confirm("quit, and end the daemon?", lines, "quit", ended)

    def notify(self, message: str, **how: Any) -> None:
        """Words of daemons and of users are no markup, whatever brackets stand in them."""
        super().notify(message.translate(_CONTROLS), **{"markup": False} | how)

    def action_help_quit(self) -> None:
        self.notify("q leaves", timeout=2)

    async def action_quit(self) -> None:
        self.action_leave()

    def on_unmount(self) -> None:
        self.context.prefs.worker = self.context.worker or ""
        if self.home is not None:
            save(self.home / "tui.json", self.context.prefs)

    def _handle_exception(self, error: Exception) -> None:
        """A crash: the terminal is restored first, and told of afterwards (`qvl_tui.main`)."""
        cause = error.error if isinstance(error, WorkerFailed) and isinstance(error.error, Exception) else error
        if self.home is not None and self._exception is None:
            screen = type(self.screen).__name__ if self._screen_stacks[self.current_mode] else "none"
            size = self.size.width, self.size.height
            self.report = crash.report(cause, self.home, size=size, screen=screen, seq=self.context.store.seq)
        super()._handle_exception(cause)

    def _fatal_error(self) -> None:
        # Textual would print the values of variables here.
        self._close_messages_no_wait()

    @property
    def crashed(self) -> BaseException | None:
        return self._exception


def _collect_from_now_on() -> None:
    """What a start has made stays, and need not be looked through again; what comes and goes is found early, so that a
    day of frames takes no more memory than an hour."""
    gc.freeze()
    gc.set_threshold(2_000, 10, 10)

"""The Textual program: wires link, store and screens, and does what screens ask for. It shows nothing itself."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from qvl.model.error import QvlError
from qvl.model.event import Frame as WireFrame
from qvl.model.event import Snapshot
from qvl.model.worker import Phase
from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.app import App, SystemCommand
from textual.screen import Screen

from qvl_tui.acts import VERBS, Acts
from qvl_tui.keys import KEYS, Where, bindings
from qvl_tui.link import Link, follow
from qvl_tui.messages import ActWanted, CancelWanted, Linked, Received, SwitchWanted
from qvl_tui.screens.dialog import Dialog
from qvl_tui.screens.fleet import FleetScreen
from qvl_tui.screens.frame import Frame
from qvl_tui.shadow import Shadow
from qvl_tui.store import LinkPhase, Store, Topic
from qvl_tui.theme import DARK, LIGHT

BEAT = 2.0
"""Seconds between two pictures of figures and ages: faster than that nobody reads them."""
PACE = 0.05
"""Seconds in which changes of state are gathered into one picture."""


class QvlApp(App[None]):
    TITLE = "qvl"
    CSS_PATH = "app.tcss"
    BINDINGS = bindings(Where.EVERYWHERE)
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        link: Link,
        *,
        owned: bool = False,
        readonly: bool = False,
        on_quit: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`owned`: the daemon belongs to this terminal, so that to quit asks first and then calls `on_quit`."""
        super().__init__()
        self.link = link
        self.owned = owned
        self.on_quit = on_quit
        self.clock = clock
        self.store = Store(readonly=readonly)
        self.acts = Acts(self, link, self.store, clock, self._changed)
        self.due: set[Topic] = set()
        """What changed since the last picture."""
        self._shadow = Shadow()
        self.animation_level = "none"
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    def get_default_screen(self) -> Screen[None]:
        return FleetScreen(self.store, self.clock, self.acts)

    def on_mount(self) -> None:
        self.set_interval(BEAT, self._beat)
        self.app_resume_signal.subscribe(self, lambda _: self._shadow.forget())
        if not self.is_headless:
            # Asked to end from outside, the terminal is left as it was found.
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self.run_worker(self._follow(), name="link")

    # --- the link -------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        await follow(self.link, lambda: self.store.last_event, self)

    def linked(self, phase: LinkPhase, reason: str = "") -> None:
        self.post_message(Linked(phase, reason))

    def received(self, frame: WireFrame) -> None:
        self.post_message(Received(frame, self.clock()))

    def on_linked(self, message: Linked) -> None:
        self._changed(self.store.linked(message.phase, self.clock(), message.reason))

    def on_received(self, message: Received) -> None:
        first = self.store.supervisor is None
        self._changed(self.store.apply(message.frame, message.at) - ({Topic.FIGURES} if not first else set()))
        if isinstance(message.frame, Snapshot):
            self.run_worker(self._introduce(), name="introduce", exclusive=True, group="introduce")

    async def _introduce(self) -> None:
        """What is asked once a connection: who we are to the daemon, and the figures of the last minutes."""
        try:
            self.store.role = (await self.link.whoami()).role
            self._changed({Topic.STATE} | self.store.seed(await self.link.history()))
        except QvlError as error:
            self.log.warning(error.message)

    # --- pictures -------------------------------------------------------------------------------------------------

    def _changed(self, topics: set[Topic]) -> None:
        if topics and not self.due:
            # Whoever sees nothing yet is not made to wait for more.
            self.set_timer(PACE if self.store.live else 0.001, self._paint)
        self.due |= topics

    def _paint(self) -> None:
        topics, self.due = self.due, set()
        for screen in self.screen_stack:
            if isinstance(screen, Frame | Dialog) and screen.is_mounted and screen.is_attached:
                screen.show(topics)

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if isinstance(renderable, CompositorUpdate):
            renderable = self._shadow.narrowed(renderable)
        super()._display(screen, renderable)

    def _beat(self) -> None:
        self.store.publish()
        self._changed({Topic.FIGURES, Topic.LINK} | self.store.expire(self.clock()))

    # --- acts -----------------------------------------------------------------------------------------------------

    def on_act_wanted(self, message: ActWanted) -> None:
        self.run_worker(self.acts.act(message))

    def on_switch_wanted(self, message: SwitchWanted) -> None:
        self.run_worker(self.acts.switch(message))

    def on_cancel_wanted(self, message: CancelWanted) -> None:
        self.run_worker(self.acts.cancel(message))

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_log(self, worker: str) -> None:
        from qvl_tui.screens.logs import LogScreen

        self.push_screen(LogScreen(self.store, self.clock, self.link, worker))

    def action_profiles(self, name: str) -> None:
        """Which profile a pool shall run; while it is being changed, how far that is."""
        pool = next((pool for pool in self.store.pools if pool.name == name), None)
        if pool is None:
            return
        if pool.switch is not None:
            from qvl_tui.screens.change import ChangeScreen

            self.push_screen(ChangeScreen(self.store, self.clock, pool))
        elif self.acts.permitted("switch"):
            from qvl_tui.screens.switch import SwitchScreen

            def chosen(wanted: SwitchWanted | None) -> None:
                if wanted is not None:
                    self.post_message(wanted)

            self.push_screen(SwitchScreen(self.store, self.link, pool), chosen)

    def action_help(self) -> None:
        from qvl_tui.screens.help import HelpScreen

        self.push_screen(HelpScreen())

    def on_resize(self) -> None:
        self._shadow.forget()

    def action_redraw(self) -> None:
        self._shadow.forget()
        self.screen.refresh(layout=True)

    def action_theme(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def action_leave(self) -> None:
        """Quit. The workers are the daemon's: they end only with a daemon that is this terminal's own."""
        if not self.owned:
            self.exit()
            return
        from qvl_tui.screens.confirm import ConfirmScreen

        up = sum(worker.phase not in (Phase.STOPPED, Phase.FAILED) for worker in self.store.workers.values())
        lines = [f"The daemon runs in this terminal and ends with it, and so do its workers ({up} up)."]

        def answered(yes: bool | None) -> None:
            if yes:
                if self.on_quit is not None:
                    self.on_quit()
                self.exit()

        self.push_screen(ConfirmScreen("quit, and end the daemon?", lines, yes="quit"), answered)

    def action_help_quit(self) -> None:
        self.notify("q leaves", timeout=2)

    async def action_quit(self) -> None:
        self.action_leave()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The command palette: every key that does something here, each worker's log, and acts on whole pools."""
        for key in KEYS:
            local = isinstance(screen, Frame) and key.where is screen.where
            if key.id != "app.palette" and (local or key.where is Where.EVERYWHERE):
                action = key.action
                node = screen if local else self
                yield SystemCommand(key.label or key.tooltip, key.tooltip, lambda a=action, n=node: self._run(a, n))
        for name in self.store.workers:
            yield SystemCommand(f"log {name}", "live log", lambda name=name: self.action_log(name))

        for pool in self.store.pools:
            for verb in VERBS:
                what = f"{verb} all workers of {pool.name}" + ("" if verb == "start" else "; asks first")
                yield SystemCommand(f"{verb} pool {pool.name}", what, lambda v=verb, p=pool: self.acts.ask_pool(v, p))
            yield SystemCommand(
                f"profile of pool {pool.name}", "switch it; plan first", lambda p=pool: self.action_profiles(p.name)
            )

    def _run(self, action: str, node: "Screen[object] | App[None]") -> None:
        self.call_later(self.run_action, action, node)


def run(socket: Path, *, owned: bool = False, readonly: bool = False, on_quit: Callable[[], None] | None = None) -> int:
    """Show the daemon behind `socket` until the user leaves; answers the exit code."""
    from qvl_tui.wire import SocketLink

    app = QvlApp(SocketLink(socket, socket.with_name("view.sock")), owned=owned, readonly=readonly, on_quit=on_quit)
    app.run()
    return app.return_code or 0

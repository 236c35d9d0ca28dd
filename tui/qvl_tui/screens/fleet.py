"""The home screen: is the fleet well, where not and why, what to press. Of one host, or of several below each other."""

from collections.abc import Iterable

from qvl.model.status import WorkerStatus
from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from qvl_tui.arrange import arrange
from qvl_tui.context import Context
from qvl_tui.keys import Where, bindings
from qvl_tui.paint import Line, Tone
from qvl_tui.screens.frame import Frame
from qvl_tui.sentences import state
from qvl_tui.session import Session
from qvl_tui.store import Topic
from qvl_tui.widgets.canvas import Canvas
from qvl_tui.widgets.detail import detail_lines
from qvl_tui.widgets.events import event_lines
from qvl_tui.widgets.gpu_strip import gpu_lines
from qvl_tui.widgets.host_row import host_row
from qvl_tui.widgets.worker_table import columns, head, row

Place = tuple[Session, WorkerStatus | None]
"""A row of the table: a worker, or the heading of its host."""


class FleetScreen(Frame):
    where = Where.FLEET
    BINDINGS = bindings(Where.FLEET)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.needle = ""

    def body(self) -> Iterable[Widget]:
        yield Canvas("gpus", "data")
        yield Canvas("workers-head", "data")
        yield Canvas("workers", "data scrolls")
        with Horizontal(id="lower"):
            events, detail = Canvas("events", "data scrolls"), Canvas("detail", "data scrolls")
            events.border_title, detail.border_title = "events", "selected"
            yield events
            yield detail
        # The cursor does not blink: a repaint each half second is too much of one over SSH.
        field = Input(placeholder="name, pool, profile or state", id="filter", compact=True, select_on_focus=False)
        field.cursor_blink = False
        yield field

    def on_mount(self) -> None:
        self.canvas("events").anchor_end = True
        self.set_focus(None)

    # --- what is shown --------------------------------------------------------------------------------------------

    def looks(self) -> dict[str, bool]:
        return super().looks() | {"-wide": self.room.width >= 120, "-huge": self.room.width >= 170}

    @property
    def fresh(self) -> bool:
        """Of several hosts each tells by itself how old it is."""
        return self.context.live

    def places(self) -> list[Place]:
        """The rows: host by host, pool by pool as configured; all of them, or those that match the filter."""
        found: list[Place] = []
        for session in self.context.sessions:
            workers = [worker for worker in session.store.rows() if matches(worker, self.needle)]
            if self.context.several and (workers or not self.needle):
                found.append((session, None))
            found += [(session, worker) for worker in workers]
        return found

    def draw(self, topics: set[Topic]) -> None:
        width, height = self.room
        height -= self.context.replay is not None
        places = self.places()
        chosen = self._settle(places)
        super().draw(topics)
        most = arrange(height, len(places), 0).gpus
        cards = {session: gpu_lines(session.store, width, most) for session in self.context.sessions}
        # As many lines for each host's cards as the largest needs, so that nothing jumps from host to host.
        tall = max(map(len, cards.values()))
        room = arrange(height, len(places), tall)
        self._tall("gpus", tall)
        self._tall("workers", room.workers)
        self.canvas("gpus").show(cards[self.context.session])
        every = [worker for session in self.context.sessions for worker in session.store.rows()]
        c = columns(every, width)
        self.canvas("workers-head").show((head(c, self.needle),))
        mono = self.context.clock()
        lines: tuple[Line, ...] = tuple(
            host_row(session, mono, width)
            if worker is None
            else row(worker, session.store, session.store.now(mono), c, place == chosen)
            for place, (session, worker) in enumerate(places)
        )
        self.canvas("workers").show(lines or (self._nothing(),), chosen)
        if Topic.EVENTS in topics:
            events = self.canvas("events")
            events.show(event_lines(self.context.sessions, (events.size.width or width) - 1))
        if width >= 120:
            detail = self.canvas("detail")
            space = (detail.size.width or 46) - 1, detail.size.height
            detail.show(detail_lines(self.context.status, self.store, self.store.now(mono), *space))

    def _settle(self, places: list[Place]) -> int | None:
        """The index of the row in focus; where it isn't there, the first one comes into focus. While another screen is
        about the one that has gone, that is left to when this one shows again."""
        rows = {(session, worker.name): place for place, (session, worker) in enumerate(places) if worker}
        if not rows:
            return None
        here = self.context.session, self.context.worker or ""
        if here not in rows and self.app.screen is self:
            own = [place for place in rows if place[0] is self.context.session]
            here = (own or list(rows))[0]
            self.context.focus(*here)
        return rows.get(here)

    def _nothing(self) -> Line:
        if self.needle:
            return ((f"   nothing matches “{self.needle}”; Esc shows all", Tone.MUTED),)
        return (("   no workers", Tone.FAINT),)

    def _tall(self, id: str, height: int) -> None:
        """Set a height only when it differs: a layout repaints the whole screen."""
        widget = self.canvas(id)
        if widget.styles.height is None or widget.styles.height.value != max(height, 1):
            widget.styles.height = max(height, 1)
        if widget.display != (height > 0):
            widget.display = height > 0

    # --- keys -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "escape":
            return bool(self.needle) or self.has_class("-filtering")
        return True

    def action_move(self, step: int) -> None:
        places = [(session, worker.name) for session, worker in self.places() if worker]
        if places:
            here = self.context.session, self.context.worker
            place = places.index(here) if here in places else 0
            self._choose(*places[min(max(place + step, 0), len(places) - 1)])

    def action_edge(self, side: int) -> None:
        places = [(session, worker.name) for session, worker in self.places() if worker]
        if places:
            self._choose(*places[0 if side < 0 else -1])

    def _choose(self, session: Session, name: str) -> None:
        self.context.focus(session, name)
        self.refocus()

    def refocus(self) -> None:
        self.show({Topic.STATE})
        table = self.canvas("workers")
        if table.marked is not None:
            table.reveal(table.marked)

    def action_events(self, pages: int) -> None:
        self.canvas("events").page(pages)

    @on(Canvas.Picked, "#workers")
    def _picked(self, event: Canvas.Picked) -> None:
        places = self.places()
        if event.line < len(places):
            session, worker = places[event.line]
            if worker is not None:
                self._choose(session, worker.name)

    def action_go(self, screen: str) -> None:
        if self.context.worker:
            self.app.call_later(self.app.run_action, f"app.show('{screen}')")

    def action_act(self, verb: str) -> None:
        if self.context.worker:
            self.context.acts.ask_worker(verb, self.context.worker)

    def action_copy(self) -> None:
        status = self.context.status
        if status is not None:
            self.app.copy_to_clipboard(status.endpoint)
            self.app.notify(f"copied {status.endpoint}", timeout=2)

    # --- filter ---------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        self.add_class("-filtering")
        self.query_one("#filter", Input).focus()

    @on(Input.Changed, "#filter")
    def _narrow(self, event: Input.Changed) -> None:
        self.needle = event.value.strip()
        self.show({Topic.STATE})

    @on(Input.Submitted, "#filter")
    def _keep_filter(self) -> None:
        self._close_filter()

    def action_escape(self) -> None:
        self.query_one("#filter", Input).value = ""
        self._close_filter()

    def _close_filter(self) -> None:
        self.remove_class("-filtering")
        self.set_focus(None)
        self.show({Topic.STATE})


def matches(worker: WorkerStatus, needle: str) -> bool:
    """Every word of the filter is found somewhere in what one sees of the worker."""
    text = " ".join((worker.name, worker.pool, worker.profile, worker.engine, state(worker).word, worker.reason or ""))
    return all(word in text.lower() for word in needle.lower().split())

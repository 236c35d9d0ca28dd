"""The home screen: is the fleet well, where not and why, what to press."""

from collections.abc import Iterable

from qvl.model.status import WorkerStatus
from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from qvl_tui.acts import Acts
from qvl_tui.arrange import arrange
from qvl_tui.keys import Where, bindings
from qvl_tui.paint import Line, Tone
from qvl_tui.screens.frame import Clock, Frame
from qvl_tui.sentences import state
from qvl_tui.store import Store, Topic
from qvl_tui.widgets.canvas import Canvas
from qvl_tui.widgets.detail import detail_lines
from qvl_tui.widgets.events import event_lines
from qvl_tui.widgets.gpu_strip import gpu_lines
from qvl_tui.widgets.worker_table import columns, head, row


class FleetScreen(Frame):
    where = Where.FLEET
    BINDINGS = bindings(Where.FLEET)

    def __init__(self, store: Store, clock: Clock, acts: Acts) -> None:
        super().__init__(store, clock)
        self.acts = acts
        self.chosen: str | None = None
        """The selected worker, by name: rows may come and go around it."""
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

    def rows(self) -> list[WorkerStatus]:
        """The rows: pool by pool as configured, by number within; all of them, or those that match the filter."""
        order = {pool.name: place for place, pool in enumerate(self.store.pools)}
        found = [worker for worker in self.store.workers.values() if matches(worker, self.needle)]
        return sorted(
            found, key=lambda worker: (order.get(worker.pool, len(order)), worker.pool, _natural(worker.name))
        )

    def selected(self) -> WorkerStatus | None:
        return self.store.workers.get(self.chosen) if self.chosen else None

    def show(self, topics: set[Topic]) -> None:
        super().show(topics)
        width, height = self.size
        if not width:
            return
        self.set_class(width >= 120, "-wide")
        self.set_class(width >= 170, "-huge")
        workers = self.rows()
        names = [worker.name for worker in workers]
        if self.chosen not in names:
            self.chosen = names[0] if names else None
        now = self.store.now(self.clock())
        gpus = gpu_lines(self.store, width, arrange(height, len(workers), 0).gpus)
        places = arrange(height, len(workers), len(gpus))
        self._tall("gpus", len(gpus))
        self._tall("workers", places.workers)
        self.canvas("gpus").show(gpus)
        c = columns(list(self.store.workers.values()), width)
        self.canvas("workers-head").show((head(c, self.needle),))
        lines: tuple[Line, ...] = tuple(
            row(worker, self.store, now, c, worker.name == self.chosen) for worker in workers
        )
        chosen = names.index(self.chosen) if self.chosen else None
        self.canvas("workers").show(lines or (self._nothing(),), chosen)
        if Topic.EVENTS in topics:
            events = self.canvas("events")
            events.show(event_lines(self.store, (events.size.width or width) - 1))
        if width >= 120:
            detail = self.canvas("detail")
            room = (detail.size.width or 46) - 1, detail.size.height
            detail.show(detail_lines(self.selected(), self.store, now, *room))

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
        names = [worker.name for worker in self.rows()]
        if names:
            place = names.index(self.chosen) if self.chosen in names else 0
            self._choose(names[min(max(place + step, 0), len(names) - 1)])

    def action_edge(self, side: int) -> None:
        names = [worker.name for worker in self.rows()]
        if names:
            self._choose(names[0 if side < 0 else -1])

    def _choose(self, name: str) -> None:
        self.chosen = name
        self.show({Topic.STATE})
        table = self.canvas("workers")
        if table.marked is not None:
            table.reveal(table.marked)

    def action_events(self, pages: int) -> None:
        self.canvas("events").page(pages)

    @on(Canvas.Picked, "#workers")
    def _picked(self, event: Canvas.Picked) -> None:
        workers = self.rows()
        if event.line < len(workers):
            self._choose(workers[event.line].name)

    def action_open_log(self) -> None:
        if self.chosen:
            self.app.call_later(self.app.run_action, f"app.log('{self.chosen}')")

    def action_act(self, verb: str) -> None:
        if self.chosen:
            self.acts.ask_worker(verb, self.chosen)

    def action_switch(self) -> None:
        if worker := self.selected():
            self.app.call_later(self.app.run_action, f"app.profiles('{worker.pool}')")

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


def _natural(name: str) -> tuple[str, int, str]:
    """`w-10` after `w-9`."""
    base, _, suffix = name.partition("@")
    stem, _, number = base.rpartition("-")
    return (stem, int(number), suffix) if number.isdigit() else (base, -1, suffix)

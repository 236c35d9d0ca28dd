"""Plots of the last minutes to a day. It asks the daemon for the past when it opens, when the span or the host changes,
and when a lost connection is back; in between it goes on with what is heard. What it shows is made in `widgets`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from qvl.model.error import ErrorCode, QvlError
from textual import on
from textual.widget import Widget

from qvl_tui import compare
from qvl_tui.context import Context
from qvl_tui.figures import PLOTS, Reach, scope
from qvl_tui.keys import Where, bindings
from qvl_tui.marks import beside, marks
from qvl_tui.paint import Line, Tone
from qvl_tui.past import Past, past
from qvl_tui.screens.frame import Frame
from qvl_tui.store import Figures, Topic
from qvl_tui.widgets import comparison
from qvl_tui.widgets.canvas import Canvas
from qvl_tui.widgets.metrics_view import FINEST, POINTS, SPANS, Look, nearest, pictures, told_line, top_line
from qvl_tui.widgets.plot import AXIS, room
from qvl_tui.widgets.plot_grid import Grid, grid, sheet, widths

if TYPE_CHECKING:
    from qvl_tui.session import Session

_REACHES = tuple(Reach)
TOO_OLD = "this daemon keeps minutes only: it is too old"


class MetricsScreen(Frame):
    where = Where.METRICS
    BINDINGS = bindings(Where.METRICS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.span = nearest(context.prefs.metrics_span)
        known = context.prefs.metrics_scope
        self.reach = Reach(known) if known in _REACHES else Reach.WORKER
        self.past: Past | None = None
        self.trouble = ""
        self.page = 0
        self.cursor: float | None = None
        self.comparing = False
        self.wanted: tuple[str | None, str | None] = (None, None)
        """The profiles to compare; None: whichever ran last."""
        self.asking = False
        self._asked: tuple[object, ...] = ()
        """Of which host, span and connection the past was asked for."""
        self._tops: dict[str, float] = {}
        self._heard: Figures | None = None
        self._drawn: tuple[object, ...] = ()
        """What the picture was made of that is seen: nothing is drawn twice."""

    def body(self) -> Iterable[Widget]:
        yield Canvas("metrics-top", "data")
        yield Canvas("plots", "data")
        yield Canvas("metrics-told", "data")

    # --- the past -------------------------------------------------------------------------------------------------

    def _ask_where_due(self) -> None:
        session = self.context.session
        due = (session, self.span, self.comparing, self.store.link.since)
        if not self.store.live or self._asked == due:
            return
        if self._asked[:1] != due[:1]:
            self.past = None  # another host's
        self._asked, self.asking = due, True
        self.run_worker(self._ask(session, due), name="past", group="past", exclusive=True)

    async def _ask(self, session: "Session", due: tuple[object, ...]) -> None:
        trouble = ""
        points = FINEST if self.comparing else POINTS
        try:
            try:
                told = await session.link.history_of(self.span, points)
            except QvlError as error:
                if error.code is not ErrorCode.BAD_REQUEST:
                    raise
                told, trouble = await session.link.history(), TOO_OLD
        except QvlError as error:
            if due == self._asked:
                self.asking, self.trouble = False, error.message
                self.show({Topic.FIGURES})
            return
        if due == self._asked:
            self.asking, self.past, self.trouble = False, past(told, self.span), trouble
            self._heard = None if trouble else self.store.shown  # the daemon knew of these
            self.show({Topic.FIGURES})

    def _hear(self) -> None:
        """Once for each publication: how often it is painted must not weigh."""
        now, shown = self.now, self.store.shown
        if self.past is not None and self.store.live and now is not None and shown is not self._heard:
            self._heard = shown
            self.past.hear(now, self.store.workers, shown.metrics, shown.gpus)

    @property
    def now(self) -> float | None:
        at = self.store.now(self.context.clock())
        return None if at is None else at.timestamp()

    # --- what is shown --------------------------------------------------------------------------------------------

    def look(self) -> Look:
        whose = scope(self.reach, self.store, self.context.status)
        pools = {status.pool for name in whose.workers if (status := self.store.find(name)) is not None}
        found = marks(self.store.events, whose.workers, pools)
        trouble = self.trouble if self.store.live or self.past is not None else "not connected"
        return Look(self.span, whose, self.now, self.past, self.asking, found, self.cursor, trouble, self._tops)

    def draw(self, topics: set[Topic]) -> None:
        super().draw(topics)
        canvas = self.canvas("plots")
        width, height = canvas.size
        if not width or not height:
            return
        self._ask_where_due()
        if Topic.FIGURES in topics:
            self._hear()
        look = self.look()
        if look.cursor is not None and look.cursor < look.window.start:
            self.cursor = look.cursor = None
        if self._seen(look) == self._drawn:
            return
        if self.comparing:
            lines, page = self._compared(look, width, height)
        else:
            shape = self._grid
            self.page = min(self.page, shape.pages(len(PLOTS)) - 1)
            page = (self.page + 1, shape.pages(len(PLOTS)))
            shown = PLOTS[self.page * shape.size :][: shape.size]
            lines = sheet(pictures(look, shown, widths(width, shape.columns)[0]), width, height, shape)
        canvas.show(lines)
        self.canvas("metrics-top").show((top_line(look, width, page, self.comparing),))
        pair = self._pair(look) if self.comparing else None
        if pair is not None and look.past is not None:
            told = comparison.caveat(look.past, look.scope.workers, pair)
        else:
            told = () if self.comparing else told_line(look, width, self._cells)
        self.canvas("metrics-told").show((told,))
        self._drawn = self._seen(look)

    def _seen(self, look: Look) -> tuple[object, ...]:
        """All that the picture is made of."""
        past = (look.past, look.past.changed) if look.past is not None else ()
        asked = self.span, self.comparing, self.page, self.wanted, look.cursor, self.canvas("plots").size
        return *past, look.asking, look.trouble, look.window, look.scope, self.store.last_event, *asked

    def _compared(self, look: Look, width: int, height: int) -> tuple[tuple[Line, ...], tuple[int, int]]:
        pair = self._pair(look)
        if look.past is None or pair is None:
            known = compare.profiles(look.past, look.scope.workers) if look.past is not None else []
            ran = f"only {known[0]} ran" if known else "no profile is known to have run"
            waits = look.trouble or "asking for the past …"
            text = waits if look.past is None else f"{ran} in the last {SPANS[self.span][0]}"
            return (((f"  {text}", Tone.MUTED),), (("  - looks further back, c goes back", Tone.FAINT),)), (1, 1)
        table = comparison.table(look.past, look.scope.workers, pair, width)
        drawn = comparison.pictures(look.past, look.scope.workers, pair, width)
        left = height - len(table) - 1
        shape = Grid(2, max(1, min(left // 8, len(drawn) // 2)))
        self.page = min(self.page, shape.pages(len(drawn)) - 1)
        shown = drawn[self.page * shape.size :][: shape.size]
        return (*table, (), *sheet(shown, width, left, shape)), (self.page + 1, shape.pages(len(drawn)))

    def _pair(self, look: Look) -> tuple[str, str] | None:
        known = compare.profiles(look.past, look.scope.workers) if look.past is not None else []
        return compare.pair(known, self.wanted)

    @property
    def _grid(self) -> Grid:
        width, height = self.canvas("plots").size
        return grid(width, height, len(PLOTS))

    @property
    def _cells(self) -> int:
        """Cells of curves in one plot."""
        return room(widths(self.canvas("plots").size.width, self._grid.columns)[0])

    @on(Canvas.Picked, "#plots")
    def _pointed(self, event: Canvas.Picked) -> None:
        """A click reads out the moment that it is on."""
        look, cells = self.look(), self._cells
        starts = [sum(widths(self.canvas("plots").size.width, self._grid.columns)[:n]) for n in range(3)]
        cell = event.x - max(start for start in starts if start <= event.x) - AXIS
        if look.now is not None and not self.comparing and 0 <= cell <= look.window.cell(look.now, cells):
            self._read(look.window.at(cell, cells))

    # --- keys -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "live":
            return self.cursor is not None or self.comparing
        return True

    def action_zoom(self, step: int) -> None:
        spans = list(SPANS)
        place = min(max(spans.index(self.span) + step, 0), len(spans) - 1)
        if spans[place] != self.span:
            self.span = spans[place]
            self.context.prefs.metrics_span = float(self.span)
            self._anew()

    def action_reach(self) -> None:
        self.reach = _REACHES[(_REACHES.index(self.reach) + 1) % len(_REACHES)]
        self.context.prefs.metrics_scope = self.reach.value
        self._anew()

    def refocus(self) -> None:
        self._anew()

    def _anew(self) -> None:
        self._tops.clear()
        self._drawn = ()
        self.show({Topic.STATE})

    def action_page(self, step: int) -> None:
        self.page = max(0, self.page + step)
        self.show({Topic.STATE})

    def action_cursor(self, columns: int) -> None:
        look, cells = self.look(), self._cells
        if look.now is None or self.comparing:
            return
        window = look.window
        here = window.cell(self.cursor if self.cursor is not None else look.now, cells)
        last = window.cell(look.now, cells)
        cell = min(max(here + columns, 0), last)
        self._read(None if columns > 0 and here >= last else window.at(cell, cells))

    def action_event(self, step: int) -> None:
        look, cells = self.look(), self._cells
        if look.now is None or self.comparing:
            return
        window = look.window
        width = window.span / cells
        within = {"start": window.start, "end": window.start + window.span}
        # From the edge of the cursor's column on: what happened within it is told already.
        start = look.now if self.cursor is None else self.cursor if step < 0 else self.cursor + width
        mark = beside(look.marks, start, step, within)
        if mark is not None:
            self._read(window.at(window.cell(mark.at, cells), cells))

    def _read(self, at: float | None) -> None:
        self.cursor = at
        self.show({Topic.STATE})

    def action_live(self) -> None:
        if self.comparing:
            self.action_compare()
        else:
            self._read(None)

    def action_compare(self) -> None:
        self.comparing, self.cursor, self.page = not self.comparing, None, 0
        self._anew()

    def action_other(self, side: int) -> None:
        """Another profile at this side, of those that ran."""
        look = self.look()
        pair = self._pair(look)
        if not self.comparing or look.past is None or pair is None:
            return
        known = compare.profiles(look.past, look.scope.workers)
        free = [each for each in known if each != pair[1 - side]]
        chosen = free[(free.index(pair[side]) + 1) % len(free)]
        self.wanted = (chosen, pair[1]) if side == 0 else (pair[0], chosen)
        self.show({Topic.STATE})

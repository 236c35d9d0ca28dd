"""All about the worker in focus: its start, what its engine has room for, its processes, arguments, ends and log.

What the daemon tells by itself is shown as it comes; the rest is asked for now and then while somebody looks.
"""

from collections.abc import Iterable

from qvl.model.status import WorkerStatus
from textual.containers import Horizontal
from textual.widget import Widget

from qvl_tui.inquiry import Inquiry, Question
from qvl_tui.keys import Where, bindings
from qvl_tui.logtail import LogTail
from qvl_tui.paint import UNSAFE, Line, Tone
from qvl_tui.screens.frame import Context, Frame
from qvl_tui.session import Session
from qvl_tui.store import LinkPhase, Topic
from qvl_tui.widgets.canvas import Canvas
from qvl_tui.widgets.worker_args import command
from qvl_tui.widgets.worker_head import banner_line, head_lines
from qvl_tui.widgets.worker_page import View, column_width, page
from qvl_tui.widgets.worker_section import Column, Section, column, plain

SHORT = 32
"""Rows below which no line is left free."""
_COLUMNS = ("left", "middle", "right")


class WorkerScreen(Frame):
    where = Where.WORKER
    BINDINGS = bindings(Where.WORKER)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.chosen: str | None = None
        """The section in focus; None: the worker itself."""
        self.everything = False
        self.sections: dict[str, Section] = {}
        self.columns: dict[str, Column] = {}
        self._about: tuple[Session, str] | None = None
        self.asked = Inquiry(context.link, "")
        self.tail = LogTail(context.link, "", self._figures)

    def body(self) -> Iterable[Widget]:
        yield Canvas("head", "data")
        with Horizontal(id="columns"):
            for name in _COLUMNS:
                yield Canvas(name, "data scrolls")

    # --- whom it is about -------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Begin anew where another worker came into focus."""
        about = (self.context.session, self.context.worker) if self.context.worker else None
        if about == self._about:
            return
        self._about = about
        self.workers.cancel_node(self)
        if about is None:
            return
        session, name = about
        self.asked, self.tail = Inquiry(session.link, name), LogTail(session.link, name, self._figures)
        self.run_worker(self.tail.follow(), name="log")

    def refocus(self) -> None:
        for name in _COLUMNS:
            self.canvas(name).edge(-1)
        super().refocus()

    def _ask(self, worker: WorkerStatus) -> None:
        """Send what is due to be asked."""
        supervisor = self.store.supervisor
        if not self.store.live or supervisor is None:
            return
        if question := self.asked.about_detail(worker, supervisor.pid, self.context.clock()):
            self.run_worker(self._answered(question), name="detail")
        if question := self.asked.about_arguments(worker, supervisor.config.applied):
            self.run_worker(self._answered(question), name="arguments")

    async def _answered(self, question: Question) -> None:
        await question()
        self._figures()

    def _figures(self) -> None:
        self.show({Topic.FIGURES})

    # --- what is shown ----------------------------------------------------------------------------------------------

    def draw(self, topics: set[Topic]) -> None:
        self._turn()
        super().draw(topics)
        width, height = self.size
        if not width:
            return
        self.set_class(height < SHORT, "-short")
        worker = self.context.status
        if worker is None:
            self._nobody()
            return
        self._ask(worker)
        self._head(head_lines(worker, self.store, self.store.now(self.context.clock()), width))
        # Less the bars, the head, and a free line above and below it.
        room = height - 3 - len(self.canvas("head").lines) - (0 if height < SHORT else 2)
        parts = page(self._view(worker), width, room)
        self.sections = {section.id: section for part in parts for section in part}
        self.columns = {}
        for place, name in enumerate(_COLUMNS):
            canvas = self.canvas(name)
            canvas.display = place < len(parts)
            if place < len(parts):
                self.columns[name] = column(parts[place], column_width(width, len(parts)), self.chosen)
                canvas.show(self.columns[name].lines)

    def _view(self, worker: WorkerStatus) -> View:
        mono, told_at = self.context.clock(), self.asked.detail.at
        # What a daemon told that is gone stands still: nobody knows whether it went on.
        heard = mono if self.store.live else self.store.heard_at or mono
        return View(
            worker=worker,
            asked=self.asked,
            gpus=self.store.shown.gpus,
            now=self.store.now(mono),
            later=0.0 if told_at is None else max(0.0, heard - told_at),
            log=self.tail.look(),
            log_told=self.tail.told,
            everything=self.everything,
        )

    def _head(self, lines: tuple[Line, ...]) -> None:
        head = self.canvas("head")
        if head.styles.height is None or head.styles.height.value != len(lines):
            head.styles.height = len(lines)  # only where it differs: a layout costs the whole screen
        head.show(lines)

    def _nobody(self) -> None:
        name = self.context.worker
        words = f" worker {name} is configured no more" if name else " no worker is configured"
        self._head(
            (((words, Tone.WARN if name else Tone.MUTED),), ((" [ ] another worker   Esc the fleet", Tone.MUTED),))
        )
        self.sections, self.columns = {}, {}
        for place in _COLUMNS:
            self.canvas(place).show(())

    def banner(self, width: int) -> Line:
        worker = self.context.status
        if worker is None or self.store.link.phase is LinkPhase.DOWN:
            return super().banner(width)
        return banner_line(worker, self.store, self.store.now(self.context.clock()), width)

    # --- keys -------------------------------------------------------------------------------------------------------

    def action_act(self, verb: str) -> None:
        if self.context.worker:
            self.context.acts.ask_worker(verb, self.context.worker)

    def action_go(self, screen: str) -> None:
        self.app.call_later(self.app.run_action, f"app.show('{screen}')")

    def action_section(self, step: int) -> None:
        ids = [id for name in _COLUMNS if name in self.columns for id in self.columns[name].places]
        if not ids:
            return
        start = -1 if step > 0 else 0
        place = ids.index(self.chosen) if self.chosen in ids else start
        self.chosen = ids[(place + step) % len(ids)]
        self.show({Topic.FIGURES})
        canvas, row = self._place(self.chosen)
        canvas.scroll_to(y=row, animate=False, force=True)

    def action_expand(self) -> None:
        self.everything = not self.everything
        self.show({Topic.FIGURES})

    def action_ask(self) -> None:
        self.asked.forget_arguments()
        self.show({Topic.FIGURES})

    def action_copy(self) -> None:
        """The section in focus as text; of arguments, the command line; with none in focus, the endpoint."""
        worker = self.context.status
        if worker is None:
            return
        section = self.sections.get(self.chosen or "")
        text, what = worker.endpoint, worker.endpoint
        if section is not None:
            text, what = plain(section), section.title
            if self.chosen == "arguments" and (profile := self.asked.profile.answer) is not None:
                text, what = command(profile), "the command line"
        # It may be pasted into a shell, and part of it are the words of engines.
        self.app.copy_to_clipboard(text.translate(dict.fromkeys(set(UNSAFE) - {ord("\n")})))
        self.app.notify(f"copied {what}", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self._scrolled().line(lines)

    def action_page(self, pages: int) -> None:
        self._scrolled().page(pages)

    def action_edge(self, side: int) -> None:
        self._scrolled().edge(side)

    def _place(self, id: str) -> tuple[Canvas, int]:
        name = next(name for name, column_ in self.columns.items() if id in column_.places)
        return self.canvas(name), self.columns[name].places[id]

    def _scrolled(self) -> Canvas:
        """What keys scroll: the column of the section in focus, else the first that has more than it shows."""
        if self.chosen in self.sections:
            return self._place(self.chosen)[0]
        shown = [self.canvas(name) for name in self.columns] or [self.canvas(_COLUMNS[0])]
        return next((canvas for canvas in shown if canvas.max_scroll_y), shown[0])

"""A worker's live log. It resumes at the byte where it was cut off, so that a restart of the daemon neither loses nor
repeats a line."""

import asyncio
from collections.abc import Iterable

from qvl.model.error import ErrorCode, QvlError
from textual import on
from textual.widget import Widget

from qvl_tui.context import Context
from qvl_tui.format import size
from qvl_tui.keys import Where, bindings
from qvl_tui.link import delays
from qvl_tui.logbuffer import LogBuffer
from qvl_tui.paint import Line, Tone, spread
from qvl_tui.screens.frame import Frame
from qvl_tui.sentences import state, why
from qvl_tui.store import LinkPhase, Topic
from qvl_tui.widgets.log_view import LogView

FIRST = 500
"""Lines that are shown to begin with."""


class LogScreen(Frame):
    where = Where.LOG
    BINDINGS = bindings(Where.LOG)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.link = context.link
        self.worker = context.worker or ""
        self.buffer = LogBuffer()
        self.view = LogView(self.buffer, "log")
        self.place: int | None = None
        """Where to go on in the log."""

    def body(self) -> Iterable[Widget]:
        yield self.view

    def on_mount(self) -> None:
        self.run_worker(self._stream(), name="log")

    async def _stream(self) -> None:
        waits = delays()
        told = ""
        while True:
            try:
                async for chunk in self.link.log(self.worker, lines=FIRST, since=self.place):
                    if self.place is not None and chunk.offset > self.place:
                        self.buffer.note(f"… {size(chunk.offset - self.place)} were rotated away before they were read")
                    self.place = chunk.offset + len(chunk.data)
                    self.buffer.feed(chunk.data)
                    self.view.touch()
                    waits, told = delays(), ""
                    await asyncio.sleep(0)
            except QvlError as error:
                if error.code is not ErrorCode.UNREACHABLE and error.message != told:
                    told = error.message
                    self.buffer.note(f"— {error.message}" + (f" → {error.hint}" if error.hint else ""))
                    self.view.touch()
            await asyncio.sleep(next(waits))

    def banner(self, width: int) -> Line:
        unseen = f", {self.view.unseen:,} new lines below" if self.view.unseen else ""
        end: Line = (("following ", Tone.MUTED),) if self.view.following else ((f"held{unseen} ", Tone.ACCENT),)
        worker = self.store.workers.get(self.worker)
        if self.store.link.phase is LinkPhase.DOWN or worker is None:
            return super().banner(width)
        known = state(worker)
        text = why(worker, self.store.now(self.context.clock()))
        if not text and worker.last_exit:
            last = worker.last_exit
            text = f"last exit: {last.cause.value}" + (f", {last.evidence}" if last.evidence else "")
        tone = known.tone if known.tone in (Tone.WARN, Tone.BAD) else Tone.MUTED
        return spread(((f"   {text or worker.endpoint}", tone),), end, width)

    @on(LogView.Moved)
    def _moved(self) -> None:
        self.show({Topic.LINK})

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        self.view.to_end()

    def action_pause(self) -> None:
        self.view.hold()

    def action_error(self, step: int) -> None:
        if not self.view.error(step):
            self.app.notify("no error line there", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.view.by(lines)

    def action_page(self, pages: int) -> None:
        self.view.by_page(pages)

    def action_top(self) -> None:
        self.view.go(0)

    def action_sideways(self, steps: int) -> None:
        self.view.sideways(steps)

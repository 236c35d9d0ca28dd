"""One worker's log as far as it is looked at: fetched in pages on either side, and followed at its end.

It resumes at the byte where it was cut off, so that a restart of the daemon neither loses nor repeats a line. With a
least level it fetches records of that level alone, by the daemon's search, however far apart they lie.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from qvl.model.error import ErrorCode, QvlError
from qvl.model.log import LogEnd, LogExtent, LogMatch, LogSearch

from qvl_tui.format import size
from qvl_tui.link import Link, delays
from qvl_tui.logs.lines import Entry, Level, Tail, entries, note
from qvl_tui.logs.part import Part

PAGE = 128 * 1024
"""Bytes of a page."""
FOUND = 100
"""Records of a page where only some are shown."""
KEPT = 2_000
"""Lines that stay while one follows, or beside what one reads."""
MOST = 8_000
"""Lines after which a log that nobody follows is read no further."""
PACE = 0.2
"""Seconds between two words of how far a search is."""
LEVELS = {"all": Level.PLAIN, "warning": Level.WARNING, "error": Level.ERROR}


class Feed:
    def __init__(
        self, number: int, worker: str, link: Link, changed: Callable[[], None], *, least: str = "all", kept: int = KEPT
    ) -> None:
        """`least`: a key of LEVELS. `changed` is called whenever there is something else to show."""
        self.worker = worker
        self.part = Part(number)
        self.extent = LogExtent(0, 0)
        self.opened = False
        """It is known where one looks."""
        self.following = True
        self.unseen = 0
        """Lines that came since nobody follows."""
        self.looked: int | None = None
        """How far back or on a search for records is; None while there is none."""
        self.newest: Callable[[], float | None] = lambda: None
        """The latest stamp of the other logs."""
        self._link = link
        self._changed = changed
        self._least = least
        self._kept = kept
        self._bottom = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None
        self._told = ""
        self._level = Level.PLAIN
        self._fetching = asyncio.Lock()

    # --- where it stands --------------------------------------------------------------------------------------------

    async def measure(self) -> None:
        """How far the log reaches by now. Raises QvlError."""
        self.extent = await self._link.log_extent(self.worker)

    async def open_end(self) -> None:
        """Look at the end of the log. Raises QvlError."""
        await self.measure()
        self._stop()
        begin, end = self.extent.begin, self.extent.end
        start = max(begin, end - PAGE)
        page = await self._link.log_page(self.worker, start, max(end - start, 1))
        cut = page.data.rfind(b"\n") + 1
        self.part.reset(page.offset + cut if page.data else end)
        if self._least == "all":
            self._put_before(page.offset, page.data[:cut], top=page.offset > start or start == begin)
        self._reach_bottom()

    async def open_at(self, offset: int) -> None:
        """Look at the line that begins at an offset, or at the first that is left. Raises QvlError."""
        self._stop()
        self.part.reset(offset)
        self.opened = True
        await self._newer()  # what is on its way for another place finds that out by itself
        self._changed()

    async def aligned(self, offset: int) -> int:
        """Where the first line after an offset begins. Raises QvlError."""
        if offset <= self.extent.begin:
            return self.extent.begin
        page = await self._link.log_page(self.worker, offset - 1, PAGE)
        return page.offset + page.data.find(b"\n") + 1 if b"\n" in page.data else offset

    @property
    def reach(self) -> tuple[int, int, bool, bool]:
        """What is loaded, for a comparison."""
        return self.part.low, self.part.high, self.part.at_top, self.part.at_bottom

    # --- pages ------------------------------------------------------------------------------------------------------

    async def older(self) -> None:
        """Fetch what lies before. Raises QvlError."""
        async with self._fetching:
            await self._older()
        self._changed()

    async def _older(self) -> None:
        part = self.part
        if part.at_top:
            return
        if self._least != "all":
            await self._search(LogSearch(level=self._least, before=part.low, count=FOUND))
            return
        start = max(self.extent.begin, part.low - PAGE)
        if start >= part.low:
            part.at_top = True
            return
        before = part.low
        page = await self._link.log_page(self.worker, start, before - start)
        if part.low != before:
            return  # one looks elsewhere by now
        if page.offset >= before:
            part.at_top = True
        else:
            top = page.offset > start or start == self.extent.begin
            self._put_before(page.offset, page.data[: before - page.offset], top=top)

    async def newer(self) -> None:
        """Fetch what lies behind; where that is the end, what is appended comes by itself. Raises QvlError."""
        async with self._fetching:
            await self._newer()
        self._changed()

    async def _newer(self) -> None:
        part = self.part
        if part.at_bottom:
            return
        if self._least != "all":
            await self._search(LogSearch(level=self._least, since=part.high, count=FOUND))
            return
        high = part.high
        page = await self._link.log_page(self.worker, high, PAGE)
        if part.high != high:
            return
        if page.offset > high and page.data and part.lines:
            part.after([_rotated(page.offset - high, high, part.feed)], page.offset, bottom=False)
        elif page.offset > high and page.data:
            part.reset(page.offset)
            part.at_top = True
        elif page.offset < high:
            part.high = page.offset  # the log ends before it
        # A short page that ends before the log does ends where bytes are missing.
        short = len(page.data) < PAGE and page.offset + len(page.data) >= self.extent.end
        bottom = short or not page.data
        cut = page.data.rfind(b"\n") + 1 or (0 if bottom else len(page.data))
        lines = entries(page.data[:cut], page.offset, part.feed)
        part.after(lines, max(part.high, page.offset + cut) if lines else part.high, bottom=False)
        if bottom:
            self._reach_bottom()

    def _put_before(self, offset: int, data: bytes, *, top: bool) -> None:
        cut = 0 if top else data.find(b"\n") + 1
        if cut == len(data):
            cut = 0  # a line that is longer than a page
        self.part.before(entries(data[cut:], offset + cut, self.part.feed), offset + cut, top=top)

    async def _search(self, search: LogSearch) -> None:
        part, back = self.part, search.before is not None
        edge = part.low if back else part.high
        found: list[Entry] = []
        told = time.monotonic()

        def put(at: int, *, over: bool) -> bool:
            """False where one looks elsewhere by now."""
            nonlocal found, edge, told
            if (part.low if back else part.high) != edge:
                return False
            if back:
                part.before(found, at, top=over)
            else:
                part.after(found, at, bottom=False)
            found, edge, told = [], at, time.monotonic()
            self.looked = at
            self._changed()
            return True

        # A search is a stream: it must be closed for the daemon to end it.
        async with aclosing(self._link.log_search(self.worker, search)) as answers:
            async for answer in answers:
                if isinstance(answer, LogMatch):
                    record = entries(answer.text.encode(), answer.offset, part.feed)
                    found = [*record, *found] if back else [*found, *record]
                    at = answer.offset if back else answer.offset + answer.size
                    if time.monotonic() - told < PACE:
                        continue
                    over = False
                else:
                    at, over = answer.at, isinstance(answer, LogEnd) and answer.reason != "count"
                if isinstance(answer, LogEnd) and answer.reason == "limit":
                    found.append(note(f"— the search was ended: {answer.message}", edge, part.feed))
                if not put(at, over=over):
                    return
                if over and not back:
                    self._reach_bottom()
        self.looked = None

    # --- the end ----------------------------------------------------------------------------------------------------

    def _reach_bottom(self) -> None:
        self.opened = True
        self.part.at_bottom = True
        self._bottom.set()

    def _stop(self) -> None:
        """What is appended is no longer looked at."""
        self.part.at_bottom, self.part.open = False, None
        self._bottom.clear()
        if self._stream is not None:
            self._stream.cancel()

    def forget_below(self, keep: int) -> None:
        """Keep the first `keep` lines."""
        if keep < len(self.part.lines):
            self._stop()
            self.part.drop_bottom(keep)

    async def follow(self) -> None:
        """Read what is appended, for ever, while the end of the log is looked at."""
        waits = delays()
        while True:
            await self._bottom.wait()
            tail = Tail(self.part.high, self.part.feed)
            self._stream = asyncio.create_task(self._read(tail))
            try:
                await asyncio.wait([self._stream])
            finally:
                self._stream.cancel()
            if not self._stream.cancelled():
                self._stream.result()
            if tail.next > self.part.high:
                waits = delays()
            if self.part.at_bottom:
                await asyncio.sleep(next(waits))

    async def _read(self, tail: Tail) -> None:
        stream = self._link.log(self.worker, lines=0, since=tail.next)
        try:
            async for chunk in stream:
                self._append(tail, chunk.offset, chunk.data)
                await asyncio.sleep(0)
                if not self.part.at_bottom:
                    return
        except QvlError as error:
            self.refused(error)
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    def refused(self, error: QvlError) -> None:
        """Tell once what the daemon says; that it can't be reached is told elsewhere."""
        if error.code is ErrorCode.UNREACHABLE or error.message == self._told:
            return
        self._told = error.message
        hint = f" → {error.hint}" if error.hint else ""
        self.part.lines.append(note(f"— {error.message}{hint}", self.part.high, self.part.feed))
        self._changed()

    def _append(self, tail: Tail, offset: int, data: bytes) -> None:
        part = self.part
        if offset > tail.next:
            part.lines.append(_rotated(offset - tail.next, tail.next, part.feed))
            tail.skip(offset)
        lines = [line for line in map(self._placed, tail.take(data)) if self._keeps(line)]
        part.after(lines, tail.offset, bottom=True)
        part.open = tail.open if self._least == "all" else None
        if tail.next > self.extent.end:
            self.extent = LogExtent(self.extent.begin, tail.next, self.extent.runs)
        if self.following:
            if len(part.lines) > 2 * self._kept:
                part.drop_top(self._kept)
        else:
            self.unseen += len(lines)
            if len(part.lines) > MOST:
                self._stop()
        self._changed()

    def _keeps(self, line: Entry) -> bool:
        if self._least == "all":
            return True
        self._level = line.level if line.record else max(self._level, line.level)
        return self._level >= LEVELS[self._least]

    def _placed(self, line: Entry) -> Entry:
        if line.stamp.at is not None or any(known.stamp.at is not None for known in self.part.lines[-50:]):
            return line
        newest = self.newest()
        return line if newest is None else line._replace(stamp=line.stamp._replace(at=newest))


def _rotated(count: int, offset: int, feed: int) -> Entry:
    return note(f"… {size(count)} were rotated away before they were read", offset, feed)

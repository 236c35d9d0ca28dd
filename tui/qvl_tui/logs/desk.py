"""The logs that are looked at together: what is loaded of them, where one looks, and how it is shown.

It fetches what is needed around the view and nothing else, and knows neither keys nor widgets. Methods that are
coroutines ask the daemon, and raise QvlError.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

from qvl.model.error import QvlError

from qvl_tui.link import Link
from qvl_tui.logs.around import near_error
from qvl_tui.logs.feed import KEPT, PAGE, Feed
from qvl_tui.logs.hunt import Hunt
from qvl_tui.logs.items import Folds, Id, find, items
from qvl_tui.logs.lines import entries
from qvl_tui.logs.merge import behind, merged, short
from qvl_tui.logs.place import Place
from qvl_tui.logs.rows import Look, handle, row_of, rows, tall
from qvl_tui.logs.stamps import Stamps
from qvl_tui.paint import Line

_PAGES = 200
"""That one look around fetches, at most."""
MARGIN = 200
"""Items that are loaded beyond the view, so that a page further is there before it is asked for."""


class Desk:
    def __init__(self, link: Link, workers: Sequence[str], *, least: str, look: Look, folds: Folds) -> None:
        self.link = link
        self.least = least
        self.look = look
        self.folds = folds
        self.hidden: set[str] = set()
        """Workers whose lines are left out."""
        self.place = Place()
        self.hunt: Hunt | None = None
        self.errors = Hunt("", level="error")
        self.dirty = True
        """There is something that no picture shows yet."""
        self._behind = True
        """Something was loaded that `place` does not hold yet."""
        self.filling: set[int] = set()
        """Numbers of the logs of which something is on its way."""
        self._bases: dict[tuple[int, int], float | None] = {}
        kept = max(KEPT // len(workers), 200) if workers else KEPT
        self.feeds = [
            Feed(number, name, link, self.touch, least=least, kept=kept) for number, name in enumerate(workers)
        ]
        for feed in self.feeds:
            feed.newest = self._newest
        self.place.tall = lambda item: tall(item, self.look)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def touch(self) -> None:
        self.dirty = self._behind = True

    @property
    def shown(self) -> list[Feed]:
        return [feed for feed in self.feeds if feed.worker not in self.hidden]

    def gather(self) -> None:
        """Take in what was loaded."""
        self._behind, self.dirty = False, True
        runs = {feed.part.feed: feed.extent.runs for feed in self.shown}
        lines = merged([feed.part for feed in self.shown]) if self.shown else []
        if self.place.following:
            # Only what can come into view: the rest is not worth the time while lines come in.
            lines = lines[-(KEPT // 2) :]
        self.place.show(items(lines, self.folds, runs))

    def picture(self, width: int, height: int) -> tuple[tuple[Line, ...], int | None]:
        """Rows, and the one that the cursor is on."""
        self.look = replace(
            self.look,
            width=width,
            bases=self._bases,
            runs={feed.part.feed: [run.offset for run in feed.extent.runs] for feed in self.feeds},
        )
        if height != self.place.height:
            self.place.height = height
            self._behind = True
        if self._behind:
            self.gather()
        self.dirty = False
        cursor = None if self.place.following else row_of(self.place, self.place.cursor)
        return rows(self.place, self.look, handle(*self.share(), height), self._nothing()), cursor

    def _nothing(self) -> str:
        """Why there is no line to be seen."""
        if not self.feeds:
            return "no worker whose log could be shown"
        if self.filling or not all(feed.opened for feed in self.shown):
            return "reading …"
        if self.least != "all":
            return "no error in what is left of the log" if self.least == "error" else "neither warning nor error in it"
        return "nothing was written yet"

    def share(self) -> tuple[float, float]:
        """Which part of all bytes is in view, from 0 to 1."""
        seen = self.place.visible()
        if not seen:
            return 0.0, 1.0
        loaded = all(feed.part.at_top and feed.part.at_bottom for feed in self.shown)
        if loaded and len(seen) == len(self.place.items):
            return 0.0, 1.0
        begin = sum(feed.extent.begin for feed in self.shown)
        size = max(sum(feed.extent.end for feed in self.shown) - begin, 1)
        top, bottom = seen[0][0], seen[-1][0] + 1
        return (self._bytes_before(top) - begin) / size, (self._bytes_before(bottom) - begin) / size

    def _bytes_before(self, index: int) -> int:
        """Bytes of all logs that stand before an item, in their order by time."""
        firsts: dict[int, int] = {}
        for item in self.place.items[index:]:
            firsts.setdefault(item.entry.feed, item.entry.offset)
            if len(firsts) == len(self.shown):
                break
        return sum(firsts.get(feed.part.feed, feed.part.high) for feed in self.shown)

    @property
    def unseen(self) -> int:
        return 0 if self.place.following else sum(feed.unseen for feed in self.shown)

    @property
    def complete(self) -> bool:
        """The ends of all logs are loaded, so that `unseen` counts every line."""
        return all(feed.part.at_bottom for feed in self.shown)

    @property
    def looked(self) -> tuple[Feed, int] | None:
        """How far a search for lines of the least level is."""
        return next(((feed, feed.looked) for feed in self.shown if feed.looked is not None), None)

    # --- loading ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        await asyncio.gather(*(self._safely(feed, feed.open_end()) for feed in self.feeds))
        self.touch()

    def lacking(self) -> list[Feed]:
        """Whose lines must be fetched for the view and a margin around it."""
        if self._behind:
            self.gather()
        parts = [feed.part for feed in self.shown]
        wanted = set()
        if self.place.top < MARGIN and (not self.place.following or len(self.place.items) < MARGIN):
            wanted |= {part.feed for part in behind(parts)}
        seen = self.place.visible()
        if not seen or len(self.place.items) - seen[-1][0] < MARGIN:
            wanted |= {part.feed for part in short(parts)}
        return [feed for feed in self.shown if feed.part.feed in wanted and feed.opened]

    async def fill(self, feed: Feed) -> None:
        """Fetch what the view lacks of this log. One at a time for each: `filling` has those that are at it."""
        self.filling.add(feed.part.feed)
        try:
            for _ in range(_PAGES):
                if feed not in self.lacking():
                    return
                before = feed.reach
                await self._safely(feed, self._more(feed))
                if feed.reach == before:
                    return  # the daemon can't be asked now
                self._trim()
        finally:
            self.filling.discard(feed.part.feed)

    async def _more(self, feed: Feed) -> None:
        if self.place.top < MARGIN:
            await feed.older()
        if not feed.part.at_bottom:
            await feed.newer()

    def _trim(self) -> None:
        """Let go of what lies far from what one reads."""
        if self.place.following:
            return
        self.gather()
        middle = self.place.items[self.place.top].entry if self.place.items else None
        for feed in self.shown:
            part = feed.part
            if len(part.lines) <= 3 * KEPT or middle is None:
                continue
            here = next((at for at, line in enumerate(part.lines) if line.offset >= middle.offset), 0)
            if part.feed != middle.feed:
                here = len(part.lines) // 2
            if here < len(part.lines) // 2:
                feed.forget_below(here + KEPT)
            else:
                part.drop_top(len(part.lines) - here + KEPT)
        self._behind = True

    async def _safely(self, feed: Feed, asked: Awaitable[None]) -> None:
        try:
            await asked
        except QvlError as error:
            feed.refused(error)

    def _newest(self) -> float | None:
        found = [line.stamp.at for feed in self.feeds for line in feed.part.lines[-20:] if line.stamp.at is not None]
        return max(found, default=None)

    # --- moving -----------------------------------------------------------------------------------------------------

    def follow(self) -> bool:
        """To the end. False where that must be loaded first: `open`."""
        self._follows(True)
        self.place.follow()
        self.touch()
        return all(feed.part.at_bottom for feed in self.shown)

    def hold(self) -> None:
        if self.place.following:
            self.place.hold()
            self._follows(False)
            self._behind = True

    def _follows(self, follows: bool) -> None:
        for feed in self.feeds:
            feed.following, feed.unseen = follows, 0

    async def go(self, worker: str, offset: int, at: float | None = None) -> None:
        """Look at the line at this offset; the other logs at the same time."""
        self.hold()
        feed = next(feed for feed in self.feeds if feed.worker == worker)
        id: Id = (feed.part.feed, offset, 1)
        if not feed.part.low <= offset < feed.part.high or find(self.place.items, id) is None:
            await feed.open_at(offset)
            if at is None and len(self.shown) > 1:
                at = next((line.stamp.at for line in feed.part.lines if line.stamp.at is not None), None)
            for other in self.shown:
                if other is not feed and at is not None:
                    await other.open_at(await self.seek(other, at))
            await feed.older()
            self.gather()
        hidden = find(self.place.items, id)
        if hidden is not None and self.place.items[hidden].hidden:
            self.folds.turn(self.place.items[hidden].hidden[0])
            self.gather()
        if not self.place.look(id) and self.place.items:
            own = [at for at, item in enumerate(self.place.items) if item.entry.feed == id[0] and item.id >= id]
            if own:
                self.place.look(self.place.items[own[0]].id)
        self.touch()

    async def go_share(self, worker: str, share: float) -> None:
        """Look at this part, 0-1, of a worker's log."""
        feed = next(feed for feed in self.feeds if feed.worker == worker)
        await feed.measure()
        span = feed.extent.end - feed.extent.begin
        await self.go(worker, await feed.aligned(feed.extent.begin + round(span * min(max(share, 0.0), 1.0))))

    async def go_time(self, feed: Feed, at: float) -> bool:
        """Look at the first line of a log that is not before this time; False where no line tells one."""
        offset = await self.seek(feed, at)
        await feed.open_at(offset)
        for line in feed.part.lines:
            if line.stamp.at is not None and line.stamp.at >= at:
                await self.go(feed.worker, line.offset, at)
                return True
        if not any(line.stamp.at is not None for line in feed.part.lines):
            return False
        await self.go(feed.worker, feed.part.lines[-1].offset, at)
        return True

    async def to_top(self) -> None:
        """Look at the first lines that are left."""
        self.hold()
        for feed in self.shown:
            await feed.measure()
            if not feed.part.at_top or not feed.part.lines:
                await feed.open_at(feed.extent.begin)
                feed.part.at_top = True
        self.gather()
        self.place.to_top()
        self.touch()

    async def seek(self, feed: Feed, at: float) -> int:
        """The offset of a line shortly before this time."""
        await feed.measure()
        low, high = feed.extent.begin, feed.extent.end
        while high - low > PAGE // 2:
            middle = await feed.aligned((low + high) // 2)
            if not low < middle < high:
                break
            page = await self.link.log_page(feed.worker, middle, PAGE // 8)
            stamps = (line.stamp.at for line in entries(page.data, page.offset))
            found = next((stamp for stamp in stamps if stamp is not None), None)
            low, high = (middle, high) if found is not None and found < at else (low, middle)
        return low

    # --- looking for something --------------------------------------------------------------------------------------

    async def find(self, hunt: Hunt, *, back: bool, here: bool = False) -> bool:
        """Look at the next match; False where there is none. `here`: the line under the cursor may be it."""
        if not hunt.pattern and (near := near_error(self.place.items, self.place.cursor, back=back)) is not None:
            await self.go(self.feeds[near.feed].worker, near.offset)
            return True
        found = await hunt.next(self.link, self._starts(back=back, here=here), back=back)
        if found is None:
            return False
        worker, hit = found
        await self.go(worker, hit.offset, hit.at)
        return True

    def _starts(self, *, back: bool, here: bool) -> dict[str, int]:
        """Of each log the offset from which one looks on: beside the cursor."""
        current = self.place.current
        starts = {}
        for feed in self.shown:
            part = feed.part
            if current is None:
                starts[feed.worker] = max(feed.extent.end, part.high)
            elif current.entry.feed == part.feed:
                after = back if here else not back
                starts[feed.worker] = current.entry.offset + (max(current.entry.size, 1) if after else 0)
            elif back:
                below = (i.entry.offset for i in self.place.items[self.place.cursor :] if i.entry.feed == part.feed)
                starts[feed.worker] = next(below, part.high)
            else:
                above = [i for i in self.place.items[: self.place.cursor] if i.entry.feed == part.feed]
                starts[feed.worker] = above[-1].entry.offset + above[-1].entry.size if above else part.low
        return starts

    async def run(self, by: int) -> bool:
        """To where the run before (or after) the one under the cursor begins; False where there is none."""
        if not self.feeds:
            return False
        here = self.place.current
        feed = self.feeds[here.entry.feed] if here is not None else (self.shown or self.feeds)[0]
        await feed.measure()
        begins = [max(run.offset, feed.extent.begin) for run in feed.extent.runs]
        offset = here.entry.offset if here is not None else feed.extent.end
        if by < 0:
            found = next((begin for begin in reversed(begins) if begin < offset), None)
        else:
            found = next((begin for begin in begins if begin > offset and begin < feed.extent.end), None)
        if found is None:
            return False
        await self.go(feed.worker, found)
        return True

    def baseless(self) -> list[tuple[Feed, int]]:
        """The runs, by their first bytes, whose lines are in view and whose first times are not known yet."""
        if self.look.stamps is not Stamps.RELATIVE:
            return []
        found = {}
        for index, _ in self.place.visible():
            entry = self.place.items[index].entry
            runs = self.feeds[entry.feed].extent.runs
            run = max((run.offset for run in runs if run.offset <= entry.offset), default=0)
            if (entry.feed, run) not in self._bases:
                found[(entry.feed, run)] = (self.feeds[entry.feed], run)
        return list(found.values())

    async def learn_bases(self, wanted: Sequence[tuple[Feed, int]]) -> None:
        """Learn the stamps with which these runs began, or what is left of them."""
        for feed, run in wanted:
            page = await self.link.log_page(feed.worker, run, 16 * 1024)
            stamps = (line.stamp.at for line in entries(page.data, page.offset))
            self._bases[(feed.part.feed, run)] = next((stamp for stamp in stamps if stamp is not None), None)
        self.touch()

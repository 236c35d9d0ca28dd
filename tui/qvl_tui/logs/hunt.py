"""The next line that matches, in logs of any size: asked of the daemon, remembered as far as it was looked through."""

import asyncio
from contextlib import aclosing
from typing import NamedTuple

from qvl.model.error import ErrorCode, QvlError
from qvl.model.log import LogEnd, LogFound, LogMatch, LogProgress, LogSearch

from qvl_tui.link import Link
from qvl_tui.logs.stamps import stamp_of

AHEAD = 50
"""Matches that are asked for at once."""
SOON = 0.05
"""Seconds that are waited for further matches once one is there."""


class Hit(NamedTuple):
    offset: int
    at: float | None
    """The stamp of its record."""
    record: int


class Known:
    """All matches within [low, high) of one log."""

    def __init__(self) -> None:
        self.low = self.high = 0
        self.hits: list[Hit] = []
        self.top = False
        """Nothing matches before `low`."""

    def around(self, start: int) -> None:
        """Forget what does not reach to `start`."""
        if not self.low <= start <= self.high:
            self.low = self.high = start
            self.hits, self.top = [], False

    def next(self, start: int, *, back: bool) -> Hit | None:
        if back:
            return next((hit for hit in reversed(self.hits) if hit.offset < start), None)
        return next((hit for hit in self.hits if hit.offset >= start), None)


class Hunt:
    """One thing that is looked for, in all logs that are shown."""

    def __init__(self, pattern: str, *, level: str = "info", ignore_case: bool = False) -> None:
        self.pattern = pattern
        self.level = level
        self.ignore_case = ignore_case
        self.back = True
        """The direction of `n`: back in time."""
        self.looking: dict[str, int] = {}
        """worker -> offset that was reached, while it is looked for"""
        self._known: dict[str, Known] = {}

    async def next(self, link: Link, starts: dict[str, int], *, back: bool) -> tuple[str, Hit] | None:
        """The nearest match before, or not before, the offset that is given of each worker. Raises QvlError."""
        self.looking = dict(starts)
        try:
            asked = [self._one(link, worker, start, back=back) for worker, start in starts.items()]
            found = await asyncio.gather(*asked)
        finally:
            self.looking = {}
        hits = [(worker, hit) for worker, hit in zip(starts, found, strict=True) if hit is not None]
        if not hits:
            return None
        never = float("-inf") if back else float("inf")

        def when(each: tuple[str, Hit]) -> float:
            return never if each[1].at is None else each[1].at

        return max(hits, key=when) if back else min(hits, key=when)

    async def _one(self, link: Link, worker: str, start: int, *, back: bool) -> Hit | None:
        known = self._known.setdefault(worker, Known())
        known.around(start)
        if (hit := known.next(start, back=back)) is not None or (back and known.top):
            return hit
        edge = known.low if back else known.high
        search = LogSearch(
            pattern=self.pattern,
            level=self.level,
            before=edge if back else None,
            since=None if back else edge,
            count=AHEAD,
            ignore_case=self.ignore_case,
        )
        async with aclosing(link.log_search(worker, search)) as answers:
            while True:
                try:
                    # What lies near comes at once; one does not wait for what lies far.
                    async with asyncio.timeout(SOON if known.next(start, back=back) is not None else None):
                        answer = await anext(answers)
                except (StopAsyncIteration, TimeoutError):
                    break
                self._take(known, answer, back=back)
                if isinstance(answer, LogEnd) and answer.reason == "limit":
                    raise QvlError(ErrorCode.REFUSED, answer.message)
                if isinstance(answer, LogProgress):
                    self.looking[worker] = answer.at
        return known.next(start, back=back)

    @staticmethod
    def _take(known: Known, answer: LogFound, *, back: bool) -> None:
        if isinstance(answer, LogMatch):
            at = stamp_of(answer.head or answer.text).at
            hit = Hit(answer.offset, at, answer.record)
            if back:
                known.hits.insert(0, hit)
                known.low = answer.offset
            else:
                known.hits.append(hit)
                known.high = answer.offset + answer.size
        elif back:
            known.low = min(known.low, answer.at)
            known.top = isinstance(answer, LogEnd) and answer.reason == "exhausted"
        else:
            known.high = max(known.high, answer.at)

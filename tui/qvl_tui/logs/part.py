"""The part of one log that is in memory: the lines of bytes [low, high), whole and in order. Bounded. Pure."""

from collections.abc import Sequence

from qvl_tui.logs.lines import Entry


class Part:
    def __init__(self, feed: int = 0) -> None:
        self.feed = feed
        self.lines: list[Entry] = []
        self.open: Entry | None = None
        """The last line of the log while nothing has ended it."""
        self.low = self.high = 0
        self.at_top = False
        """Nothing lies before `low`."""
        self.at_bottom = False
        """What is appended is appended here."""

    def reset(self, at: int) -> None:
        """Empty, between the bytes before and after `at`."""
        self.lines, self.open = [], None
        self.low = self.high = at
        self.at_top = self.at_bottom = False

    def before(self, lines: Sequence[Entry], low: int, *, top: bool) -> None:
        self.lines[:0] = lines
        self.low, self.at_top = low, top

    def after(self, lines: Sequence[Entry], high: int, *, bottom: bool) -> None:
        self.lines += lines
        self.high, self.at_bottom = high, bottom

    def drop_top(self, keep: int) -> None:
        """Keep the last `keep` lines."""
        if len(self.lines) > keep:
            del self.lines[: len(self.lines) - keep]
            self.low, self.at_top = self.lines[0].offset if self.lines else self.high, False

    def drop_bottom(self, keep: int) -> None:
        """Keep the first `keep` lines; what is appended from now on is not looked at."""
        if len(self.lines) > keep:
            del self.lines[keep:]
            self.high = self.lines[-1].offset + self.lines[-1].size if self.lines else self.low
            self.at_bottom, self.open = False, None

    @property
    def shown(self) -> list[Entry]:
        return [*self.lines, self.open] if self.open is not None else self.lines

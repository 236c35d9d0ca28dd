"""Changes that an engine takes while it runs, as HTTP calls."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from qvl.model.spec import Launch


class LiveCall(msgspec.Struct, frozen=True):
    """A POST that does one part of a change. Doing it twice does no harm."""

    path: str
    body: dict[str, object]
    what: str
    """The part, as a sentence about it begins: `log-level = debug`."""
    timeout: float
    """Seconds after which it counts as failed."""


class Live(Protocol):
    """What the engines of one kind take without another start.

    A change is live only where it leads to what a start with the new arguments would have led to, so that nobody has to
    know how a worker came to be as it is. Where it falls short of that, `left_behind` says by what.
    """

    def arguments(self, old: Launch, new: Launch, since: float) -> frozenset[str]:
        """The arguments that a process takes that runs `old` since `since` (unix time) and is to run `new`. Looks at
        the disk, quickly."""
        ...

    def look(self, olds: Sequence[Launch], new: Launch) -> str:
        """The path to ask before `calls`; empty where nothing has to be known."""
        ...

    def calls(self, olds: Sequence[Launch], new: Launch, seen: Mapping[str, object]) -> tuple[LiveCall, ...]:
        """What makes a process run `new` that runs any of `olds`, or parts of several: a change may have been cut off.
        `seen`: what `look` answered."""
        ...

    def wrong(self, call: LiveCall, status: int, text: str) -> str | None:
        """What an answer says went wrong, in the engine's own words; None: it is done."""
        ...

    def left_behind(self, started: Launch, now: Launch) -> tuple[str, ...]:
        """What of a process that was started with `started` and changed to `now` only a new start will bring along."""
        ...

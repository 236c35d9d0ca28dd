"""Changes that an engine takes while it runs, as HTTP calls."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
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
    so_already: str = ""
    """Words of a refusal by which there was nothing to do; empty where none say so."""


ROUNDS = 3
"""How often it is looked again at what an engine has, after a call that it refused."""


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


async def carry_out(
    live: Live,
    olds: Sequence[Launch],
    new: Launch,
    look: Callable[[str], Awaitable[dict[str, object] | str]],
    post: Callable[[LiveCall], Awaitable[str | None]],
) -> list[str] | str:
    """Make a process run `new` that runs any of `olds`. The parts that were done, or what went wrong. `look` answers
    with what is at a path, `post` with what went wrong; for both a sentence is the end of it."""
    done: list[LiveCall] = []
    wrong, refused = "", None
    for _ in range(ROUNDS):
        seen = await look(path) if (path := live.look(olds, new)) else {}
        if isinstance(seen, str):
            return wrong or seen
        calls = live.calls(olds, new, seen)
        if refused in calls and all(call in done for call in calls[: calls.index(refused)]):
            return wrong
        # It has come about meanwhile, or something else has that can be mended: an engine goes on with what it was
        # asked, whoever is there to hear the answer.
        for call in calls:
            if (said := await post(call)) is not None:
                wrong, refused = said, call
                break
            done.append(call)
        else:
            return list(dict.fromkeys(call.what for call in done))
    return wrong

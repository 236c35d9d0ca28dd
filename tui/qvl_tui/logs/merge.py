"""Several logs as one sequence, by the times in their lines. Pure.

Within a log the order of its bytes holds. A line without a stamp has the time of the line before it, so that a record
stays together; where a log has no stamps at all, a line has the time at which it arrived among the others.
Of each log only a part is loaded, so between them only times that all parts reach are told: an older line of a log
that was not fetched yet must not turn up later in the middle of what was already read.
"""

from collections.abc import Sequence
from itertools import chain

from qvl_tui.logs.lines import Entry
from qvl_tui.logs.part import Part

Keyed = tuple[float, int, int, Entry]


def merged(parts: Sequence[Part]) -> list[Entry]:
    """Every line of one part; of several, the lines of the times that all of them reach."""
    if len(parts) == 1:
        return list(parts[0].shown)
    keyed = [keys(part) for part in parts]
    low = frontier(parts)
    high = min(
        (line[-1][0] for part, line in zip(parts, keyed, strict=True) if line and not part.at_bottom),
        default=float("inf"),
    )
    ordered = sorted(each for each in chain.from_iterable(keyed) if low <= each[0] <= high)
    return [each[3] for each in ordered]


def frontier(parts: Sequence[Part]) -> float:
    """The time before which some log is not loaded yet; -inf where all begin."""
    lows = [first for part in parts if not part.at_top and (first := _first(part)) is not None]
    return max(lows, default=float("-inf"))


def behind(parts: Sequence[Part]) -> list[Part]:
    """Whose older lines must come for the sequence to reach further back."""
    low = frontier(parts)
    return [part for part in parts if not part.at_top and ((first := _first(part)) is None or first >= low)]


def short(parts: Sequence[Part]) -> list[Part]:
    """Whose newer lines must come for the sequence to reach further on."""
    ends = {id(part): line[-1][0] for part in parts if not part.at_bottom and (line := keys(part))}
    high = min(ends.values(), default=float("inf"))
    return [part for part in parts if not part.at_bottom and ends.get(id(part), high) <= high]


def keys(part: Part) -> list[Keyed]:
    """Each line with its time, which never goes back within a log."""
    found: list[Keyed] = []
    key = _first(part)
    now = float("-inf") if key is None else key
    for number, line in enumerate(part.shown):
        if line.stamp.at is not None and line.stamp.at > now:
            now = line.stamp.at
        found.append((now, part.feed, number, line))
    return found


def _first(part: Part) -> float | None:
    return next((line.stamp.at for line in part.shown if line.stamp.at is not None), None)

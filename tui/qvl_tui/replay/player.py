"""Which moment of a recording shows: where one is, how fast it goes on, and where each key leads.

Pure: `now` is an argument, seconds of any monotonic clock. Moments are unix seconds.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SPEEDS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class NotThere(ValueError):
    """A time that the recording doesn't have, or that is none; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Player:
    begin: float
    end: float
    place: float
    """The moment that showed at `since`."""
    since: float = 0.0
    speed: float = 1.0
    playing: bool = False

    def position(self, now: float) -> float:
        if not self.playing:
            return self.place
        return min(self.end, self.place + max(0.0, now - self.since) * self.speed)

    def over(self, now: float) -> bool:
        return self.position(now) >= self.end

    def settled(self, now: float) -> "Player":
        """At the end it stands still: nothing more was recorded."""
        return replace(self, place=self.end, since=now, playing=False) if self.playing and self.over(now) else self

    def toggled(self, now: float) -> "Player":
        """Hold, or go on; from the end, once more from the beginning."""
        place = self.position(now)
        if not self.playing and place >= self.end:
            place = self.begin
        return replace(self, place=place, since=now, playing=not self.playing)

    def at(self, place: float, now: float) -> "Player":
        return replace(self, place=min(max(place, self.begin), self.end), since=now)

    def moved(self, by: float, now: float) -> "Player":
        """`by` seconds on, or back."""
        return self.at(self.position(now) + by, now)

    def paced(self, by: int, now: float) -> "Player":
        """So many steps faster, or slower."""
        step = min(max(SPEEDS.index(self.speed) + by, 0), len(SPEEDS) - 1)
        return replace(self, place=self.position(now), since=now, speed=SPEEDS[step])

    def jumped(self, moments: Sequence[float], by: int, now: float) -> "Player":
        """To the next of `moments` (sorted), or the one before; where there is none it stays."""
        place = self.position(now)
        index = bisect_right(moments, place) if by > 0 else bisect_left(moments, place) - 1
        return self.at(moments[index], now) if 0 <= index < len(moments) else self

    def wait(self, place: float, now: float) -> float | None:
        """Seconds until `place` shows; None where it doesn't as things are."""
        if not self.playing or place > self.end:
            return None
        return max(0.0, place - self.position(now)) / self.speed


def moment(text: str, player: Player, now: float) -> float:
    """The moment that a user typed: `03:12`, `03:12:30`, `2026-03-04 03:12`, local time; or `+90`, `-5m`, `+1h` from
    here. A time of day that comes several times is the one nearest to here. Raises NotThere."""
    text = text.strip()
    here = player.position(now)
    if text[:1] in ("+", "-"):
        return min(max(here + _span(text), player.begin), player.end)
    found = _times(text, player)
    inside = [time for time in found if player.begin - 60 <= time <= player.end]
    if not inside:
        raise NotThere(f"{text} is not in the recording")
    return max(min(inside, key=lambda time: abs(time - here)), player.begin)


def _span(text: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1])
    try:
        seconds = float(text if unit is None else text[:-1]) * (unit or 1)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise NotThere(f"{text} is no span: write it like +90, -5m or +1h")
    return seconds


def _times(text: str, player: Player) -> list[float]:
    """The moments that may be meant."""
    for form in ("%H:%M", "%H:%M:%S"):
        try:
            time = datetime.strptime(text, form).time()  # noqa: DTZ007 - a time of day alone
        except ValueError:
            continue
        first = datetime.fromtimestamp(player.begin).astimezone().date()
        last = datetime.fromtimestamp(player.end).astimezone().date()
        days = min((last - first).days, 400)
        return [datetime.combine(first + timedelta(day), time).timestamp() for day in range(days + 1)]
    try:
        return [datetime.fromisoformat(text).timestamp()]
    except (ValueError, OverflowError) as error:
        raise NotThere(f"{text} is no time: write it like 03:12, 03:12:30 or 2026-03-04 03:12") from error

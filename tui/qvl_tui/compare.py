"""Two profiles beside each other: what each did while it ran, worker by worker. Pure.

Only steps in which requests ran count, so that a quiet night doesn't make a profile look slow; and figures are those of
one worker, so that two workers of one profile compare with eight of another.
"""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from qvl_tui.past import Past, Value
from qvl_tui.scale import Unit


class Measure(NamedTuple):
    title: str
    figure: str
    unit: Unit
    less_is_better: bool | None = None
    """None: neither is."""


MEASURES = (
    Measure("throughput", "tokens_per_s", Unit.RATE, False),
    Measure("first token p50", "ttft_p50_s", Unit.TIME, True),
    Measure("first token p95", "ttft_p95_s", Unit.TIME, True),
    Measure("between tokens p50", "itl_p50_s", Unit.TIME, True),
    Measure("between tokens p95", "itl_p95_s", Unit.TIME, True),
    Measure("running", "running", Unit.COUNT),
    Measure("kv cache", "kv_usage", Unit.SHARE),
    Measure("cache hits", "cache_hit_rate", Unit.SHARE, False),
    Measure("accept length", "accept_length", Unit.PLAIN, False),
)


class Figures(NamedTuple):
    median: Value
    p95: Value


def profiles(past: Past, workers: Iterable[str]) -> list[str]:
    """Those that ran, the one that ran last first."""
    last: dict[str, int] = {}
    for name in workers:
        for place, profile in enumerate(past.profiles.get(name, ())):
            if profile is not None:
                last[profile] = max(place, last.get(profile, 0))
    return sorted(last, key=lambda profile: (-last[profile], profile))


def pair(known: Sequence[str], wanted: tuple[str | None, str | None]) -> tuple[str, str] | None:
    """The two to compare: those wanted where they ran, else the last two, the earlier one first."""
    if len(known) < 2:
        return None
    first, second = wanted
    if second not in known:
        second = next(each for each in known if each != first)
    if first not in known or first == second:
        first = next(each for each in known if each != second)
    assert first is not None
    assert second is not None
    return first, second


def places(past: Past, worker: str, profile: str) -> list[int]:
    """The steps in which this worker ran the profile."""
    return [place for place, ran in enumerate(past.profiles.get(worker, ())) if ran == profile]


def measured(past: Past, workers: Iterable[str], profile: str, figure: str) -> Figures:
    """Over all its workers and all steps in which requests ran."""
    found: list[float] = []
    for worker in workers:
        values, running = past.values(worker, figure), past.values(worker, "running")
        for place in places(past, worker, profile):
            value = values[place] if values else None
            if value is not None and running and running[place]:
                found.append(value)
    if not found:
        return Figures(None, None)
    found.sort()
    return Figures(median(found), found[min(len(found) - 1, int(len(found) * 0.95))])


def stretch(past: Past, workers: Sequence[str], profile: str, gap: int = 6) -> range:
    """The last time that it ran without a break: the steps from its beginning to its end. A break is longer than `gap`
    steps."""
    ran = sorted({place for worker in workers for place in places(past, worker, profile)})
    if not ran:
        return range(0)
    start = ran[-1]
    for place in reversed(ran):
        if start - place > gap:
            break
        start = place
    return range(start, ran[-1] + 1)


def average(past: Past, workers: Iterable[str], profile: str, figure: str, steps: range) -> list[Value]:
    """The mean of those that ran the profile, step by step."""
    columns = [(past.values(name, figure), past.profiles.get(name, ())) for name in workers]
    means: list[Value] = []
    for place in steps:
        known = [
            value
            for values, ran in columns
            if values and ran and ran[place] == profile
            for value in (values[place],)
            if value is not None
        ]
        means.append(sum(known) / len(known) if known else None)
    return means


def difference(before: Value, after: Value) -> str:
    """`+46%`, `−12%`; empty where it can't be told."""
    if before is None or after is None or before <= 0:
        return ""
    change = round((after / before - 1) * 100)
    return f"{'+' if change > 0 else '−' if change < 0 else '±'}{abs(change):,}%"

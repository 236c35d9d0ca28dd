"""Figures as people read and type them. Pure; shared by everything that prints."""

from __future__ import annotations

from datetime import UTC, datetime

GIB = 1024**3


def parse_time(text: str) -> datetime:
    """A time of the wire (UTC, RFC 3339)."""
    return datetime.fromisoformat(text)


def age(since: str, now: datetime) -> str:
    return duration((now - parse_time(since)).total_seconds())


def duration(seconds: float) -> str:
    """At most two units, in six columns: `0s`, `42s`, `7m30s`, `23h05m`, `9d4h`, `120d`."""
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days >= 10:
        return f"{days}d"
    if days:
        return f"{days}d{hour}h"
    if hours:
        return f"{hours}h{minute:02}m"
    if minutes:
        return f"{minutes}m{second:02}s"
    return f"{second}s"


def gibibytes(count: int | None) -> str:
    return "-" if count is None else f"{count / GIB:.1f}"


def percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction * 100:.0f}%"


def count(number: int, noun: str) -> str:
    """`1 worker`, `3 workers`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def now_utc() -> datetime:
    return datetime.now(UTC)

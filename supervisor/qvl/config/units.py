"""Durations and sizes as people write them: `90`, `"90s"`, `"1h30m"`, `"50MB"`, `"1GiB"`, and back again for messages.

Standard library only: the CLI reads its `--timeout` with this before anything heavy is imported.
"""

import math
import re
from typing import Final

MAX_DURATION: Final = 3650 * 86400.0
"""Ten years in seconds: what is longer is a slip, and would overflow somebody's timer."""
MAX_SIZE: Final = 1 << 60

_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES: Final = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
# A unit that is followed by a letter is another, longer word: "5min" must not read as 5 m and "in".
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|[dhms])(?![a-z]) ?")
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


class UnitError(ValueError):
    """What is wrong, as the end of a sentence: `"5 minutes" is not a duration`; `nearest` is how to write it."""

    def __init__(self, message: str, nearest: str = "") -> None:
        super().__init__(message)
        self.nearest = nearest


def parse_duration(value: object) -> float:
    """Seconds of `90`, `1.5`, `"90s"`, `"5m"`, `"1h30m"`, `"250ms"`, `"2d"` or `"90"`. Raises UnitError."""
    if isinstance(value, str):
        return _bounded(_written_duration(value), value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnitError(f"is {_kind(value)}, not a duration", '"90s"')
    return _bounded(value, value)


def parse_size(value: object) -> int:
    """Bytes of `4096`, `"50MB"` (decimal) or `"1GiB"` (binary). Raises UnitError."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UnitError(f"is {_kind(value)}, not a size", '"50MB"')
    size = value if isinstance(value, int) else _written_size(value)
    if size < 0:
        raise UnitError(f"{value} is negative")
    if size > MAX_SIZE:
        raise UnitError(f"{value} is larger than any disk")
    return size


def format_duration(seconds: float) -> str:
    """The shortest spelling that parses to the same time, to the millisecond: 5400 → `1h30m`, 0.25 → `250ms`."""
    left = round(seconds * 1000)
    text = "-" if left < 0 else ""
    left = abs(left)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def format_size(size: int) -> str:
    """Bytes in the largest unit that loses nothing: 50000000 → `50MB`, 1073741824 → `1GiB`, 1234567 → `1234567B`."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _written_duration(text: str) -> float:
    bare = text.strip()
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", bare):
        return float(bare)
    total, at, before = 0.0, 0, math.inf
    for part in _PART.finditer(bare):
        seconds = _SECONDS[part[2]]
        if part.start() != at or seconds >= before:
            break
        total, at, before = total + float(part[1]) * seconds, part.end(), seconds
    if not at or at != len(bare):
        raise UnitError(f'"{text}" is not a duration', _duration_guess(bare))
    return total


def _duration_guess(text: str) -> str:
    """`5 min` and `1 HOUR` are understood well enough to say how they are written here."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", text.lower())
    if match:
        for unit, words in {"ms": "milliseconds millis msec", "s": "seconds sec secs"}.items():
            if match[2] == unit or match[2] in words.split() or match[2] + "s" in words.split():
                return f'"{match[1]}{unit}"'
        if match[2][0] in "mhd" and match[2] not in ("month", "months"):
            return f'"{match[1]}{match[2][0]}"'
    return '"90s", "5m" or "1h30m"'


def _written_size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise UnitError(f'"{text}" is not a size', '"50MB" or "1GiB"')
    number, unit = match.groups()
    if unit not in _BYTES:
        near = next((known for known in _BYTES if known.lower() in (unit.lower(), unit.lower() + "b")), "MB")
        raise UnitError(f'"{text}" is not a size: the unit "{unit}" is unknown', f'"{number}{near}"')
    # By float where the digits are too many for a size, and perhaps for int(), which refuses more than 4300.
    exact = "." not in number and len(number) <= 20
    size = int(number) * _BYTES[unit] if exact else float(number) * _BYTES[unit]
    return round(min(size, 2 * MAX_SIZE))


def _bounded(seconds: float, written: object) -> float:
    if not math.isfinite(seconds):
        raise UnitError(f"{written} is not a duration", '"90s"')
    if seconds < 0:
        raise UnitError(f"{written} is negative")
    if seconds > MAX_DURATION:
        raise UnitError(f"{written} is longer than ten years")
    return float(seconds)


def _kind(value: object) -> str:
    """A word for a value of the wrong type, as TOML calls it."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
    return "a date or time"

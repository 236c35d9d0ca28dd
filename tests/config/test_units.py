"""Durations and sizes, there and back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.config.units import MAX_DURATION, UnitError, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *((90, 90.0), (0, 0.0), (1.5, 1.5), ("90", 90.0), ("90s", 90.0), ("5m", 300.0), ("1h30m", 5400.0)),
        *(("250ms", 0.25), ("2d", 172800.0), ("1h 30m", 5400.0), (" 5 m ", 300.0), ("1.5h", 5400.0), ("1m1ms", 60.001)),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    ("written", "message", "nearest"),
    [
        ("5 min", '"5 min" is not a duration', '"5m"'),
        ("5min", '"5min" is not a duration', '"5m"'),
        ("10 seconds", '"10 seconds" is not a duration', '"10s"'),
        ("1 Hour", '"1 Hour" is not a duration', '"1h"'),
        ("5M", '"5M" is not a duration', '"5m"'),
        ("200 msec", '"200 msec" is not a duration', '"200ms"'),
        ("30m1h", '"30m1h" is not a duration', '"90s", "5m" or "1h30m"'),
        ("5m5m", '"5m5m" is not a duration', '"90s", "5m" or "1h30m"'),
        ("", '"" is not a duration', '"90s", "5m" or "1h30m"'),
        ("٣s", '"٣s" is not a duration', '"90s", "5m" or "1h30m"'),
        ("-5", "-5 is negative", ""),
        (-1, "-1 is negative", ""),
        (float("nan"), "nan is not a duration", '"90s"'),
        (float("inf"), "inf is not a duration", '"90s"'),
        (True, "is true or false, not a duration", '"90s"'),
        ([], "is a list, not a duration", '"90s"'),
        ("5000d", "5000d is longer than ten years", ""),
        ("9" * 5000, f"{'9' * 5000} is not a duration", '"90s"'),
    ],
)
def test_no_durations(written: object, message: str, nearest: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_duration(written)
    assert (str(caught.value), caught.value.nearest) == (message, nearest)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        *((0, 0), (4096, 4096), ("4096", 4096), ("50MB", 50_000_000), ("1GiB", 1 << 30), ("1.5 GB", 1_500_000_000)),
        *(("2KB", 2000), ("2kB", 2000), ("2KiB", 2048), ("7B", 7), ("1TiB", 1 << 40)),
    ],
)
def test_sizes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    ("written", "message", "nearest"),
    [
        ("50 megs", '"50 megs" is not a size: the unit "megs" is unknown', '"50MB"'),
        ("50mb", '"50mb" is not a size: the unit "mb" is unknown', '"50MB"'),
        ("1g", '"1g" is not a size: the unit "g" is unknown', '"1GB"'),
        ("1gib", '"1gib" is not a size: the unit "gib" is unknown', '"1GiB"'),
        ("-5MB", '"-5MB" is not a size', '"50MB" or "1GiB"'),
        (-5, "-5 is negative", ""),
        (1.5, "is a number, not a size", '"50MB"'),
        ("9" * 5000, f"{'9' * 5000} is larger than any disk", ""),
        ("99999999TB", "99999999TB is larger than any disk", ""),
    ],
)
def test_no_sizes(written: object, message: str, nearest: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size(written)
    assert (str(caught.value), caught.value.nearest) == (message, nearest)


@given(st.integers(0, int(MAX_DURATION * 1000)))
def test_a_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    written = format_duration(milliseconds / 1000)
    assert round(parse_duration(written) * 1000) == milliseconds


@given(st.integers(0, 1 << 60))
def test_a_size_is_read_as_it_was_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(UnitError):
        assert 0 <= parse_duration(text) <= MAX_DURATION
    with contextlib.suppress(UnitError):
        assert parse_size(text) >= 0


def test_how_they_are_shown() -> None:
    assert [format_duration(value) for value in (0, 0.25, 90, 5400, 86400, -1.5)] == [
        *("0s", "250ms", "1m30s", "1h30m", "1d", "-1s500ms")
    ]
    assert [format_size(value) for value in (0, 7, 50_000_000, 1 << 30, 1_234_567)] == [
        *("0B", "7B", "50MB", "1GiB", "1234567B")
    ]

"""Times in lines: found, compared, and shown in three ways."""

import pytest
from qvl_tui.logs.goto import Goto, goto
from qvl_tui.logs.stamps import Stamps, since, stamp_of, stamped

SGLANG = "[2026-11-21 20:27:08 TP0] Decode batch"


@pytest.mark.parametrize(
    ("text", "shown", "rest"),
    [
        ("[2026-11-21 20:27:08] ready", "2026-11-21 20:27:08", "ready"),
        (SGLANG, "2026-11-21 20:27:08", "[TP0] Decode batch"),
        ("[2026-11-21 20:27:08.250] INFO x.py:1: y", "2026-11-21 20:27:08.250", "INFO x.py:1: y"),
        ("INFO 11-21 20:27:08 [core.py:7] y", "11-21 20:27:08", "INFO [core.py:7] y"),
        (
            "(EngineCore pid=7) WARNING 11-21 20:27:08 [a.py:1] y",
            "11-21 20:27:08",
            "(EngineCore pid=7) WARNING [a.py:1] y",
        ),
        ("2026-11-21T20:27:08.123456Z told", "2026-11-21T20:27:08.123456Z", "told"),
        ("2026-11-21 20:27:08,123 - name - INFO - y", "2026-11-21 20:27:08,123", "- name - INFO - y"),
    ],
)
def test_a_stamp_is_recognised(text: str, shown: str, rest: str) -> None:
    stamp = stamp_of(text)
    assert stamp.shown == shown
    assert stamped(text, stamp, Stamps.OFF, None) == ("", rest)
    assert stamped(text, stamp, Stamps.ABSOLUTE, 0.0) == ("", text)
    assert stamp.at is not None
    assert stamped(text, stamp, Stamps.RELATIVE, stamp.at - 62.5) == ("  +0:01:02 ", rest)
    assert stamped(text, stamp, Stamps.RELATIVE, None)[0].endswith(" ")


@pytest.mark.parametrize(
    "text", ["", "ready", "  File x", "[rank0]: y", "[2026-13-41 20:27:08] y", "12 monkeys", "ERROR: y"]
)
def test_what_is_no_stamp(text: str) -> None:
    assert stamp_of(text).at is None
    assert stamped(text, stamp_of(text), Stamps.OFF, None) == ("", text)


def test_stamps_are_in_order_over_midnight_and_within_a_second() -> None:
    times = ["2026-11-30 23:59:59", "2026-12-01 00:00:00", "2026-12-01 00:00:00.500", "2027-01-01 00:00:00"]
    found = [stamp_of(f"[{time}] x").at for time in times]
    assert found == sorted(found, key=lambda at: at or 0)
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "+0:00:00"), (42.9, "+0:00:42"), (43391, "+12:03:11"), (-5, "-0:00:05"), (273_600, "+3 d 04:00")],
)
def test_since(seconds: float, text: str) -> None:
    assert since(seconds).strip() == text
    assert len(since(seconds)) == 10


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("50%", Goto(share=0.5)),
        ("99.5 %", Goto(share=0.995)),
        ("1234567", Goto(byte=1234567)),
        ("1.5GB", Goto(byte=1_610_612_736)),
        ("-10MiB", Goto(byte=-10_485_760)),
        ("03:12", Goto(clock=11520)),
        ("3:12:08", Goto(clock=11528)),
        ("2026-11-21 03:12", Goto(stamp=stamp_of("[2026-11-21 03:12:00] x").at)),
        ("2026-11-21T03:12:08", Goto(stamp=stamp_of("[2026-11-21 03:12:08] x").at)),
        ("2026-11-21", Goto(stamp=stamp_of("[2026-11-21 00:00:00] x").at)),
        ("9" * 400, Goto(byte=10**18)),
        ("2026-13-21", None),
        ("soon", None),
        ("", None),
    ],
)
def test_what_people_type_to_go_somewhere(text: str, place: Goto | None) -> None:
    assert goto(text) == place


def test_a_time_without_a_day_is_the_last_one() -> None:
    near = stamp_of("[2026-11-21 03:00:00] x").at
    assert Goto(clock=2 * 3600.0).moment(near) == stamp_of("[2026-11-21 02:00:00] x").at
    assert Goto(clock=4 * 3600.0).moment(near) == stamp_of("[2026-11-20 04:00:00] x").at
    assert Goto(clock=4 * 3600.0).moment(None) is None

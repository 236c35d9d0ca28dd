"""What a user of a recording sees and presses."""

import time
from pathlib import Path

import pytest
from qvl_tui.keys import KEYS, Where, keys
from qvl_tui.store import LinkPhase
from textual.widgets import Input

from tests.recording.scripts import START, night, record
from tests.tui.replay.screen import replay
from tests.tui.support import screen_test

LOGS = [(at + 0.5, "qwen3-vl-1", at * 20, b"line of second %04d\n" % at) for at in range(1, 1200)]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    profiles = b'[{"name":"standard","engine":"sglang","model":"m","extends":null,"used_by":["qwen3-vl"]}]'
    who = b'{"uid":0,"gid":0,"pid":1,"user":"root","role":"operator"}'
    documents = [(0.2, "/v1/profiles", profiles), (0.2, "/v1/whoami", who)]
    return record(tmp_path_factory.mktemp("replay") / "night", night(), logs=LOGS, documents=documents)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without logs and documents."""
    return record(tmp_path_factory.mktemp("replay") / "night", night())


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_it_begins_at_the_beginning_and_says_what_it_is(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape) as s:
            assert s.lines[0].endswith("2/2 ready   recording")
            assert "⏸ 12:03:11  ×1" in s.bar
            assert s.bar.endswith("12:03–12:23 · 1 exit ahead")
            assert "qwen3-vl-1" in s.text
            assert "live" not in s.lines[0]

    scenario()


def test_time_goes_on_as_it_was_recorded(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape, keys=["P"]) as s:
            await s.pass_(61.2)
            assert "▶ 12:04:12" in s.bar
            assert s.store.metrics["qwen3-vl-0"].tokens_per_s == 60
            await s.press("P")
            await s.pass_(100)
            assert "⏸ 12:04:12" in s.bar
            await s.press("space")
            assert "▶" in s.bar
            await s.pass_(600)
            assert s.store.workers["qwen3-vl-1"].phase == "backoff"
            assert "backoff" in s.text

    scenario()


MOVES = [
    ("u", 490),
    ("i", 510),
    ("U", 440),
    ("I", 560),
    ("left_parenthesis", 0),
    ("right_parenthesis", 1100),
    ("v", 300.999),
    ("b", 600.999),
    ("B", 600.999),
    ("circumflex_accent", 0),
    ("dollar_sign", 1199.5),
]


@pytest.mark.parametrize(("key", "place"), MOVES)
def test_each_key_leads_to_its_moment(tape: Path, key: str, place: float) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape) as s:
            s.deck.move(500)
            await s.settle()
            assert s.place == 500
            await s.press(key)
            assert s.place == pytest.approx(place, abs=0.6)
            newest = int((place - 0.01) // 5 * 5)
            if place:
                assert s.store.metrics["qwen3-vl-0"].tokens_per_s == pytest.approx(newest, abs=5)

    scenario()


def test_back_past_an_exit_it_has_not_happened_yet(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape, (120, 40), keys=["B"]) as s:
            assert "ended: out-of-gpu-memory" in s.text
            assert "1 exit ahead" not in s.bar
            await s.press("U")
            assert "ended: out-of-gpu-memory" not in s.text
            assert s.bar.endswith("1 exit ahead")
            await s.press("B", "I")
            assert "ended: out-of-gpu-memory" in s.text
            await s.press("V")
            assert s.place == pytest.approx(600.999, abs=0.6)
            await s.press("V")
            assert "no exit before this in the recording" in s.text

    scenario()


def test_speeds(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape, keys=["P", "apostrophe", "apostrophe"]) as s:
            assert "×4 " in s.bar
            await s.pass_(10)
            assert s.place == 40
            await s.pilot.press("semicolon", "semicolon", "semicolon")
            await s.settle()
            assert "×1/2" in s.bar
            await s.pass_(10)
            assert s.place == 45
            s.deck.pace(9)
            # The next news are due at once at this speed, and as time stands still here they stay so: it never settles.
            await s.shows("×64")
            await s.pass_(60)
            assert "⏸" in s.bar
            await s.press("P")
            assert s.place == 0
            assert "▶" in s.bar

    scenario()


def test_a_time_is_typed(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape) as s:
            await s.press("at", *"12:13")
            assert s.app.screen.query_one("#time", Input).value == "12:13"
            await s.press("enter")
            assert "⏸ 12:13:00" in s.bar
            assert s.store.metrics["qwen3-vl-0"].tokens_per_s == 585
            await s.press("at", *"05:00", "enter")
            assert "05:00 is not in the recording" in s.text
            await s.press("escape")
            assert "⏸ 12:13:00" in s.bar

    scenario()


def test_ages_and_countdowns_are_those_of_the_moment(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape, (120, 40)) as s:
            s.deck.move(910)
            await s.settle()
            assert s.store.link.phase is LinkPhase.DOWN
            assert "14 s old" in s.lines[0]
            assert "reconnecting for 10 s · the daemon broke off" in s.lines[1]
            assert s.app.screen.has_class("-stale")
            s.deck.move(30)
            await s.settle()
            assert s.lines[0].endswith("recording")

    scenario()


@pytest.mark.parametrize("key", ["s", "S", "r"])
def test_nothing_can_be_asked_of_it(tape: Path, key: str) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape) as s:
            await s.press(key)
            assert "is not permitted: this is a" in s.text

    scenario()


def test_logs_of_that_time(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape, keys=["j"]) as s:
            s.deck.move(300)
            await s.press("l")
            await s.pilot.pause()
            await s.shows("line of second 0299")
            assert "line of second 0301" not in s.text
            await s.press("P")
            s.clock.now += 5
            s.deck.wake()
            await s.shows("line of second 0304")
            await s.press("U")
            await s.shows("line of second 0244")
            assert "line of second 0304" not in s.text

    scenario()


def test_a_stream_that_begins_late_misses_nothing(tape: Path) -> None:
    """Time goes on between a page of a log and the stream that follows it."""

    @screen_test
    async def scenario() -> None:
        async with replay(tape) as s:
            s.deck.move(305)
            await s.settle()
            told = bytearray()
            stream = s.app.context.link.log("qwen3-vl-1", lines=0, since=20)
            async for chunk in stream:
                assert chunk.offset == 20 + len(told)
                told += chunk.data
                if b"line of second 0304\n" in told:
                    break
            assert b"line of second 0003\n" in told

    scenario()


def test_logs_that_were_not_recorded_are_told_so(silent: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(silent, (120, 40), keys=["l"]) as s:
            await s.shows("the log of qwen3-vl-0 was not recorded → record with --logs")

    scenario()


def test_documents_that_were_not_recorded_are_told_so_and_blamed_on_no_daemon(silent: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(silent, (120, 40), keys=["6"]) as s:
            await s.shows("the file was not recorded")
            await s.press("2")
            await s.shows("more of qwen3-vl-0 was not recorded")
            assert "daemon restart" not in s.text

    scenario()


def test_a_recording_that_was_cut_off_is_shown_up_to_there(tmp_path: Path) -> None:
    path = record(tmp_path / "r", night(400), whole=False)

    @screen_test
    async def scenario() -> None:
        async with replay(path, keys=["dollar_sign"]) as s:
            assert "cut off" in s.bar
            assert s.place == pytest.approx(396, abs=5)

    scenario()


def test_the_keys_are_in_help_and_in_the_palette(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape, (120, 60), keys=["question_mark"]) as s:
            pages = [s.text]
            for _ in range(4):
                await s.press("pagedown")
                pages.append(s.text)
            for key in keys(Where.REPLAY):
                assert any(key.tooltip in page for page in pages), key.id
            await s.press("escape", "colon", *"10 s back")
            await s.shows("10 s back")

    scenario()


def test_it_fits_its_terminal(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        for size in ((80, 24), (120, 40), (200, 60), (60, 20)):
            async with replay(tape, size) as s:
                assert len(s.lines) == size[1]
                assert all(len(line) <= size[0] for line in s.lines)
                assert "12:03:11" in s.bar
                assert "q quit" in s.lines[-1]

    scenario()


def test_begin_is_where_it_was_recorded(tape: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with replay(tape) as s:
            assert s.app.clock() == START / 1000

    scenario()


def test_its_keys_are_no_screens_own() -> None:
    """But for Space, which a screen may have for itself."""
    own = {each for key in keys(Where.REPLAY) for each in key.keys.split(",")} - {"space"}
    for key in KEYS:
        assert key.where is Where.REPLAY or not own & set(key.keys.split(",")), key.id

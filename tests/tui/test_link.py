"""The loop that keeps the stream: it resumes, backs off, and tells."""

import asyncio
from collections.abc import AsyncIterator
from itertools import islice

import pytest
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Event, Frame
from qvl_tui import link as module
from qvl_tui.link import delays, follow
from qvl_tui.store import LinkPhase

from tests.tui.fleet import FakeLink, event, snapshot
from tests.tui.support import screen_test

GONE = QvlError(ErrorCode.UNREACHABLE, "no daemon answers at /x")


class Attempts(FakeLink):
    """Each connection gets the next script: frames, and then the error or the end."""

    def __init__(self, *scripts: tuple[Frame | QvlError, ...]) -> None:
        super().__init__()
        self.scripts = list(scripts)

    async def events(self, since: int) -> AsyncIterator[Frame]:
        self.resumed.append(since)
        for told in self.scripts.pop(0):
            if isinstance(told, QvlError):
                raise told
            yield told


class Diary:
    """Listener and clock: writes down what it is told, and ends the loop when the scripts are used up."""

    def __init__(self, link: Attempts) -> None:
        self.link = link
        self.told: list[str] = []
        self.slept: list[float] = []
        self.last = 0

    def linked(self, phase: LinkPhase, reason: str = "") -> None:
        self.told.append(f"{phase} {reason}".strip())

    def received(self, frame: Frame) -> None:
        self.told.append(type(frame).__name__)
        if isinstance(frame, Event):
            self.last = frame.seq

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.link.scripts:
            raise asyncio.CancelledError


async def follow_all(link: Attempts) -> Diary:
    diary = Diary(link)
    with pytest.raises(asyncio.CancelledError):
        await follow(link, lambda: diary.last, diary, diary.sleep)
    return diary


def test_delays_begin_short_grow_and_are_capped() -> None:
    waits = list(islice(delays(), 20))
    assert waits[0] <= 0.25
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2] == 5.0


@screen_test
async def test_it_comes_back_from_the_last_event_it_holds() -> None:
    link = Attempts((snapshot(), event(7, "a")), (GONE,), (snapshot(), event(8, "b")))
    diary = await follow_all(link)
    assert link.resumed == [0, 7, 7]
    assert diary.told == [
        *("up", "Snapshot", "Event", "down the daemon closed the connection"),
        "down no daemon answers at /x",
        *("up", "Snapshot", "Event", "down the daemon closed the connection"),
    ]


@screen_test
async def test_waits_grow_while_nothing_answers_and_begin_anew_after_a_word() -> None:
    diary = await follow_all(Attempts((GONE,), (GONE,), (GONE,), (snapshot(), GONE), (GONE,)))
    first, second, third = islice(delays(), 3)
    assert diary.slept == [first, second, third, first, second]


@screen_test
async def test_a_connection_that_falls_silent_counts_as_lost() -> None:
    link = FakeLink(snapshot())
    diary = Diary(Attempts())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SILENCE", 0.05)
        with pytest.raises(asyncio.CancelledError):
            await follow(link, lambda: 0, diary, diary.sleep)
    assert diary.told[:2] == ["up", "Snapshot"]
    assert diary.told[2].startswith("down no word for")


def test_a_stream_that_was_begun_is_gone_on_with() -> None:
    @screen_test
    async def test() -> None:
        link = Attempts((snapshot(), event(11, "a"), GONE), (snapshot(seq=11), GONE))
        begun = link.events(0)
        await anext(begun)
        diary = Diary(link)
        with pytest.raises(asyncio.CancelledError):
            await follow(link, lambda: diary.last, diary, diary.sleep, begun)
        assert link.resumed == [0, 11]
        down = f"down {GONE.message}"
        assert diary.told == ["up", "Event", down, "up", "Snapshot", down]

    test()

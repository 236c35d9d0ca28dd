"""A search through a recorded log: in a process of its own, whatever the pattern is."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from qvl.model.error import ErrorCode, QvlError
from qvl.model.log import LogEnd, LogFound, LogMatch, LogSearch
from qvl_tui.replay.deck import Deck
from qvl_tui.replay.link import ReplayLink
from qvl_tui.replay.tape import Tape

from tests.recording.scripts import night, record
from tests.support import wait_until

BAIT = b"a" * 60 + b"!\n"
LOGS = [(at + 0.5, "qwen3-vl-1", at * 20, b"line of second %04d\n" % at) for at in range(1, 300)]
LOGS.append((300.0, "qwen3-vl-1", 6000, BAIT))


@pytest.fixture
def link(tmp_path: Path) -> ReplayLink:
    deck = Deck(Tape(record(tmp_path / "r", night(400), logs=LOGS)))
    deck.edge(1)
    return ReplayLink(deck)


async def found(link: ReplayLink, wanted: LogSearch) -> list[LogFound]:
    async with asyncio.timeout(60), aclosing(link.log_search("qwen3-vl-1", wanted)) as answers:
        return [each async for each in answers]


def children() -> set[str]:
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_it_finds_in_both_directions_as_of_the_moment_that_shows(link: ReplayLink) -> None:
    for wanted in (LogSearch(pattern="second 00.5", since=0), LogSearch(pattern="second 00.5", before=10_000)):
        *met, end = asyncio.run(found(link, wanted))
        places = [each.offset for each in met if isinstance(each, LogMatch)]
        assert sorted(places) == [second * 20 for second in range(5, 100, 10)]
        assert isinstance(end, LogEnd)
        assert end.reason == "exhausted"


def test_a_pattern_that_is_none_is_told(link: ReplayLink) -> None:
    with pytest.raises(QvlError, match=r'"\(" is no regular expression: missing \)') as caught:
        asyncio.run(found(link, LogSearch(pattern="(", since=0)))
    assert caught.value.code is ErrorCode.BAD_REQUEST


def test_a_pattern_that_never_ends_is_given_up_and_holds_nobody(link: ReplayLink) -> None:
    async def scenario() -> tuple[list[LogFound], int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        counting = asyncio.create_task(count())
        met = await found(link, LogSearch(pattern="(a+)+$", since=0))
        counting.cancel()
        return met, turns

    (*_, end), turns = asyncio.run(scenario())
    assert isinstance(end, LogEnd)
    assert (end.reason, end.message.split(";")[0]) == ("limit", "the pattern takes too long on a line")
    assert turns > 20


def test_who_looks_no_further_leaves_no_process(link: ReplayLink) -> None:
    before = children()

    async def scenario() -> None:
        async with aclosing(link.log_search("qwen3-vl-1", LogSearch(pattern="(a+)+$", since=0))) as answers:
            await anext(answers)
            assert children() > before

    asyncio.run(scenario())
    wait_until(lambda: children() <= before, 10, "the process has ended")

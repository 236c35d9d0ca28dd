"""Six screens behind six digits, one way back, and one worker in focus on all of them."""

import pytest
from qvl.model.event import Change
from qvl_tui.keys import SCREENS, Where
from qvl_tui.screens.frame import Frame
from qvl_tui.screens.logs import LogScreen
from qvl_tui.store import Topic

from tests.tui.fleet import NOW, FakeLink, snapshot, troubled, worker
from tests.tui.support import Terminal, screen_test, terminal


def where(t: Terminal) -> Where:
    assert isinstance(t.app.screen, Frame)
    return t.app.screen.where


def walk() -> list[int]:
    """Digits that lead from each screen to each other one, once."""
    open_ways = {(start, end) for start in range(1, 7) for end in range(1, 7) if start != end}
    way = [1]
    while ends := [end for start, end in sorted(open_ways) if start == way[-1]]:
        # Whoever has most ways left goes first, so that nobody is left behind.
        end = max(ends, key=lambda end: sum(start == end for start, _ in open_ways))
        open_ways.remove((way[-1], end))
        way.append(end)
    assert not open_ways
    return way[1:]


@screen_test
async def test_each_digit_shows_its_screen_from_every_other() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        for digit in walk():
            await t.press(str(digit))
            assert where(t) is SCREENS[digit - 1]
            assert len(t.app.screen_stack) == (1 if digit == 1 else 2)


@screen_test
async def test_escape_leads_back_to_the_fleet_from_every_screen() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        for digit in "23456":
            await t.press(digit, "escape")
            assert where(t) is Where.FLEET


@screen_test
async def test_the_worker_in_focus_is_the_same_on_all_screens() -> None:
    async with terminal(FakeLink(*troubled()), (120, 40)) as t:
        await t.press("j", "enter")
        assert where(t) is Where.WORKER
        assert "qwen3-vl-1" in t.lines[0]
        await t.press("right_square_bracket", "4")
        assert "qwen3-vl-2  ↻ backoff" in t.lines[0]
        await t.press(*["left_square_bracket"] * 9, "escape")
        assert "qwen3-vl-0" in t.row("›")


@screen_test
async def test_a_click_on_its_name_shows_a_screen() -> None:
    async with terminal(FakeLink(*troubled()), (120, 40)) as t:
        for screen in reversed(SCREENS):
            await t.pilot.click("#header", offset=(t.lines[0].index(f" {screen.value} ") + 1, 0))
            await t.settle()
            assert where(t) is screen


@screen_test
async def test_digits_mean_nothing_while_something_is_asked() -> None:
    async with terminal(FakeLink(snapshot(worker()))) as t:
        await t.press("S", "3")
        assert "stop qwen3-vl-0?" in t.text
        await t.press("escape")
        assert where(t) is Where.FLEET


@pytest.mark.parametrize("digit", "23456")
def test_a_screen_without_any_worker_says_something(digit: str) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(snapshot())) as t:
            await t.press(digit)
            assert any(line.strip() for line in t.lines[2:-1])

    scenario()


@screen_test
async def test_the_endpoint_is_copied_through_the_terminal() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        await t.press("y")
        assert t.app.clipboard == "http://127.0.0.1:8000"
        assert "copied http://127.0.0.1:8000" in t.text


@screen_test
async def test_a_worker_that_goes_while_its_screen_shows_stays_in_focus_until_one_is_chosen() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0"), worker("w-1")))) as t:
        await t.press("j", "2")
        t.link.tell(Change(NOW, removed=("w-1",)))
        await t.settle()
        assert t.app.context.worker == "w-1"
        await t.press("escape")
        assert t.app.context.worker == "w-0"
        assert "› w-0" in t.text


@screen_test
async def test_words_in_brackets_are_no_markup_and_nothing_in_them_steers_the_terminal() -> None:
    async with terminal(FakeLink(snapshot(worker()))) as t:
        t.app.notify("no [/such] [red]thing[/]\x1b[2J")
        await t.until(lambda: "thing" in t.text, "the message")
        assert "no [/such] [red]thing[/][2J" in t.text


@screen_test
async def test_help_is_scrolled_as_everything_else_is() -> None:
    async with terminal(FakeLink(snapshot(worker()))) as t:
        await t.press("question_mark")
        top = t.lines[1]
        await t.press("j")
        assert t.lines[1] != top
        second = t.lines[1]
        await t.press("pagedown", "pageup")
        assert t.lines[1] == second
        await t.press("k")
        assert t.lines[1] == top
        await t.press("G")
        end = t.text
        await t.press("j", "pagedown")
        assert t.text == end
        await t.press("g")
        assert t.lines[1] == top


@pytest.mark.parametrize("digit", "23456")
def test_an_answer_that_comes_while_a_screen_is_left_is_dropped(digit: str) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(snapshot(worker()))) as t:
            await t.press(digit)
            left = t.app.screen
            assert isinstance(left, Frame)
            t.app.action_show("fleet")
            await t.until(lambda: not left.query("#header"), "its widgets to go")
            left.show(set(Topic))
            if isinstance(left, LogScreen):
                left.picture()

    scenario()


@screen_test
async def test_the_screens_names_stay_where_they_are_while_data_ages() -> None:
    async with terminal(FakeLink(*troubled()), (120, 40)) as t:
        place = t.lines[0].index("3 logs")
        t.link.drop()
        await t.until(lambda: not t.store.live, "the loss")
        for seconds in (9, 20, 65):
            t.clock.now += seconds
            t.app._beat()
            await t.settle()
            assert "old" in t.lines[0]
            assert t.lines[0].index("3 logs") == place

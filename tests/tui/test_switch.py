"""Switching a profile: the plan is seen before anything can be confirmed."""

from tests.tui.fleet import FakeLink, snapshot, worker
from tests.tui.support import screen_test, terminal


@screen_test
async def test_the_plan_of_the_profile_under_the_cursor_is_shown_and_then_confirmed() -> None:
    async with terminal(FakeLink(snapshot(worker()))) as t:
        await t.press("p")
        assert "switch qwen3-vl to" in t.text
        assert "runs now" in t.row("› standard")
        assert "nothing changes" in t.text
        await t.press("enter")
        assert t.link.switches == []
        await t.press("j")
        assert "restart" in t.row("about 31 s away")
        assert "now 3 requests in flight" in t.text
        await t.press("enter")
        assert t.link.switches == [("qwen3-vl", "eagle3")]
        assert "qwen3-vl switches to eagle3" in t.text


@screen_test
async def test_a_plan_that_is_refused_can_not_be_confirmed() -> None:
    async with terminal(FakeLink(snapshot(worker()))) as t:
        await t.press("p", "down", "down")
        assert "the model Qwen3-VL-32B-Instruct is not there → download it first" in t.text
        await t.press("enter")
        assert "switch qwen3-vl to" in t.text
        await t.press("escape")
        assert t.link.switches == []
        assert "1/1 ready" in t.text


@screen_test
async def test_without_an_answer_the_dialog_says_why() -> None:
    async with terminal(FakeLink(snapshot(worker()))) as t:
        t.link.up = False
        await t.press("p")
        assert "no daemon answers" in t.text
        await t.press("escape")
        assert "● ready" in t.row("› qwen3-vl-0")

"""Switching a profile: the plan is seen before anything can be confirmed."""

from datetime import timedelta

import msgspec
from qvl.model.event import Change, Event, Severity, Snapshot
from qvl.model.status import SwitchStatus

from tests.tui.fleet import NOW, FakeLink, snapshot, starting, worker
from tests.tui.support import Terminal, screen_test, terminal


def pools(**changes: object) -> Snapshot:
    """A pool of two workers, one of them ready, with these fields of its status."""
    told = snapshot(worker(), starting("qwen3-vl-1"))
    pool = msgspec.structs.replace(told.status.pools[0], **changes)
    return msgspec.structs.replace(told, status=msgspec.structs.replace(told.status, pools=(pool,)))


def words(t: Terminal) -> str:
    """The text of a dialog without its frame and its line ends."""
    return " ".join(line.partition("│")[2].rpartition("│")[0].strip() for line in t.lines if "│" in line)


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


@screen_test
async def test_an_override_is_told_and_leads_back_to_the_files_profile() -> None:
    async with terminal(FakeLink(pools(override="standard"))) as t:
        await t.press("p")
        assert "runs now, by a switch" in t.row("› standard")
        await t.press("down", "down", "down")
        assert "ends the override" in t.row("› the file's profile")
        assert "one after the other; now 3 requests in flight" in words(t)
        await t.press("y")
        assert t.link.switches == [("qwen3-vl", None)]


@screen_test
async def test_without_an_override_there_is_no_way_back_to_offer() -> None:
    async with terminal(FakeLink(snapshot(worker()))) as t:
        await t.press("p")
        assert "the file's profile" not in t.text
        await t.press("down", "n")
        assert t.link.switches == []
        assert "1/1 ready" in t.text


SWITCH = SwitchStatus("switch", "eagle3", "restarting", "qwen3-vl-1", 1, 2, NOW - timedelta(seconds=40), 71)


@screen_test
async def test_a_switch_under_way_is_shown_step_by_step_and_can_be_taken_back() -> None:
    async with terminal(FakeLink(pools(switch=SWITCH))) as t:
        assert "switching qwen3-vl to eagle3, 71%: restarting on qwen3-vl-1, " in t.lines[1]
        assert t.lines[1].endswith("· p shows it")
        await t.press("p")
        assert "71%  1 of 2 workers" in t.row("restarting   for 40 s")
        step = Event(
            seq=12, at=NOW, kind="switch", message="smoke test", pool="qwen3-vl", data={"step": "smoke test", "to": "x"}
        )
        assert "◐ starting" in t.row("› qwen3-vl-1")
        assert "weights 42%" in t.row("› qwen3-vl-1")
        await t.press("c")
        await t.press("c")
        assert t.link.cancelled == ["qwen3-vl"]
        assert "taking it back" in t.text
        back = msgspec.structs.replace(SWITCH, step="rolling back", worker=None)
        t.link.tell(Change(NOW, pools=pools(switch=back).status.pools))
        await t.settle()
        assert "rolling back" in t.row("1 of 2 workers")
        outcome = Event(
            seq=11,
            at=NOW,
            kind="switch",
            message="went back to profile standard: asked to",
            severity=Severity.ERROR,
            pool="qwen3-vl",
        )
        t.link.tell(outcome, step, Change(NOW, pools=pools().status.pools))
        await t.settle()
        assert "│  ✕ went back to profile standard: asked to" in t.text
        await t.press("enter")
        assert "› qwen3-vl-0" in t.text


@screen_test
async def test_who_may_only_look_may_watch_a_switch() -> None:
    async with terminal(FakeLink(pools(switch=SWITCH), role="viewer")) as t:
        await t.press("p", "c")
        assert "1 of 2 workers" in t.text
        assert t.link.cancelled == []


@screen_test
async def test_pools_are_acted_on_from_the_palette_after_a_question() -> None:
    async with terminal(FakeLink(pools())) as t:
        await t.press("colon")
        await t.until(lambda: "CommandPalette" in type(t.app.screen).__name__, "the palette")
        await t.press(*"stop pool")
        await t.until(lambda: "stop all workers of qwen3-vl; asks first" in t.text, "the hit")
        await t.press("enter")
        await t.until(lambda: "stop pool qwen3-vl?" in t.text, "the question")
        assert "1 of 2 workers ready, with 3 requests in flight." in words(t)
        assert t.link.acts == []
        await t.press("y")
        assert t.link.acts == [("stop", "pool qwen3-vl")]
        assert all("stop asked" in t.row(start) for start in ("› qwen3-vl-0", "   qwen3-vl-1  "))

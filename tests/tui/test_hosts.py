"""Several hosts in one view: each tells for itself how it is, and what one is asked reaches that one."""

from qvl.model.event import Lost

from tests.tui.fleet import FakeLink, event, failed, snapshot, troubled, worker
from tests.tui.support import screen_test, terminal


def hosts() -> tuple[FakeLink, FakeLink, FakeLink]:
    away = FakeLink(name="box-c")
    away.up = False
    return FakeLink(snapshot(worker()), name="box-a"), FakeLink(*troubled(), name="box-b"), away


@screen_test
async def test_each_host_has_its_heading_and_one_that_is_away_keeps_nobody_from_showing() -> None:
    first, *others = hosts()
    async with terminal(first, (120, 40), others=tuple(others)) as t:
        await t.until(lambda: "✕ 1 away" in t.text, "the one that is away")
        assert "3 hosts" in t.lines[0]
        assert "2/5 ready" in t.lines[0]
        assert "● 2 live" in t.lines[0]
        assert "● live   1/1 ready" in t.row(" box-a   ")
        assert "1/4 ready   ✕ qwen3-vl-3 failed" in t.row(" box-b   ")
        assert "✕ away   no daemon answers" in t.row(" box-c   ")
        assert not t.app.screen.has_class("-stale")


@screen_test
async def test_the_banner_tells_the_worst_of_all_and_names_its_host() -> None:
    one, other = FakeLink(snapshot(worker()), name="box-a"), FakeLink(snapshot(failed("w-0")), name="box-b")
    async with terminal(one, (120, 40), others=(other,)) as t:
        assert "✕ box-b: w-0 failed" in t.lines[1]
    async with terminal(FakeLink(snapshot(worker())), others=(FakeLink(snapshot(worker())),)) as t:
        assert "well" in t.lines[1]


@screen_test
async def test_what_is_asked_reaches_the_host_of_the_row() -> None:
    first, second, away = hosts()
    async with terminal(first, (120, 40), others=(second, away)) as t:
        await t.press("G", "s")
        assert first.acts == []
        assert second.acts == [("start", "qwen3-vl-3")]
        await t.press("g", "r", "y")
        assert first.acts == [("restart", "qwen3-vl-0")]


@screen_test
async def test_the_focus_steps_from_host_to_host_over_the_headings() -> None:
    first, second, away = hosts()
    async with terminal(first, (120, 40), others=(second, away)) as t:
        assert t.app.context.session.name == "box-a"
        await t.press("j")
        assert t.app.context.session.name == "box-b"
        assert "restarts" not in t.row("›")
        await t.press("enter")
        assert "box-b   qwen3-vl-0" in t.lines[0]


@screen_test
async def test_events_of_all_hosts_are_told_in_their_order_with_the_host() -> None:
    one = FakeLink(snapshot(worker(), seq=9), event(9, "later"), Lost(2), name="box-a")
    other = FakeLink(snapshot(worker(), seq=3), event(3, "earlier"), name="box-b")
    async with terminal(one, (120, 40), others=(other,)) as t:
        told = [line.split()[1:4] for line in t.lines if "earlier" in line or "later" in line]
        assert told == [["box-b", "·", "earlier"], ["box-a", "·", "later"]]
        assert "2 events lost" in t.lines[0]


@screen_test
async def test_the_filter_hides_hosts_without_a_match() -> None:
    first, second, away = hosts()
    async with terminal(first, (120, 40), others=(second, away)) as t:
        await t.press("slash", *"failed", "enter")
        assert "qwen3-vl-3" in t.row("›")
        assert not any(line.startswith((" box-a", " box-c")) for line in t.lines[2:])

"""The screen of switching: what differs, the plan before any yes, the change step by step, and how it ended."""

import msgspec
from qvl.model.event import Change
from qvl.model.plan import PlanWarning

from tests.tui.changing import SWITCH, going_back, link, outcome, pools, under_way
from tests.tui.configs import eagle_plan
from tests.tui.fleet import NOW, FakeLink, snapshot, starting, worker
from tests.tui.support import Terminal, screen_test, terminal

ROOMY = (80, 50)


def words(t: Terminal) -> str:
    """The text of a dialog without its frame and its line ends."""
    return " ".join(line.partition("│")[2].rpartition("│")[0].strip() for line in t.lines if "│" in line)


def plain(t: Terminal) -> str:
    """The text without its line ends and the edges of messages."""
    return " ".join(t.text.replace("▌", " ").split())


@screen_test
async def test_profiles_are_listed_with_what_they_are_and_who_runs_them() -> None:
    async with terminal(link()) as t:
        await t.press("5")
        assert "› qwen3-vl 3/3 standard" in t.text
        assert "runs standard, as the file says · no gateway" in t.text
        assert "runs now" in t.row("› standard")
        assert "extends standard" in t.row("   eagle3")
        assert "Qwen/Qwen3-VL-32B-Instruct" in t.row("   big")
        assert "nothing changes" in t.text


@screen_test
async def test_the_plan_of_the_profile_under_the_cursor_is_seen_before_it_can_be_confirmed() -> None:
    async with terminal(link(), ROOMY) as t:
        await t.press("5", "enter")
        assert t.link.switches == []
        assert t.link.planned == ["standard"]
        assert "it runs already" in plain(t)
        await t.press("j")
        assert "unset → EAGLE3" in t.row("args.speculative-algorithm")
        assert "31 s" in t.row(" qwen3-vl-0  restart")
        assert "3, drains 1 m" in t.row(" qwen3-vl-0  restart")
        assert "Interrupts 3 workers, one after the other: about 1 m 33 s in all." in t.text
        await t.press("enter")
        assert "switch qwen3-vl to eagle3?" in t.text
        assert "3 requests in flight now: they get 1 m to finish, then they are cut off." in words(t)
        await t.press("n")
        assert t.link.switches == []
        await t.press("enter", "y")
        assert t.link.switches == [("qwen3-vl", "eagle3")]


@screen_test
async def test_what_was_asked_shows_as_asked_until_the_daemon_says_so() -> None:
    async with terminal(link(), ROOMY) as t:
        await t.press("5", "j", "enter", "y")
        assert "◌ switch to eagle3: asked, not confirmed yet" in t.text
        t.link.tell(Change(NOW, pools=pools(switch=SWITCH).status.pools))
        await t.settle()
        assert "asked" not in t.text
        assert "switching qwen3-vl to eagle3" in t.text


@screen_test
async def test_what_is_refused_is_not_shown_as_asked() -> None:
    refusing = link()
    async with terminal(refusing, ROOMY) as t:
        await t.press("5", "j", "enter")
        refusing.up = False
        await t.press("y")
        assert "not confirmed yet" not in t.text
        assert "no daemon answers" in t.text


@screen_test
async def test_a_plan_that_is_refused_can_not_be_confirmed() -> None:
    async with terminal(link()) as t:
        await t.press("5", "G")
        assert "✕ the model Qwen3-VL-32B-Instruct is not there → download it first" in t.text
        await t.press("enter")
        assert "switch qwen3-vl to big?" not in t.text
        assert t.link.switches == []
        await t.press("g")
        assert "nothing changes" in t.text


@screen_test
async def test_warnings_of_the_host_are_told_before_and_in_the_question() -> None:
    warned = link()
    warning = PlanWarning("qwen3-vl-1", "GPU 1 has 70 GiB free, it needs 75 GiB", "lower mem-fraction-static", True)
    warned.switch_plan = msgspec.structs.replace(warned.switch_plan, warnings=(warning,))
    async with terminal(warned, ROOMY) as t:
        await t.press("5", "j")
        assert "▲ qwen3-vl-1 would wait: GPU 1 has 70 GiB free" in t.text
        assert "→ lower mem-fraction-static" in t.text
        await t.press("enter")
        assert "qwen3-vl-1 would wait: GPU 1 has 70 GiB free, it needs 75 GiB." in words(t)


@screen_test
async def test_behind_a_gateway_nobody_is_cut_off() -> None:
    fronted = link(pools(gateway=None), role="operator")
    async with terminal(fronted, ROOMY) as t:
        await t.press("5", "j")
        assert "cut off" in t.text
    front = _gateway()
    async with terminal(link(pools(gateway=front)), ROOMY) as t:
        await t.press("5", "j")
        assert "runs standard, as the file says · behind a gateway" in t.text
        assert "nobody is cut off" in t.text


def _gateway() -> object:
    from qvl.model.status import GatewayStatus

    known = msgspec.structs.asdict(worker("qwen3-vl-0"))
    return GatewayStatus(**(known | {"name": "qwen3-vl-gateway"}))


@screen_test
async def test_without_an_answer_the_screen_says_why_and_asks_again_on_demand() -> None:
    away = link()
    async with terminal(away) as t:
        away.up = False
        await t.press("5")
        assert "✕ no daemon answers" in t.text
        away.up = True
        await t.press("R")
        assert "› standard" in t.text


@screen_test
async def test_what_was_not_answered_is_asked_again_with_the_next_connection() -> None:
    away = link()
    async with terminal(away) as t:
        away.up = False  # the stream is open as yet
        await t.press("5")
        assert "✕ no daemon answers" in t.text
        t.clock.now += 5.0
        away.drop()
        away.up = True
        away.tell(pools())
        await t.until(lambda: "› standard" in t.text, "the profiles")


@screen_test
async def test_an_override_is_told_and_leads_back_to_the_files_profile() -> None:
    overridden = link(pools(profile="eagle3", override="eagle3"))
    async with terminal(overridden, ROOMY) as t:
        await t.press("5")
        assert "› qwen3-vl 3/3 eagle3*" in t.text
        assert "runs eagle3, by a switch; the file says otherwise (x resets)" in t.text
        assert "runs now, by a switch" in t.row("› eagle3")
        await t.press("x")
        assert "ends the override" in t.row("› the file's profile ")
        assert overridden.planned[-1] is None
        await t.press("enter")
        assert "take qwen3-vl back to the file's profile?" in t.text
        await t.press("y")
        assert overridden.switches == [("qwen3-vl", None)]


@screen_test
async def test_without_an_override_there_is_nothing_to_reset() -> None:
    async with terminal(link()) as t:
        await t.press("5", "x")
        assert "there is nothing to reset" in t.text
        assert "the file's profile" not in t.text


@screen_test
async def test_a_switch_under_way_is_shown_stage_by_stage() -> None:
    async with terminal(link(*under_way()), (100, 40)) as t:
        assert t.lines[1].endswith("· 5 shows it")
        await t.press("5")
        assert "47%  1 of 3 workers  40 s  restarting" in t.text
        assert "✓ drain 2 s  ✓ stop 1 s  ✓ release  ✓ start 17 s  ✓ smoke 1 s" in t.row("✓ qwen3-vl-0")
        assert "✓ drain 5 s  ✓ stop 1 s  ✓ release  ◐ start 42%, 9 s left  · smoke" in t.row("◐ qwen3-vl-1")
        assert "its turn comes" in t.row("○ qwen3-vl-2")
        assert "on its way" in t.row("   eagle3")
        assert t.link.planned == [], "there is nothing to plan now"
        await t.press("enter")
        assert "c takes it back" in t.text


@screen_test
async def test_it_is_taken_back_after_a_question_and_the_way_back_is_shown_as_such() -> None:
    async with terminal(link(*under_way()), (100, 40)) as t:
        await t.press("5", "c")
        assert "take the change of qwen3-vl back?" in t.text
        await t.press("n")
        assert t.link.cancelled == []
        await t.press("c", "y")
        assert t.link.cancelled == ["qwen3-vl"]
        assert "◌ take it back: asked, not confirmed yet" in t.text
        t.link.tell(*going_back())
        await t.settle()
        assert "not confirmed yet" not in t.text
        assert "↩ goes back to what ran: qwen3-vl-1 did not get ready: out of GPU memory at load" in t.text
        assert "20%  0 of 2 workers back" in t.text
        await t.press("c")
        assert "it goes back already" in t.text
        assert t.link.cancelled == ["qwen3-vl"]


@screen_test
async def test_the_way_back_has_its_own_stages() -> None:
    async with terminal(link(*going_back()), (100, 40)) as t:
        await t.press("5")
        assert "✕ start 9 s" in t.row("✕ qwen3-vl-1")
        assert "✓ release  ◐ start 40%, 12 s left" in t.row("◐ qwen3-vl-1")


@screen_test
async def test_how_it_ended_stays_until_the_cursor_moves() -> None:
    async with terminal(link(*going_back()), (100, 40)) as t:
        await t.press("5")
        t.link.tell(outcome(good=False), Change(NOW, pools=pools().status.pools))
        await t.settle()
        assert "✕ 12:03:31 went back to profile standard: qwen3-vl-1 did not get ready" in plain(t)
        assert "✕ start 9 s" in t.text
        assert "↩ and back" in t.text
        await t.press("j")
        assert "↩ and back" not in t.text
        assert "last change" in t.text
        assert "went back to profile standard" in t.text


@screen_test
async def test_what_ended_before_is_told_below_the_plan() -> None:
    async with terminal(link(pools(), outcome(5)), (100, 40)) as t:
        await t.press("5")
        assert "✓ 12:03:31 switched to profile eagle3" in t.text


@screen_test
async def test_who_may_only_look_sees_what_differs_and_why_nothing_can_be_asked() -> None:
    async with terminal(link(*under_way(), role="viewer"), (100, 40)) as t:
        await t.press("5", "c")
        assert "to take it back is not permitted: viewers may look only" in plain(t)
        assert "1 of 3 workers" in t.text
        assert t.link.cancelled == []
    async with terminal(link(role="viewer"), (100, 40)) as t:
        await t.press("5", "j")
        assert "unset → EAGLE3" in t.row("args.speculative-algorithm")
        assert "only operators may plan and switch; above is what differs from standard." in t.text
        await t.press("enter")
        assert "a switch is not permitted: viewers may look only" in plain(t)
        assert t.link.planned == []
        assert t.link.switches == []


@screen_test
async def test_a_view_that_was_asked_to_only_look_asks_for_no_plan() -> None:
    async with terminal(link(), (100, 40), readonly=True) as t:
        await t.press("5", "j", "x", "c")
        assert "this view is read-only; above is what differs from standard." in t.text
        assert t.link.planned == []


@screen_test
async def test_pools_are_gone_through_and_each_has_its_own_cursor() -> None:
    two = snapshot(worker(), worker("chat-0", profile="big"))
    async with terminal(link(two)) as t:
        await t.press("5", "j")
        assert "› eagle3" in t.text
        await t.press("l")
        assert "› chat 1/1 big" in t.text
        assert "› big" in t.text
        assert "used by qwen3-vl" in t.row("   standard")
        await t.press("l", "right")
        assert "› chat 1/1 big" in t.text
        await t.press("h", "left")
        assert "› qwen3-vl 1/1 standard" in t.text
        await t.press("right_square_bracket")
        assert "› chat 1/1 big" in t.text


@screen_test
async def test_a_long_plan_is_paged_and_the_cursor_stops_at_the_ends() -> None:
    long = link()
    long.switch_plan = eagle_plan(*(f"qwen3-vl-{n}" for n in range(16)))
    async with terminal(long) as t:
        await t.press("5", "up", "k")
        assert "› standard" in t.text
        await t.press("down")
        first = t.lines[10:-1]
        await t.press("pagedown")
        assert t.lines[10:-1] != first
        await t.press("pageup")
        assert t.lines[10:-1] == first
        await t.press("ctrl+d", "ctrl+u", "end", "home")
        assert "› standard" in t.text


@screen_test
async def test_a_profile_is_clicked() -> None:
    async with terminal(link()) as t:
        await t.press("5")
        row = next(n for n, line in enumerate(t.lines) if "   eagle3" in line)
        await t.pilot.click(offset=(6, row))
        await t.settle()
        assert "› eagle3" in t.text


@screen_test
async def test_an_edit_that_comes_in_meanwhile_has_the_profiles_read_again() -> None:
    async with terminal(link()) as t:
        await t.press("5")
        told = pools().status.supervisor
        config = msgspec.structs.replace(told.config, applied="b7", revision="b7")
        before = len(t.link.planned)
        t.link.tell(Change(NOW, supervisor=msgspec.structs.replace(told, config=config)))
        await t.settle()
        assert len(t.link.planned) == before + 1
        assert "› standard" in t.text


@screen_test
async def test_beside_the_plan_stands_what_the_profile_comes_to() -> None:
    async with terminal(link(), (140, 40)) as t:
        await t.press("5", "j")
        assert "eagle3, as qwen3-vl runs it" in t.text
        assert "0.85" in t.row(" mem-fraction-static ")
        assert "eagle3 · on sglang" not in t.text
        assert "Qwen/Qwen3-VL-8B-Instruct · on sglang · extends standard" in t.text


@screen_test
async def test_a_daemon_that_is_gone_leaves_what_was_known() -> None:
    async with terminal(link(), ROOMY) as t:
        await t.press("5", "j")
        t.link.drop()
        await t.until(lambda: "reconnecting" in t.text, "the loss")
        assert t.app.screen.has_class("-stale")
        assert "unset → EAGLE3" in t.text
        await t.press("enter")
        assert "a switch can't be asked now: there is no connection to the daemon" in plain(t)


@screen_test
async def test_pools_are_acted_on_from_the_palette_after_a_question() -> None:
    told = snapshot(worker(), starting("qwen3-vl-1"))
    async with terminal(FakeLink(told)) as t:
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


@screen_test
async def test_without_a_pool_there_is_nothing_to_switch() -> None:
    told = snapshot()
    async with terminal(link(told)) as t:
        await t.press("5", "enter", "c", "x", "j", "l")
        assert "no pool is configured" in t.text
        assert t.link.switches == []

"""The fleet screen, driven as a person would, at the sizes that people have."""

from datetime import timedelta
from importlib import import_module

import msgspec
import pytest
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Change, Lost, Severity, Snapshot
from qvl.model.status import GatewayStatus, WorkerMetrics
from qvl.model.worker import Phase, Wanted
from qvl_tui.keys import KEYS, Key, Where
from rich.console import RenderableType
from textual.screen import Screen

from tests.tui.fleet import NOW, FakeLink, backoff, event, failed, snapshot, starting, troubled, worker
from tests.tui.support import screen_test, terminal

SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_one_look_tells_what_is_wrong_why_and_what_comes_next(size: tuple[int, int]) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(*troubled()), size) as t:
            assert "gpu-07" in t.lines[0]
            assert "1/4 ready" in t.lines[0]
            assert "● live" in t.lines[0]
            assert "✕ qwen3-vl-3 failed (+1 more): the mod" in t.lines[1]
            assert "mount it" in t.lines[1]
            assert "● ready" in t.row("› qwen3-vl-0")
            assert "◐ starting" in t.row("   qwen3-vl-1  ")
            assert "42%  weights · 21 s left" in t.row("   qwen3-vl-1  ")
            assert "3/8 · again in 40 s: out of GPU memory at load" in t.row("   qwen3-vl-2  ")
            assert "✕ failed" in t.row("   qwen3-vl-3  ")
            assert "▲ qwen3-vl-2 ended: out-of-gpu-memory" in t.text
            assert "? help" in t.lines[-1]
            assert "q quit" in t.lines[-1]
            assert all(len(line) <= size[0] for line in t.lines)

    scenario()


@screen_test
async def test_figures_stand_in_the_row_of_a_ready_worker() -> None:
    async with terminal(FakeLink(snapshot(worker())), (120, 40)) as t:
        row = t.row("› qwen3-vl-0")
        for figure in ("3", "0", "1,240", "84/210 ms", "42%", "61%", "8000"):
            assert f" {figure}" in row
        assert "well: qwen3-vl-0 is ready" in t.lines[1]


@screen_test
async def test_the_selected_worker_is_told_in_full_where_there_is_room() -> None:
    async with terminal(FakeLink(*troubled()), (120, 40)) as t:
        await t.press("j", "j")
        assert "torch.OutOfMemoryError: CUDA" in t.text
        assert "lower mem-fraction-static" in t.text
        assert "http://127.0.0.1:8002" in t.text


@screen_test
async def test_the_selection_moves_by_letters_and_arrows_and_stops_at_the_ends() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        for keys, chosen in (
            (("j",), "1"),
            (("down",), "2"),
            (("k",), "1"),
            (("up", "up", "up"), "0"),
            (("G",), "3"),
            (("j",), "3"),
            (("g",), "0"),
            (("end",), "3"),
            (("home",), "0"),
        ):
            await t.press(*keys)
            assert t.row("›").split()[1] == f"qwen3-vl-{chosen}"


@screen_test
async def test_the_selection_stays_on_its_worker_when_others_come_and_go() -> None:
    async with terminal(FakeLink(snapshot(worker("w-1"), worker("w-2")))) as t:
        await t.press("j")
        t.link.tell(Change(NOW, workers=(worker("w-0"), worker("w-10"))))
        await t.settle()
        assert t.row("›").split()[1] == "w-2"
        names = [line.split()[0] for line in t.lines if line.startswith("   w-")]
        assert names == ["w-0", "w-1", "w-10"]
        t.link.tell(Change(NOW, removed=("w-2",)))
        await t.settle()
        assert t.row("›").split()[1] == "w-0"


@screen_test
async def test_start_is_asked_at_once_and_shown_as_asked_until_the_daemon_confirms() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0", Phase.STOPPED)))) as t:
        await t.press("s")
        assert t.link.acts == [("start", "w-0")]
        assert "○ start asked" in t.row("› w-0")
        t.link.tell(Change(NOW, workers=(starting("w-0", since=NOW),)))
        await t.settle()
        assert "◐ starting" in t.row("› w-0")


@pytest.mark.parametrize(("key", "verb"), [("S", "stop"), ("r", "restart")])
@pytest.mark.parametrize("yes", ["enter", "y"])
def test_what_interrupts_asks_first_and_names_what(key: str, verb: str, yes: str) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
            await t.press(key)
            assert f"{verb} w-0?" in t.text
            assert "3 requests in flight" in t.text
            await t.press("escape")
            assert t.link.acts == []
            await t.press(key)
            assert f"⏎ y {verb}   Esc n leave it" in t.text
            await t.press("n")
            assert t.link.acts == []
            await t.press(key, yes)
            assert t.link.acts == [(verb, "w-0")]
            assert f"● {verb} asked" in t.row("› w-0")

    scenario()


@screen_test
async def test_a_refusal_is_told_with_its_hint_and_nothing_stays_asked() -> None:
    link = FakeLink(snapshot(worker("w-0", Phase.STOPPED)))
    link.refusal = QvlError(ErrorCode.CONFLICT, "a change of pool w is under way", "wait for it")
    async with terminal(link) as t:
        await t.press("s")
        assert "a change of pool w is under way" in t.text
        assert "→ wait for it" in t.text
        assert "○ stopped" in t.row("› w-0")


@pytest.mark.parametrize("key", [key for key in KEYS if key.acts and key.where is Where.FLEET])
@pytest.mark.parametrize("how", ["viewer", "readonly"])
def test_who_may_only_look_is_told_so(key: Key, how: str) -> None:
    @screen_test
    async def scenario() -> None:
        link = FakeLink(snapshot(worker("w-0")), role="viewer" if how == "viewer" else "operator")
        async with terminal(link, readonly=how == "readonly") as t:
            assert "view only" in t.lines[0]
            await t.press(key.keys)
            assert "is not permitted" in t.text
            assert t.link.acts == t.link.switches == []

    scenario()


@screen_test
async def test_without_a_daemon_acts_are_not_sent() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0", Phase.STOPPED)))) as t:
        t.link.drop()
        await t.until(lambda: not t.store.live, "the loss")
        await t.press("s")
        assert "no connection to the daemon" in t.text
        assert t.link.acts == []


@screen_test
async def test_a_lost_daemon_leaves_old_data_dimmed_with_its_age_and_comes_back_by_itself() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        t.link.drop()
        await t.until(lambda: t.app.screen.has_class("-stale"), "the dimming")
        t.clock.now += 14
        t.app._beat()
        await t.settle()
        assert "✕ 14 s old" in t.lines[0]
        assert "↻ reconnecting for 14 s · " in t.lines[1]
        assert "qwen3-vl-0" in t.text
        t.link.tell(snapshot(worker("qwen3-vl-0"), seq=12), event(12, "adopted"))
        t.link.up = True
        await t.until(lambda: t.store.live and not t.app.screen.has_class("-stale"), "the return")
        await t.settle()
        assert t.link.resumed == [0, 10]
        assert "● live" in t.lines[0]
        assert "1 events lost" in t.lines[0]


@screen_test
async def test_a_daemon_that_is_not_there_yet_is_waited_for() -> None:
    link = FakeLink()
    link.up = False
    async with terminal(link) as t:
        await t.until(lambda: "reconnecting" in t.text, "the banner")
        assert "no daemon" in t.lines[0]
        assert "/run/qvl/supervisor.sock" in t.lines[1]
        link.tell(snapshot(worker()))
        link.up = True
        await t.until(lambda: t.store.live, "the daemon")
        await t.settle()
        assert "● ready" in t.row("› qwen3-vl-0")


@screen_test
async def test_lost_events_are_counted_on_the_screen() -> None:
    async with terminal(FakeLink(*troubled(), Lost(12))) as t:
        assert "▲ 12 events lost" in t.lines[0]
        assert "12 events were lost on the way here" in t.text


@screen_test
async def test_figures_wait_for_the_beat_and_states_do_not() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0"), worker("w-1")))) as t:
        t.link.tell(Change(NOW, metrics={"w-0": WorkerMetrics(7, 0, 99.0)}))
        await t.settle()
        assert " 1,240 " in t.row("› w-0")
        t.link.tell(Change(NOW, workers=(failed("w-1"),)))
        await t.settle()
        assert "✕ failed" in t.row("   w-1")
        assert " 1,240 " in t.row("› w-0")
        t.app._beat()
        await t.settle()
        assert " 99 " in t.row("› w-0")


@screen_test
async def test_the_filter_narrows_as_one_types_stays_after_enter_and_goes_with_escape() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        await t.press("slash", *"fail")
        assert "qwen3-vl-3" in t.row("›")
        assert not any(line.startswith("   qwen3") for line in t.lines)
        await t.press("enter")
        assert "/fail" in t.row("state")
        assert "? help" in t.lines[-1]
        await t.press("escape")
        assert sum(line.startswith("   qwen3") for line in t.lines) == 3
        await t.press("slash", *"zzz")
        assert "nothing matches “zzz”" in t.text


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_help_names_every_key(size: tuple[int, int]) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(*troubled()), size) as t:
            await t.press("question_mark")
            pages = [t.text]
            while len(pages) < 2 or pages[-1] != pages[-2]:
                await t.press("pagedown")
                pages.append(t.text)
            for key in (key for key in KEYS if key.where is not Where.REPLAY):
                assert any(key.tooltip in page for page in pages), key.id
            await t.press("escape")
            assert "1/4 ready" in t.text

    scenario()


def gateway(**changes: object) -> GatewayStatus:
    known = msgspec.structs.asdict(worker("qwen3-vl-0", engine="sglang-router", gpus=()))
    figures = {"name": "qwen3-vl-gateway", "routed": ("qwen3-vl-0",), "requests": 1234, "failed": 2, "in_flight": 3}
    return GatewayStatus(**(known | figures | changes))


def behind(front: GatewayStatus) -> Snapshot:
    told = snapshot(worker())
    (pool,) = told.status.pools
    pools = (msgspec.structs.replace(pool, gateway=front),)
    return msgspec.structs.replace(told, status=msgspec.structs.replace(told.status, pools=pools))


@screen_test
async def test_a_gateway_stands_over_its_workers_with_what_goes_through_it() -> None:
    async with terminal(FakeLink(behind(gateway())), (120, 40)) as t:
        row = t.row("› qwen3-vl-gateway  ● ready")
        assert "routes to 1 server · 3 in flight · 2 of 1,234 failed" in row
        assert t.lines.index(row) < t.lines.index(t.row("qwen3-vl-0        ● ready"))
        await t.press("g", "r", "y")
        assert t.link.acts == [("restart", "qwen3-vl-gateway")]
        assert "qwen3-vl-gateway  ● restart asked" in t.text
        front = gateway(phase=Phase.FAILED, ready=False, reason="sglang-router is not installed", hint="pip install it")
        t.link.tell(Change(NOW, pools=behind(front).status.pools))
        await t.settle()
        assert "sglang-router is not installed → pip install it" in t.row("› qwen3-vl-gateway  ✕ failed")


@pytest.mark.parametrize("key", ["colon", "ctrl+p"])
def test_the_palette_finds_what_keys_do_and_logs(key: str) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(*troubled())) as t:
            await t.press(key)
            await t.until(lambda: "CommandPalette" in type(t.app.screen).__name__, "the palette")
            await t.press(*"log qwen3-vl-2")
            await t.until(lambda: "live log" in t.text, "the hit")
            await t.press("enter")
            await t.until(lambda: "LogScreen" in type(t.app.screen).__name__, "the log")
            assert "qwen3-vl-2" in t.lines[0]

    scenario()


@screen_test
async def test_q_leaves_and_touches_no_worker() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        await t.press("q")
        assert not t.app.is_running
    assert t.link.acts == []


@screen_test
async def test_an_owned_daemon_is_ended_only_after_a_question() -> None:
    ended: list[bool] = []
    async with terminal(FakeLink(*troubled()), owned=True, on_quit=lambda: ended.append(True)) as t:
        await t.press("q")
        assert "end the daemon?" in t.text
        await t.press("escape")
        assert t.app.is_running
        assert ended == []
        await t.press("q", "enter")
        assert not t.app.is_running
        assert ended == [True]


@screen_test
async def test_ctrl_q_asks_as_well() -> None:
    async with terminal(FakeLink(*troubled()), owned=True) as t:
        await t.press("ctrl+q")
        assert t.app.is_running
        assert "end the daemon?" in t.text


@screen_test
async def test_the_theme_changes_from_one_to_the_next() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        seen = [t.app.theme]
        for _ in range(4):
            await t.press("ctrl+t")
            seen.append(t.app.theme)
        assert seen == ["qvl-dark", "qvl-light", "qvl-contrast", "qvl-colorblind", "qvl-dark"]


@screen_test
async def test_a_click_selects_and_the_footer_answers_clicks() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        await t.pilot.click("#workers", offset=(5, 2))
        await t.settle()
        assert "qwen3-vl-2" in t.row("›")
        await t.pilot.click("#footer", offset=(t.lines[-1].index("help"), 0))
        await t.settle()
        assert "operators only" in t.text


@screen_test
async def test_events_scroll_back_and_return_to_the_newest() -> None:
    told = [event(seq, f"event number {seq}") for seq in range(1, 60)]
    async with terminal(FakeLink(snapshot(worker(), seq=59), *told)) as t:
        assert "event number 59" in t.text
        await t.press("pageup")
        assert "event number 59" not in t.text
        t.link.tell(event(60, "event number 60", Severity.WARNING))
        await t.settle()
        assert "event number 60" not in t.text, "what one reads must not be scrolled away"
        await t.press("pagedown", "pagedown")
        assert "▲ event number 60" in t.text


@screen_test
async def test_what_engines_wrote_never_steers_the_terminal() -> None:
    reason = "\x1b[2J\x9b31m\u202egone\x07"
    async with terminal(FakeLink(snapshot(backoff("w-0", reason=reason), seq=9), event(9, reason)), (120, 40)) as t:
        assert "[2J31mgone" in t.row("› w-0")
        assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(t.text)


@screen_test
async def test_a_countdown_runs_by_the_daemons_clock() -> None:
    async with terminal(FakeLink(snapshot(backoff("w-0", next_start_at=NOW + timedelta(seconds=40))))) as t:
        t.clock.now += 6
        t.app._beat()
        await t.settle()
        assert "again in 34 s" in t.row("› w-0")


@screen_test
async def test_nothing_is_repainted_when_nothing_changed() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        t.app._beat()
        await t.settle()
        painted: list[object] = []
        display = t.app._display

        def watch(screen: Screen[object], renderable: RenderableType | None) -> None:
            painted.append(renderable)
            display(screen, renderable)

        t.app._display = watch  # type: ignore[method-assign]
        t.app._beat()
        await t.settle()
        assert painted == []


def test_every_key_of_a_screen_has_its_action() -> None:
    from qvl_tui.app import _HOMES, QvlApp
    from qvl_tui.replay.app import ReplayApp
    from qvl_tui.screens.fleet import FleetScreen

    homes: dict[Where, object] = {Where.EVERYWHERE: QvlApp, Where.REPLAY: ReplayApp, Where.FLEET: FleetScreen}
    for where, home in _HOMES.items():
        module, _, title = home.partition(":")
        homes[where] = getattr(import_module(f"qvl_tui.screens.{module}"), title)
    assert len({key.id for key in KEYS}) == len(KEYS)
    for key in KEYS:
        name = key.action.removeprefix("app.").partition("(")[0]
        assert hasattr(homes[key.where], f"action_{name}"), key.id


def test_stopped_by_request_is_well() -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(snapshot(worker("w-0"), worker("w-1", Phase.STOPPED, wanted=Wanted.DOWN)))) as t:
            assert "● well: 1 of 2 workers are ready, 1 stopped by request" in t.lines[1]

    scenario()

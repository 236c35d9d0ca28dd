"""The metrics screen, driven as a person would."""

import asyncio
from datetime import timedelta

import pytest
from qvl.model.api import History
from qvl.model.event import Change, Event, Severity, Snapshot
from qvl.model.status import WorkerMetrics
from qvl_tui.keys import KEYS, Where
from qvl_tui.prefs import Preferences
from qvl_tui.screens.metrics import MetricsScreen
from qvl_tui.widgets.plot import AXIS

from tests.tui.fleet import NOW, FakeLink, gpu, snapshot, worker
from tests.tui.lived import lived
from tests.tui.support import Terminal, screen_test, terminal

NAMES = tuple(f"qwen3-vl-{n}" for n in range(4))


def happened(
    seq: int, ago: float, kind: str, message: str, severity: Severity = Severity.INFO, **more: object
) -> Event:
    at = NOW - timedelta(seconds=ago)
    return Event(seq=seq, at=at, kind=kind, message=message, severity=severity, **more)  # type: ignore[arg-type]


EVENTS = (
    happened(2, 7 * 3600, "worker.exit", "qwen3-vl-0 ended: killed", Severity.ERROR, worker=NAMES[0]),
    happened(3, 6.6 * 3600, "worker.phase", "starting → running", worker=NAMES[0], data={"to": "running"}),
    happened(4, 5 * 3600, "switch", "switched to profile eagle3", pool="qwen3-vl"),
    happened(5, 1200, "apply", "revision a1 is applied"),
    happened(6, 130, "gpu.fault", "GPU 0 reported Xid 48", Severity.WARNING),
    happened(7, 100, "worker.phase", "starting → running", worker=NAMES[1], data={"to": "running"}),
)


def told(*names: str, gpus: int = 4) -> Snapshot:
    """Workers and cards of which no figure is heard: what is shown is the past alone."""
    unknown = {"memory_used": None, "utilization": None, "temperature": None, "power": None}
    workers = [worker(name, profile="eagle3", metrics=WorkerMetrics()) for name in names]
    return snapshot(*workers, gpus=tuple(gpu(n, **unknown) for n in range(gpus)))


def fleet(*names: str, gpus: int | None = None) -> FakeLink:
    names = names or NAMES
    link = FakeLink(told(*names, gpus=len(names) if gpus is None else gpus), *EVENTS)
    link.before = lived(*names, gpus=gpus)
    return link


def prefs(span: float = 900.0, scope: str = "worker") -> Preferences:
    return Preferences(metrics_span=span, metrics_scope=scope)


def screen(t: Terminal) -> MetricsScreen:
    assert isinstance(t.app.screen, MetricsScreen)
    return t.app.screen


@pytest.mark.parametrize(("size", "plots"), [((80, 24), 2), ((120, 40), 6), ((200, 60), 11)])
def test_as_many_plots_as_fit(size: tuple[int, int], plots: int) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(fleet(), size, prefs=prefs()) as t:
            await t.press("4")
            assert t.text.count("└") == plots
            assert "[15 m]" in t.lines[2]
            assert "qwen3-vl-0" in t.lines[2]
            assert "throughput  1,111 tok/s" in t.text
            assert "12:00" in t.text
            assert all(len(line) <= size[0] for line in t.lines)

    scenario()


@screen_test
async def test_it_opens_at_once_and_asks_for_the_past_meanwhile() -> None:
    link = fleet()
    link.gate = asyncio.Event()
    async with terminal(link, prefs=prefs()) as t:
        await t.pilot.press("4")
        await t.until(lambda: "asking for the past …" in t.text, "the screen without a past")
        link.gate.set()
        await t.settle()
        assert "asking" not in t.text
        assert "1,111 tok/s" in t.text
        assert link.spans == [900]


@screen_test
async def test_plus_and_minus_zoom_and_stop_at_the_ends() -> None:
    link = fleet()
    async with terminal(link, prefs=prefs()) as t:
        await t.press("4", "plus", "equals_sign")
        assert "[5 m]" in t.lines[2]
        await t.press("minus", "minus", "minus", "minus", "minus")
        assert "[24 h]" in t.lines[2]
        assert "a step is 6 m" in t.lines[2]
        assert link.spans == [900, 300, 900, 3600, 21600, 86400]
        assert t.app.context.prefs.metrics_span == 86400


@screen_test
async def test_a_goes_from_the_worker_to_its_pool_to_all() -> None:
    link = fleet(*NAMES, "embed-0")
    async with terminal(link, (120, 40), prefs=prefs()) as t:
        await t.press("4")
        assert "throughput  1,111 tok/s" in t.text
        assert "kv cache  70%" in t.text
        await t.press("a")
        assert "pool qwen3-vl, 4 workers" in t.lines[2]
        assert "throughput  4,816 tok/s" in t.text
        assert "fullest" in t.text
        await t.press("a")
        assert "all 5 workers" in t.lines[2]
        await t.press("a")
        assert "qwen3-vl-0" in t.lines[2]
        assert t.app.context.prefs.metrics_scope == "worker"
        assert link.spans == [900]


@screen_test
async def test_brackets_go_to_another_worker() -> None:
    async with terminal(fleet(), prefs=prefs()) as t:
        await t.press("4", "right_square_bracket")
        assert "qwen3-vl-1" in t.lines[2]
        await t.press("left_square_bracket")
        assert "qwen3-vl-0" in t.lines[2]


@screen_test
async def test_the_cursor_reads_out_every_plot_at_its_time() -> None:
    async with terminal(fleet(), (120, 40), prefs=prefs()) as t:
        await t.press("4")
        newest = t.lines[3]
        await t.press("H", "left", "h")
        assert "at 11:59:30, 3 m 41 s ago" in t.lines[2]
        assert t.lines[3] != newest
        assert t.text.count("┴") == 6
        at = screen(t).cursor
        await t.press("l")
        assert screen(t).cursor is not None
        assert at is not None
        assert screen(t).cursor > at  # type: ignore[operator]
        await t.press("L", "right", "right")
        assert screen(t).cursor is None
        assert t.lines[3] == newest
        for _ in range(30):
            await t.press("shift+left")
        assert screen(t).cursor == screen(t).look().window.start


@screen_test
async def test_escape_goes_back_to_now_and_then_to_the_fleet() -> None:
    async with terminal(fleet(), prefs=prefs()) as t:
        await t.press("4", "left", "escape")
        assert screen(t).cursor is None
        await t.press("c", "escape")
        assert not screen(t).comparing
        await t.press("escape")
        assert t.app.screen.where is Where.FLEET  # type: ignore[attr-defined]


@screen_test
async def test_e_tells_what_happened() -> None:
    async with terminal(fleet(), (120, 40), prefs=prefs(300)) as t:
        await t.press("4")
        assert "⇄ switch" in t.lines[-2]  # what the marks mean
        assert t.text.count("▲") == 6 + 1
        await t.press("e")
        assert "12:01:01 ▲ GPU 0 reported Xid 48" in t.lines[-2]
        await t.press("e")
        assert "GPU 0 reported Xid 48" in t.lines[-2]
        await t.press("a", "E")
        assert "12:01:31 ▸ qwen3-vl-1 starting → running" in t.lines[-2]
        await t.press("l")
        assert "nothing happened here" in t.lines[-2]


@screen_test
async def test_a_narrow_screen_tells_the_time_shown_whole() -> None:
    async with terminal(fleet(), prefs=prefs(86400, "pool")) as t:
        await t.press("4")
        assert "15 m  1 h  6 h [24 h]" in t.lines[2]
        await t.press("left")
        assert "pool qwen3-vl, 4 workers  [24 h]" in t.lines[2]
        assert "…" not in t.lines[2]


@screen_test
async def test_a_click_reads_out_its_moment() -> None:
    async with terminal(fleet(), (120, 40), prefs=prefs()) as t:
        await t.press("4")
        await t.pilot.click("#plots", offset=(60 + AXIS + 10, 4))
        await t.settle()
        window = screen(t).look().window
        assert screen(t).cursor == window.at(10, 50)


@screen_test
async def test_the_rest_is_a_page_away() -> None:
    async with terminal(fleet(), prefs=prefs()) as t:
        await t.press("4")
        assert "page 1/6" in t.lines[2]
        await t.press("j")
        assert "requests" in t.text
        assert "between tokens" in t.text
        await t.press("pagedown", "down", "pagedown", "pagedown", "pagedown", "pagedown")
        assert "page 6/6" in t.lines[2]
        assert "accept length" in t.text
        await t.press("k", "pageup")
        assert "page 4/6" in t.lines[2]


@screen_test
async def test_what_is_heard_goes_on_at_the_right_edge() -> None:
    link = fleet()
    async with terminal(link, prefs=prefs(300)) as t:
        await t.press("4")
        before = t.lines[5:]
        t.clock.now += 3
        figures = WorkerMetrics(tokens_per_s=333.0, running=1)
        link.tell(Change(at=NOW + timedelta(seconds=5), metrics={NAMES[0]: figures}))
        await t.settle()
        assert t.lines[5:] == before  # figures change at a reader's pace
        t.app._beat()
        await t.settle()
        assert "throughput  333 tok/s" in t.text
        assert link.spans == [300]


@screen_test
async def test_a_daemon_that_goes_leaves_a_gap_and_is_asked_again_when_it_is_back() -> None:
    link = fleet()
    async with terminal(link, prefs=prefs()) as t:
        await t.press("4")
        link.drop()
        await t.until(lambda: t.app.screen.has_class("-stale"), "the link to be down")
        await t.press("minus")
        assert "[1 h]" in t.lines[2]
        assert link.spans == [900]
        assert "1,111 tok/s" in t.text
        link.up = True
        link.tell(told(*NAMES))
        await t.until(lambda: t.store.live, "the link to be up again")
        await t.settle()
        assert link.spans == [900, 3600]


@screen_test
async def test_without_any_daemon_it_says_so() -> None:
    link = FakeLink()
    link.up = False
    async with terminal(link, prefs=prefs()) as t:
        await t.press("4", "left", "c")
        assert "not connected" in t.lines[2]
        assert "asking" not in t.text


@screen_test
async def test_a_daemon_that_is_too_old_shows_the_minutes_that_it_has() -> None:
    link = fleet()
    link.before = None
    async with terminal(link, prefs=prefs(3600)) as t:
        await t.press("4")
        assert "this daemon keeps minutes only: it is too old" in t.lines[2]
        link.tell(Change(at=NOW, metrics={NAMES[0]: WorkerMetrics(tokens_per_s=1240.0)}))
        await t.settle()
        t.app._beat()
        await t.settle()
        assert "throughput  1,240 tok/s" in t.text


@screen_test
async def test_a_refusal_is_told() -> None:
    link = fleet()

    def broken(span: int, points: int) -> History:
        link._reach()
        raise AssertionError

    async with terminal(link, prefs=prefs()) as t:
        link.before = broken
        link.up = False
        await t.press("4")
        assert "no daemon answers" in t.lines[2]


@screen_test
async def test_a_host_without_cards_has_no_curves_of_them() -> None:
    async with terminal(fleet(gpus=0), (200, 60), prefs=prefs(scope="all")) as t:
        await t.press("4")
        assert t.text.count("no cards") == 4
        assert "4,816 tok/s" in t.text


@screen_test
async def test_two_profiles_are_compared() -> None:
    link = fleet()
    async with terminal(link, (120, 40), prefs=prefs(86400, "pool")) as t:
        await t.press("4", "c")
        assert "comparing profiles" in t.lines[2]
        assert " ".join(t.lines[3].split()) == "standard eagle3 difference"
        assert "better" in t.row("between tokens p50")
        assert "standard: throughput" in t.text
        assert "▲ not under the same load" in t.lines[-2]
        await t.press("greater_than_sign", "less_than_sign", "left", "e")
        assert " ".join(t.lines[3].split()) == "standard eagle3 difference"
        await t.press("j")
        assert "eagle3: between tokens" in t.text
        await t.press("c")
        assert "kv cache" in t.text
        assert "comparing" not in t.text


@screen_test
async def test_other_profiles_can_be_chosen() -> None:
    link = fleet()
    known = lived(*NAMES)

    def three(span: int, points: int) -> History:
        told = known(span, points)
        ran = told.profiles[NAMES[0]]
        ran[: len(ran) // 4] = ["dense"] * (len(ran) // 4)
        return told

    link.before = three
    async with terminal(link, (120, 40), prefs=prefs(86400)) as t:
        await t.press("4", "c")
        assert " ".join(t.lines[3].split()) == "standard eagle3 difference"
        await t.press("less_than_sign")
        assert " ".join(t.lines[3].split()) == "dense eagle3 difference"
        await t.press("full_stop")
        assert " ".join(t.lines[3].split()) == "dense standard difference"
        await t.press("comma")
        assert " ".join(t.lines[3].split()) == "eagle3 standard difference"


@screen_test
async def test_where_one_profile_ran_there_is_nothing_to_compare() -> None:
    async with terminal(fleet(), prefs=prefs(300)) as t:
        await t.press("4", "c")
        assert "only eagle3 ran in the last 5 m" in t.text
        assert "- looks further back" in t.text
        await t.press("minus", "minus", "minus", "minus")
        assert "standard" in t.lines[3]


@screen_test
async def test_another_host_is_asked_for_its_own_past() -> None:
    first, second = fleet(), FakeLink(told("chat-0", gpus=1))
    second.before = lived("chat-0")
    async with terminal(first, others=(second,), prefs=prefs()) as t:
        await t.press("4")
        for _ in NAMES:
            await t.press("right_square_bracket")
        assert "chat-0" in t.lines[2]
        assert second.spans == [900]
        assert "1,111 tok/s" in t.text


def test_every_key_of_the_screen_is_pressed_here() -> None:
    """And is bound to something that the screen does."""
    for key in KEYS:
        if key.where is Where.METRICS:
            assert hasattr(MetricsScreen, f"action_{key.action.partition('(')[0]}"), key.id

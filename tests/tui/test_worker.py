"""The worker's screen, driven as a person would."""

import pytest
from msgspec.structs import replace
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Change
from qvl.model.worker import Phase
from qvl_tui.keys import Where
from qvl_tui.screens.frame import Frame
from qvl_tui.screens.worker import WorkerScreen
from qvl_tui.widgets.canvas import Canvas

from tests.tui.details import SCENES, detail, link_of, ready, start, under_way
from tests.tui.fleet import NOW, snapshot, worker
from tests.tui.support import Terminal, screen_test, terminal

SIZES = [(80, 24), (120, 40), (200, 60)]


def where(t: Terminal) -> Where:
    assert isinstance(t.app.screen, Frame)
    return t.app.screen.where


def screen(t: Terminal) -> WorkerScreen:
    assert isinstance(t.app.screen, WorkerScreen)
    return t.app.screen


def whole(t: Terminal) -> str:
    """All that the columns hold, in view or not."""
    shown = [canvas for canvas in t.app.screen.query(Canvas) if canvas.display]
    return "\n".join("".join(text for text, _ in line) for canvas in shown for line in canvas.lines)


async def beat(t: Terminal, seconds: float) -> None:
    t.clock.now += seconds
    t.app._beat()
    await t.settle()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_it_tells_all_of_a_worker(size: tuple[int, int]) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(ready(), size) as t:
            await t.press("2")
            assert t.lines[1].startswith(" ● ready for 42 m · 1 setting differs")
            assert "http://127.0.0.1:8000" in t.row("standard on sglang   pid 4100")
            assert "restarts 1/8" in t.text
            text = whole(t)
            for words in (
                "✓ weights",
                "16.5 GiB",
                "48.9 GiB · 356,176 tokens · 10.9 × context",
                "4,096 at once",
                "├─ sglang::scheduler_TP0",
                "≠ 32000",
                "resolved by sglang 0.5.18",
                "out-of-gpu-memory",
                "→ lower mem-fraction-static, or free what",
                "✕ 12:31:00 TP0 torch.OutOfMemoryError",
                "context-length 32000 → 65536",
            ):
                assert words in text, words
            assert all(len(line) <= size[0] for line in t.lines)
            if size[0] == 200:
                assert all(canvas.max_scroll_y == 0 for canvas in t.app.screen.query("#columns Canvas").results(Canvas))

    scenario()


@screen_test
async def test_a_start_under_way_goes_on_between_two_answers_and_is_asked_for_again_when_its_step_changes() -> None:
    link = under_way()
    async with terminal(link, (120, 40)) as t:
        await t.press("2")
        assert "62%   2.5 s" in t.row("◐ weights")
        assert "about 21 s left" in t.row("in all")
        await beat(t, 1.0)
        assert "62%   3.5 s" in t.row("◐ weights")
        assert link.detail_asked == ["qwen3-vl-0"]
        await beat(t, 1.0)
        assert link.detail_asked == ["qwen3-vl-0"] * 2
        status = t.store.workers["qwen3-vl-0"]
        assert status.progress is not None
        told = replace(status, progress=replace(status.progress, step="graphs"))
        link.details[status.name] = detail(told, start=start(at=4, over=False))
        link.tell(Change(NOW, workers=(told,)))
        await t.settle()
        assert link.detail_asked == ["qwen3-vl-0"] * 3
        assert "62%   6.8 s" in t.row("◐ graphs")
        assert "▲ slow" in t.row("◐ graphs")


@screen_test
async def test_what_processes_take_is_asked_for_now_and_then_and_their_share_is_of_the_time_between() -> None:
    link = ready()
    async with terminal(link, (120, 40)) as t:
        await t.press("2")
        assert "     —   70 GiB" in t.row("sglang::scheduler_TP0")
        status = t.store.workers["qwen3-vl-0"]
        known = link.details[status.name]
        busy = tuple(replace(process, cpu_s=process.cpu_s + 7.5) for process in known.processes)
        link.details[status.name] = replace(known, processes=busy)
        await beat(t, 4.0)
        assert len(link.detail_asked) == 1
        await beat(t, 1.0)
        assert len(link.detail_asked) == 2
        assert "  150%   70 GiB" in t.row("sglang::scheduler_TP0")


@screen_test
async def test_arguments_are_asked_for_once_and_again_after_a_restart() -> None:
    link = ready()
    async with terminal(link, (120, 40)) as t:
        await t.press("2")
        for _ in range(4):
            await beat(t, 5.0)
        assert link.resolved_asked == ["qwen3-vl-0"]
        status = t.store.workers["qwen3-vl-0"]
        link.tell(Change(NOW, workers=(replace(status, phase=Phase.STOPPING, ready=False),)))
        await t.settle()
        assert link.resolved_asked == ["qwen3-vl-0"]
        assert "the engine doesn't run" in whole(t)
        link.tell(Change(NOW, workers=(replace(status, pid=5000, since=NOW),)))
        await t.settle()
        assert link.resolved_asked == ["qwen3-vl-0"] * 2
        assert "resolved by sglang 0.5.18" in t.text
        await t.press("a")
        assert link.resolved_asked == ["qwen3-vl-0"] * 3


@screen_test
async def test_an_engine_that_does_not_answer_is_told_with_the_hint() -> None:
    link = ready()
    link.unresolved = QvlError(ErrorCode.CONFLICT, "qwen3-vl-0 gave no answer within 5 s", "see whether it hangs")
    async with terminal(link, (200, 60)) as t:
        await t.press("2")
        assert "qwen3-vl-0 gave no answer within 5 s → see whether it hangs" in t.text
        assert "mem-fraction-static" in t.text


@screen_test
async def test_e_shows_all_arguments_and_few_again() -> None:
    async with terminal(ready(), (200, 60)) as t:
        await t.press("2")
        assert "e shows 2 more" in t.text
        assert "log-level" not in t.text
        await t.press("e")
        assert "log-level" in t.text
        assert "HF_HOME=/opt/nvme/hf" in t.text
        assert "hidden     api-key" in t.text
        await t.press("e")
        assert "log-level" not in t.text


@screen_test
async def test_tab_goes_from_section_to_section_and_back() -> None:
    async with terminal(ready()) as t:
        await t.press("2")
        names = ("start", "capacity", "last exits", "processes", "arguments", "log", "start")
        for name in names:
            await t.press("tab")
            assert t.row("▸").startswith(f"▸{name} ")
        await t.press("shift+tab", "shift+tab")
        assert t.row("▸").startswith("▸arguments ")


@screen_test
async def test_all_of_it_is_reached_by_scrolling() -> None:
    async with terminal(ready()) as t:
        await t.press("2")
        column = t.app.screen.query_one("#left", Canvas)
        ways = (
            ("j", "k"),
            ("down", "up"),
            ("pagedown", "pageup"),
            ("ctrl+d", "ctrl+u"),
            ("space", "pageup"),
            ("G", "g"),
        )
        for further, back in (*ways, ("end", "home")):
            await t.press(further)
            assert column.scroll_offset.y > 0, further
            await t.press(back)
            assert column.scroll_offset.y == 0, back
        seen = set(t.lines)
        while column.scroll_offset.y < column.max_scroll_y:
            await t.press("pagedown")
            seen |= set(t.lines)
        text = "\n".join(seen)
        assert "torch.OutOfMemoryError: CUDA out of memory" in text
        assert "the log" not in text
        assert "Decode batch" in text


@screen_test
async def test_with_columns_the_one_with_the_focus_scrolls() -> None:
    async with terminal(ready(), (120, 24)) as t:
        await t.press("2")
        left, middle = (t.app.screen.query_one(f"#{name}", Canvas) for name in ("left", "middle"))
        await t.press("j")
        assert (left.scroll_offset.y, middle.scroll_offset.y) == (1, 0)
        await t.press("g", *["tab"] * 4, "g", "j", "j")
        assert screen(t).chosen == "arguments"
        assert middle.scroll_offset.y == 2


@pytest.mark.parametrize(("key", "sent"), [("s", "start"), ("S", "stop"), ("r", "restart")])
def test_acts_are_on_this_worker_and_ask_where_they_interrupt(key: str, sent: str) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(ready()) as t:
            await t.press("2", key)
            if sent != "start":
                assert t.link.acts == []
                assert f"{sent} qwen3-vl-0?" in t.text
                await t.press("y")
            assert t.link.acts == [(sent, "qwen3-vl-0")]
            assert f"{sent} asked" in t.lines[1]

    scenario()


@pytest.mark.parametrize("key", ["s", "S", "r"])
def test_who_may_only_look_is_told_so(key: str) -> None:
    @screen_test
    async def scenario() -> None:
        status = worker()
        async with terminal(link_of(status, detail(status), role="viewer")) as t:
            await t.press("2")
            assert "view only" in t.lines[0]
            await t.press(key)
            assert "is not permitted" in t.text
            assert t.link.acts == []

    scenario()


@pytest.mark.parametrize(("key", "to"), [("l", Where.LOG), ("enter", Where.LOG), ("p", Where.SWITCH)])
def test_keys_that_lead_elsewhere(key: str, to: Where) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(ready()) as t:
            await t.press("2", key)
            await t.until(lambda: where(t) is to, to)

    scenario()


@screen_test
async def test_y_copies_the_endpoint_the_section_or_the_command_line() -> None:
    async with terminal(ready(), (120, 40)) as t:
        await t.press("2", "y")
        assert t.app.clipboard == "http://127.0.0.1:8000"
        await t.press("tab", "tab", "y")
        assert t.app.clipboard.splitlines()[-1] == " left free  70.6 GiB"
        assert "copied capacity" in t.text
        await t.press("tab", "tab", "y")
        assert t.app.clipboard == "python -m sglang.launch_server --context-length 32k"
        assert "copied the command line" in t.text


@screen_test
async def test_what_is_copied_can_not_steer_the_terminal_that_it_is_pasted_into() -> None:
    status = worker()
    bad = replace(detail(status).exits[0], evidence="one\x1b[2J\x07two\u202e", hint=None)
    async with terminal(link_of(status, detail(status, exits=(bad,))), (120, 40)) as t:
        await t.press("2", *["tab"] * 3, "y")
        assert "one[2Jtwo" in t.app.clipboard
        assert not {"\x1b", "\x07", "\u202e"} & set(t.app.clipboard + t.text)


@screen_test
async def test_brackets_turn_to_another_worker() -> None:
    link = ready()
    link.details["qwen3-vl-1"] = detail(worker("qwen3-vl-1"), processes=())
    async with terminal(link) as t:
        await t.press("2", "G", "right_square_bracket")
        assert "qwen3-vl-1" in t.lines[0]
        assert link.detail_asked == ["qwen3-vl-0", "qwen3-vl-1"]
        assert "http://127.0.0.1:8001" in t.text
        assert t.app.screen.query_one("#left", Canvas).scroll_offset.y == 0
        await t.press("left_square_bracket")
        assert "qwen3-vl-0" in t.lines[0]


@screen_test
async def test_a_worker_that_is_configured_no_more_stays_in_focus_and_nothing_is_done_to_another() -> None:
    async with terminal(ready()) as t:
        await t.press("2")
        t.link.tell(Change(NOW, removed=("qwen3-vl-0",)))
        await t.settle()
        assert "qwen3-vl-0, no longer configured" in t.lines[0]
        assert "worker qwen3-vl-0 is configured no more" in t.text
        await t.press("S", "y", "tab", "e", "G")
        assert t.link.acts == []
        await t.press("right_square_bracket")
        assert "qwen3-vl-1  ● ready" in t.lines[0]
        await t.press("escape")
        assert "qwen3-vl-1" in t.row("›")


@screen_test
async def test_without_any_worker_it_says_so() -> None:
    link = link_of(worker(), None)
    async with terminal(link) as t:
        link.tell(snapshot())
        t.app.context.focus(t.app.context.session, None)
        await t.press("2")
        assert "no worker" in t.text


@screen_test
async def test_a_lost_daemon_leaves_it_dimmed_and_asks_nothing_and_a_new_one_is_asked_at_once() -> None:
    link = ready()
    async with terminal(link, (120, 40)) as t:
        await t.press("2")
        t.link.drop()
        await t.until(lambda: t.app.screen.has_class("-stale"), "the dimming")
        await beat(t, 60.0)
        assert "✕ 1 m old" in t.lines[0]
        assert "reconnecting" in t.lines[1]
        assert "✓ weights" in t.text
        assert len(link.detail_asked) == 1
        link.tell(snapshot(worker("qwen3-vl-0")))
        link.up = True
        await t.until(lambda: t.store.live and len(link.detail_asked) == 2, "the next question")
        await t.settle()
        assert not t.app.screen.has_class("-stale")


@screen_test
async def test_a_daemon_that_tells_no_more_is_not_asked_for_ever_and_the_rest_is_shown() -> None:
    link = SCENES["older"]()
    async with terminal(link, (120, 40)) as t:
        await t.press("2")
        text = whole(t)
        assert "this daemon is older than this program" in text
        assert "model-missing" in text
        assert "mem-fraction-static" in text
        for _ in range(3):
            await beat(t, 10.0)
        assert len(link.detail_asked) == 1


@screen_test
async def test_an_engine_of_ones_own_has_no_figures_and_no_steps() -> None:
    async with terminal(SCENES["own"](), (120, 40)) as t:
        await t.press("2")
        assert "ready after 1.2 s; this engine tells no steps" in t.text
        assert "its engine tells none" in t.text
        assert "none is remembered" in t.text


@screen_test
async def test_a_failed_one_shows_why_first_where_it_ended_and_what_to_do() -> None:
    async with terminal(SCENES["failed"](), (120, 40)) as t:
        await t.press("2")
        assert t.lines[1].startswith(" ✕ failed for 3 m · the model /models/Qwen3-VL-8B-Instruct is not there")
        assert "→ mount it, or change `model` in the profile" in t.text
        rows = t.lines
        heading = {
            name: next(n for n, line in enumerate(rows) if line.startswith(f" {name} ─"))
            for name in ("last exits", "start")
        }
        assert heading["last exits"] < heading["start"]
        assert "✕ ended" in t.row("✕ graphs")
        assert "it has none" in t.text
        assert "never ready" in t.row("in all")


@screen_test
async def test_the_end_of_the_log_moves_with_the_beat() -> None:
    link = ready()
    async with terminal(link, (120, 40)) as t:
        await t.press("2")
        assert "12:31:00 TP0 torch" in t.lines[-2]
        link.write(b"[2026-03-04 12:40:00] Prefill batch, #new-seq: 1\n", offset=9999)
        await t.settle()
        assert "12:31:00 TP0 torch" in t.lines[-2]
        await beat(t, 2.0)
        assert "12:40:00 Prefill batch" in t.lines[-2]


@screen_test
async def test_where_nothing_moves_nothing_is_painted() -> None:
    async with terminal(ready(), (120, 40)) as t:
        await t.press("2")
        await beat(t, 1.0)
        canvases = list(t.app.screen.query(Canvas))
        before = [canvas.lines for canvas in canvases]
        await beat(t, 5.0)
        assert len(t.link.detail_asked) == 2
        changed = [canvas.id for canvas, lines in zip(canvases, before, strict=True) if canvas.lines != lines]
        assert changed == ["middle"]
        await beat(t, 0.5)
        before = [canvas.lines for canvas in canvases]
        await beat(t, 0.5)
        assert before == [canvas.lines for canvas in canvases]


@screen_test
async def test_leaving_ends_what_it_reads() -> None:
    async with terminal(ready()) as t:
        await t.press("2")
        assert t.link.readers == 1
        await t.press("escape")
        await t.until(lambda: t.link.readers == 0, "the end of reading")


@screen_test
async def test_a_resize_lays_it_out_anew() -> None:
    async with terminal(ready(), (200, 60)) as t:
        await t.press("2")
        for size, count in (((80, 24), 1), ((120, 40), 2), ((200, 60), 3)):
            await t.pilot.resize_terminal(*size)
            await t.settle()
            assert len(screen(t).columns) == count
            assert all(len(line) <= size[0] for line in t.lines)


@screen_test
async def test_what_a_lost_daemon_told_of_a_start_stands_still() -> None:
    async with terminal(under_way(), (120, 40)) as t:
        await t.press("2")
        t.link.drop()
        await t.until(lambda: not t.store.live, "the loss")
        await beat(t, 30.0)
        assert "62%   2.5 s" in t.row("◐ weights")


@screen_test
async def test_a_question_that_fails_leaves_what_was_known_and_says_so() -> None:
    link = ready()
    async with terminal(link, (200, 60)) as t:
        await t.press("2")
        del link.details["qwen3-vl-0"]
        await beat(t, 5.0)
        assert len(link.detail_asked) == 2
        assert "├─ sglang::scheduler_TP0" in t.text
        assert "this daemon is older" in t.row(" processes ─")

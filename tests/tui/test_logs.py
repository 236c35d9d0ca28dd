"""A worker's live log on the screen."""

from qvl.model.error import ErrorCode, QvlError
from qvl_tui.logbuffer import KEPT
from qvl_tui.widgets.log_view import LogView

from tests.tui.fleet import FakeLink, snapshot, troubled, worker
from tests.tui.support import Terminal, screen_test, terminal


def numbered(first: int, last: int) -> bytes:
    return b"".join(b"line %d\n" % n for n in range(first, last + 1))


async def opened(t: Terminal, data: bytes = b"") -> LogView:
    await t.press("l")
    if data:
        t.link.write(data)
        await t.settle()
    return t.app.screen.query_one(LogView)


@screen_test
async def test_it_follows_what_is_written() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t, numbered(1, 100))
        assert "w-0" in t.lines[0]
        assert "● ready" in t.lines[0]
        assert "following" in t.lines[0]
        assert "line 100" in t.log[-1]
        t.link.write(b"and one more\n", 800)
        await t.settle()
        assert "and one more" in t.log[-1]


@screen_test
async def test_scrolling_away_holds_it_and_tells_what_is_missed() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t, numbered(1, 100))
        await t.press("k")
        assert "held" in t.lines[0]
        before = t.log
        t.link.write(numbered(101, 130))
        await t.settle()
        assert t.log == before
        assert "30 new lines below" in t.lines[0]
        await t.press("f")
        assert "following" in t.lines[0]
        assert "line 130" in t.log[-1]


@screen_test
async def test_the_keys_that_move() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t, numbered(1, 100))
        await t.press("g")
        assert t.log[0] == "line 1"
        await t.press("j", "down")
        assert t.log[0] == "line 3"
        await t.press("up")
        assert t.log[0] == "line 2"
        await t.press("pagedown")
        top = int(t.log[0].split()[1])
        assert 15 < top < 25
        await t.press("pageup")
        assert t.log[0] == "line 2"
        await t.press("G")
        assert "line 100" in t.log[-1]
        await t.press("space")
        assert "held" in t.lines[0]
        await t.press("space")
        assert "following" in t.lines[0]


@screen_test
async def test_paging_down_to_the_end_follows_again() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t, numbered(1, 60))
        await t.press("pageup")
        assert "held" in t.lines[0]
        await t.press("pagedown", "pagedown")
        assert "following" in t.lines[0]


@screen_test
async def test_what_one_reads_stays_while_lines_leave_at_the_top() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t, numbered(1, KEPT))
        await t.press("pageup", "pageup")
        top = t.log[0]
        t.link.write(numbered(KEPT + 1, KEPT + 500))
        await t.settle()
        assert t.log[0] == top


@screen_test
async def test_error_lines_are_marked_and_found() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(
            t, numbered(1, 50) + b"RuntimeError: first\n" + numbered(51, 99) + b"ERROR second\n" + numbered(1, 60)
        )
        await t.press("e")
        assert "✕ ERROR second" in t.text
        await t.press("e")
        assert "✕ RuntimeError: first" in t.text
        await t.press("E")
        assert "✕ ERROR second" in t.text
        await t.press("e", "e")
        assert "no error line there" in t.text


@screen_test
async def test_a_progress_line_stays_one_line() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t, b"start\nload 10%\rload 20%")
        t.link.write(b"\rload 30%")
        await t.settle()
        assert t.log[:3] == ["start", "load 30%", ""]


@screen_test
async def test_long_lines_are_cut_and_can_be_moved() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t, b"begin " + b"x" * 100 + b" finish\n")
        assert t.lines[3].endswith("…")
        await t.press("right", "right")
        assert "finish" in t.log[0]
        await t.press("left", "left", "left")
        assert t.log[0].startswith("begin")


@screen_test
async def test_a_flood_leaves_the_keys_alive() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t)
        for n in range(200):
            t.link.write(numbered(n * 100, n * 100 + 99))
        await t.press("escape")
        assert "1/1 ready" in t.lines[0]


@screen_test
async def test_after_a_loss_it_goes_on_where_it_was() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        await opened(t, b"one\n")
        t.link.drop()
        await t.until(lambda: "reconnecting" in t.text, "the banner")
        t.link.up = True
        t.link.tell(snapshot(worker("w-0")))
        await t.until(lambda: len(t.link.log_asked) >= 2, "the log to be asked for again")
        assert t.link.log_asked == [None, 4]
        t.link.write(b"two\n", 4)
        t.link.write(b"three\n", 108)
        await t.settle()
        assert t.log[:4] == [
            "one",
            "two",
            "… 100 B were rotated away before they were read",
            "three",
        ]


@screen_test
async def test_a_refusal_is_told_once_among_the_lines() -> None:
    class Refusing(FakeLink):
        async def log(self, worker: str, *, lines: int, since: int | None):  # type: ignore[no-untyped-def]
            self.log_asked.append(since)
            raise QvlError(ErrorCode.NOT_FOUND, f"worker {worker} has no log yet", "start it")
            yield

    link = Refusing(snapshot(worker("w-0")))
    async with terminal(link) as t:
        await opened(t)
        await t.until(lambda: len(link.log_asked) >= 2, "a second attempt")
        assert t.text.count("worker w-0 has no log yet → start it") == 1


@screen_test
async def test_l_opens_and_escape_or_h_go_back() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        for key in ("escape", "h"):
            await t.press("l")
            assert "following" in t.lines[0]
            await t.press(key)
            assert "1/4 ready" in t.lines[0]


@screen_test
async def test_why_a_worker_failed_stands_over_its_log() -> None:
    async with terminal(FakeLink(*troubled())) as t:
        await t.press("G", "enter")
        assert "✕ failed" in t.lines[0]
        assert "the model /models/Qwen3-VL-8B-Instruct is not there" in t.lines[1]


@screen_test
async def test_a_line_that_is_cut_says_so_beside_the_scrollbar_which_is_where_the_view_is() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0")))) as t:
        view = await opened(t, b"".join(b"%d %s\n" % (n, b"x" * 100) for n in range(100)))
        assert all(line.endswith("x…") for line in t.log)
        assert view.vertical_scrollbar.position == view.scroll_y == view.max_scroll_y > 0

"""Logs on the screen: every key, as a user presses it."""

import asyncio
import os
from pathlib import Path

import pytest
from qvl.model.error import ErrorCode, QvlError
from qvl.model.log import LogRun
from qvl_tui.logs.feed import MOST
from qvl_tui.prefs import Preferences
from qvl_tui.widgets.log_view import LogView
from textual.widgets import Input

from tests.tui.fleet import FakeLink, snapshot, troubled, worker
from tests.tui.logs.link import LogLink
from tests.tui.support import Terminal, screen_test, terminal

TRACEBACK = (
    b"[2026-03-04 12:00:01 TP0] Scheduler hit an exception: Traceback (most recent call last):\n"
    + b'  File "scheduler.py", line 1, in run\n    loop()\n' * 5
    + b"torch.OutOfMemoryError: CUDA out of memory\n"
)


def numbered(first: int, last: int) -> bytes:
    return b"".join(b"line %d\n" % n for n in range(first, last + 1))


def stamped(first: int, last: int, word: str = "line", hour: int = 12) -> bytes:
    return b"".join(
        f"[2026-03-04 {hour:02}:{n // 60 % 60:02}:{n % 60:02} TP0] {word} {n}\n".encode()
        for n in range(first, last + 1)
    )


def log(t: Terminal) -> list[str]:
    """The lines of the view, without the pointer."""
    return [line.replace("›", "", 1).strip() for line in t.log]


async def opened(t: Terminal, data: bytes = b"", *, name: str = "w-0") -> LogLink:
    assert isinstance(t.link, LogLink)
    if data:
        t.link.of(name).write(data)
    await t.press("l")
    return t.link


@screen_test
async def test_it_follows_what_is_written() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, numbered(1, 100))
        assert "w-0" in t.lines[1]
        assert "following" in t.lines[1]
        assert "line 100" in log(t)[-1]
        link.of().write(b"and one more\n")
        await t.settle()
        assert "and one more" in log(t)[-1]


@screen_test
async def test_scrolling_away_holds_it_and_tells_what_is_missed() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, numbered(1, 100))
        await t.press("k")
        assert "held" in t.lines[1]
        before = log(t)
        link.of().write(numbered(101, 130))
        await t.settle()
        assert log(t) == before
        assert "30 new lines below" in t.lines[1]
        await t.press("f")
        assert "following" in t.lines[1]
        assert "line 130" in log(t)[-1]


@screen_test
async def test_the_keys_that_move() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, numbered(1, 100))
        await t.press("g")
        assert log(t)[0] == "line 1"
        view = t.app.screen.query_one(LogView)
        assert view.marked == 0
        await t.press("j", "down")
        assert view.marked == 2
        await t.press("up")
        assert view.marked == 1
        await t.press("pagedown")
        top = int(log(t)[0].split()[1])
        assert 15 < top < 25
        await t.press("pageup")
        assert log(t)[0] == "line 1"
        for key, line in (("ctrl+f", top), ("ctrl+b", 1), ("ctrl+d", 11), ("ctrl+u", 1)):
            await t.press(key)
            assert log(t)[0] == f"line {line}"
        await t.press("G")
        assert "line 100" in log(t)[-1]
        await t.press("space")
        assert "held" in t.lines[1]
        await t.press("space")
        assert "following" in t.lines[1]
        await t.press("home")
        assert log(t)[0] == "line 1"
        await t.press("end")
        assert "following" in t.lines[1]


@screen_test
async def test_down_to_the_end_follows_again() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, numbered(1, 60))
        await t.press("pageup")
        assert "held" in t.lines[1]
        await t.press("pagedown", "pagedown")
        assert "following" in t.lines[1]
        await t.press("k")
        assert "held" in t.lines[1]
        await t.press("j", "j")
        assert "following" in t.lines[1]


@screen_test
async def test_the_wheel_and_clicks() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, numbered(1, 100))
        view = t.app.screen.query_one(LogView)
        view.post_message(LogView.Wheel(-3))
        await t.settle()
        assert "line 97" in log(t)[-1]
        view.post_message(LogView.Wheel(3))
        await t.settle()
        assert "following" in t.lines[1]
        await t.pilot.click(LogView, offset=(5, 2))
        await t.settle()
        assert view.marked == 2
        await t.pilot.click(LogView, offset=(79, 0))
        await t.settle()
        assert "line 1" in log(t)


@screen_test
async def test_a_long_log_is_read_where_one_looks_and_nowhere_else() -> None:
    async with terminal(LogLink()) as t:
        data = stamped(0, 200_000)
        link = await opened(t, data)
        assert sum(limit for _, _, limit in link.pages) < 2_000_000
        await t.press("g")
        assert log(t)[0].endswith("line 0")
        assert "held at 0%" in t.lines[1]
        await t.press("percent_sign", "5", "0", "%", "enter")
        assert "held at 50%" in t.lines[1] or "held at 49%" in t.lines[1]
        middle = int(log(t)[5].split()[-1])
        assert 90_000 < middle < 110_000
        for _ in range(5):
            await t.press("pageup")
        before = int(log(t)[0].split()[-1])
        assert middle - 150 < before < middle - 50
        numbers = [int(line.split()[-1]) for line in log(t)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert sum(limit for _, _, limit in link.pages) < 6_000_000
        await t.press("G")
        assert log(t)[-1].endswith("line 200000")


@screen_test
async def test_paging_through_meets_every_line_once() -> None:
    async with terminal(LogLink(), (80, 120)) as t:
        await opened(t, b"".join(b"line %d %s\n" % (n, b"x" * 200) for n in range(2000)))
        await t.press("g")
        seen = [int(line.split()[1]) for line in log(t)]
        while "held" in t.lines[1]:
            await t.press("pagedown")
            page = [int(line.split()[1]) for line in log(t)]
            assert page == list(range(page[0], page[0] + len(page)))
            assert page[0] <= seen[-1] + 1
            seen = page
        assert seen[-1] == 1999


@screen_test
async def test_what_one_reads_stays_while_a_flood_comes_and_is_not_all_kept() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, numbered(1, 500))
        await t.press("pageup", "pageup")
        top = log(t)[0]
        link.of().write(numbered(501, 501 + MOST + 5_000))
        await t.settle()
        assert log(t)[0] == top
        assert "more than" in t.lines[1]
        await t.press("G")
        assert log(t)[-1] == f"line {501 + MOST + 5_000}"


@screen_test
async def test_errors_are_marked_and_found_wherever_they_lie() -> None:
    far = numbered(1, 30_000)
    async with terminal(LogLink()) as t:
        await opened(t, b"RuntimeError: first\n" + far + b"ERROR second\n" + numbered(1, 60))
        await t.press("e")
        assert "✕›ERROR second" in t.text
        await t.press("e")
        assert "✕›RuntimeError: first" in t.text
        await t.press("e")
        assert "no error line above" in t.text
        await t.press("E")
        assert "✕›ERROR second" in t.text
        await t.press("E")
        assert "no error line below" in t.text


@screen_test
async def test_search_goes_through_the_whole_log_and_marks_what_it_finds() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, b"Needle one\n" + numbered(1, 30_000) + b"a needle two\n" + numbered(1, 10))
        await t.press("slash", *"needle", "enter")
        assert "a needle two" in t.text
        assert link.searches[-1].ignore_case
        await t.press("n")
        assert "Needle one" in t.text
        await t.press("n")
        assert "nothing above matches /needle" in t.text
        await t.press("N")
        assert "a needle two" in t.text
        view = t.app.screen.query_one(LogView)
        assert any(tone.value == "match" and text == "needle" for line in view.lines for text, tone in line)
        await t.press("escape")
        assert not any(tone.value == "match" for line in view.lines for _, tone in line)
        await t.press("n")
        assert "nothing is looked for" in t.text


@screen_test
async def test_a_capital_or_a_held_view_make_the_search_another() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, b"Needle one\n" + numbered(1, 300) + b"a needle two\nNeedle three\n")
        await t.press("g", "slash", *"Needle", "enter")
        assert not link.searches[-1].ignore_case
        assert "n goes on ↓" in t.lines[1]
        assert "Needle one" in t.text
        await t.press("n")
        assert "Needle three" in t.text


@screen_test
async def test_a_pattern_that_is_none_is_told_in_place() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, numbered(1, 10))
        await t.press("slash", *"(a")
        assert "✕ not a regular expression: missing )" in t.lines[1]
        await t.press("enter")
        assert not link.searches
        await t.press("backspace", "backspace", "1", "enter")
        assert "line 10" in t.text
        assert "✕ not" not in t.text


@screen_test
async def test_a_search_tells_how_far_it_is_and_ends_with_escape() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, numbered(1, 1000))
        link.gate = asyncio.Event()
        await t.pilot.press("slash", *"nowhere", "enter")
        await t.until(lambda: "Esc stops" in t.lines[1], "the search to be told")
        assert "/nowhere ↑ 8.7 KiB of 8.7 KiB left to look through" in t.lines[1]
        await t.press("escape")
        assert "the search was ended" in t.lines[1]
        await t.press("escape")
        assert "following" not in t.lines[1]
        await t.press("escape")
        assert "1/1 ready" in t.lines[0]


@screen_test
async def test_only_errors_of_the_whole_log_and_of_what_comes() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(
            t, b"[2026-03-04 11:00:00] first error here\n" + stamped(0, 20_000) + TRACEBACK + stamped(0, 9)
        )
        await t.press("l")
        assert "▲ ✕ warnings and errors" in t.lines[1]
        await t.press("l")
        assert "✕ errors only" in t.lines[1]
        shown = [line for line in log(t) if line]
        assert shown[0].endswith("first error here")
        assert "Scheduler hit an exception" in shown[1]
        assert "… 10 more lines" in shown[2]
        assert "OutOfMemoryError" in shown[3]
        assert len(shown) == 4
        link.of().write(b"[2026-03-04 13:00:00] fine\n[2026-03-04 13:00:01] ERROR: again\n[2026-03-04 13:00:02] fine\n")
        await t.settle()
        assert [line for line in log(t) if line][4:] == ["✕ [2026-03-04 13:00:01] ERROR: again"]
        assert t.app.context.prefs.log_level == "error"
        await t.press("l")
        assert "fine" in log(t)[-1]


@screen_test
async def test_tracebacks_are_folded() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, stamped(0, 3) + TRACEBACK + stamped(4, 6))
        assert t.text.count("… 10 more lines") == 1
        assert "loop()" not in t.text
        await t.press("space", "up", "up", "up", "up", "enter")
        assert t.text.count("loop()") == 5
        await t.press("t")
        assert "loop()" not in t.text
        await t.press("z")
        assert t.text.count("loop()") == 5
        assert "all tracebacks unfolded" in t.lines[1]
        await t.press("z")
        assert "loop()" not in t.text
        await t.press("g", "t")
        assert "no traceback here" in t.lines[1]


@screen_test
async def test_what_is_found_in_a_folded_traceback_unfolds_it() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, stamped(0, 3) + TRACEBACK + stamped(4, 6))
        await t.press("slash", *"loop", "enter")
        assert "loop()" in t.text


@screen_test
async def test_runs_have_marks_and_keys() -> None:
    async with terminal(LogLink()) as t:
        link = t.link
        assert isinstance(link, LogLink)
        first, second = numbered(1, 30_000), numbered(1, 300)
        link.of().runs = [LogRun(6, 0, 1772625000.0), LogRun(7, len(first), 1772625900.0)]
        await opened(t, first + second)
        await t.press("left_curly_bracket")
        assert "── run 7 began 20" in t.text
        assert log(t)[t.app.screen.query_one(LogView).marked or 0] == "line 1"
        await t.press("left_curly_bracket")
        assert "── run 6 began 20" in t.text
        await t.press("left_curly_bracket")
        assert "no run before this one" in t.lines[1]
        await t.press("right_curly_bracket")
        assert "── run 7 began 20" in t.text
        await t.press("right_curly_bracket")
        assert "no run after this one" in t.lines[1]


@screen_test
async def test_all_workers_in_one_by_time() -> None:
    async with terminal(LogLink(snapshot(worker("w-0"), worker("w-1")))) as t:
        assert isinstance(t.link, LogLink)
        t.link.of("w-0").write(b"".join(b"[2026-03-04 12:00:%02d] zero %d\n" % (n, n) for n in range(0, 20, 2)))
        t.link.of("w-1").write(b"".join(b"[2026-03-04 12:00:%02d] one %d\n  more\n" % (n, n) for n in range(1, 20, 2)))
        await t.press("l", "a")
        assert "2 of 2 logs in one" in t.lines[1]
        shown = [line.split()[-2:] for line in log(t) if "[2026" in line]
        assert [int(number) for _, number in shown] == list(range(20 - len(shown), 20))
        assert {word for word, _ in shown} == {"zero", "one"}
        assert all(("w-0" if "zero" in line else "w-1") in line for line in log(t) if "[2026" in line)
        t.link.of("w-0").write(b"[2026-03-04 12:00:30] late\n")
        await t.settle()
        assert "late" in log(t)[-1]
        await t.press("k", "k", "x")
        assert "w-1 is hidden" in t.lines[1]
        assert not any("one" in line for line in log(t))
        await t.press("k")
        assert "1 hidden" in t.lines[1]
        await t.press("X")
        assert "w-1" in t.text
        await t.press("o")
        assert "logs in one" not in t.text
        await t.press("x")
        assert "only one log is shown" in t.lines[1]


@screen_test
async def test_workers_that_come_are_among_all() -> None:
    async with terminal(LogLink(snapshot(worker("w-0")))) as t:
        assert isinstance(t.link, LogLink)
        t.link.of("w-1").write(b"of the new one\n")
        await t.press("l", "a")
        assert "1 of 1 logs in one" in t.lines[1]
        t.link.tell(snapshot(worker("w-0"), worker("w-1"), seq=11))
        await t.settle()
        assert "2 of 2 logs in one" in t.lines[1]
        assert "of the new one" in t.text


@screen_test
async def test_interleaved_logs_scroll_and_search_together() -> None:
    async with terminal(LogLink(snapshot(worker("w-0"), worker("w-1")))) as t:
        assert isinstance(t.link, LogLink)
        t.link.of("w-0").write(stamped(0, 3000, "zero") + stamped(3001, 3400, "zero"))
        t.link.of("w-1").write(
            stamped(0, 1500, "one") + b"[2026-03-04 12:25:00 TP0] a needle\n" + stamped(1501, 3400, "one")
        )
        await t.press("l", "a", "slash", *"needle", "enter")
        assert "a needle" in t.text
        numbers = [int(line.split()[-1]) for line in log(t) if "zero" in line]
        assert min(numbers) <= 1500 <= max(numbers)
        await t.press("g")
        assert [line.split()[-1] for line in log(t)[:4]] == ["0", "0", "1", "1"]


@screen_test
async def test_long_lines_are_cut_and_can_be_moved_or_wrapped() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, b"begin " + b"x" * 100 + b" finish\n")
        assert "…" in t.lines[3]
        await t.press("right", "right")
        assert "finish" in log(t)[0]
        await t.press("left", "left", "left")
        assert log(t)[0].startswith("begin")
        await t.press("right", "0")
        assert log(t)[0].startswith("begin")
        await t.press("w")
        assert log(t)[0].startswith("begin")
        assert log(t)[1].endswith("finish")
        assert "wrapped" in t.lines[1]
        assert t.app.context.prefs.log_wrap
        await t.press("w")
        assert "wrapped" not in t.lines[1]


@screen_test
async def test_times_since_the_run_began_and_no_times() -> None:
    async with terminal(LogLink()) as t:
        assert isinstance(t.link, LogLink)
        t.link.of().runs = [LogRun(1, 0, None)]
        await opened(t, stamped(0, 90))
        await t.press("T")
        assert log(t)[-1] == "+0:01:30 [TP0] line 90"
        await t.press("T")
        assert log(t)[-1] == "[TP0] line 90"
        assert t.app.context.prefs.log_stamps == "off"
        await t.press("T")
        assert log(t)[-1] == "[2026-03-04 12:01:30 TP0] line 90"


@screen_test
async def test_going_to_a_time_or_a_byte() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, stamped(0, 3599, hour=3) + stamped(0, 3599, hour=4))
        view = t.app.screen.query_one(LogView)
        await t.press("percent_sign", *"3:12:05", "enter")
        assert log(t)[view.marked or 0] == "[2026-03-04 03:12:05 TP0] line 725"
        await t.press("percent_sign", *"03-04 04:01", "enter")
        assert log(t)[view.marked or 0] == "[2026-03-04 04:01:00 TP0] line 60"
        await t.press("percent_sign", *"0", "enter")
        assert log(t)[0] == "[2026-03-04 03:00:00 TP0] line 0"
        await t.press("percent_sign", *"soon", "enter")
        assert "'soon' is neither a share, nor a time, nor a byte" in t.lines[1]
        await t.press("escape")


@screen_test
async def test_copying_goes_by_the_terminal_and_says_how_much() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, numbered(1, 100))
        await t.press("g", "y")
        assert t.app.clipboard == "line 1"
        assert "copied 1 line, 6 B" in t.lines[1]
        await t.press("m", "j", "j", "y")
        assert t.app.clipboard == "line 1\nline 2\nline 3"
        assert "copied 3 lines, 20 B" in t.lines[1]
        await t.press("Y")
        assert t.app.clipboard.startswith("line 1\n")
        assert f"copied {len(log(t))} lines" in t.lines[1]
        await t.press("m")
        assert "1 line marked" in t.lines[1]
        await t.press("m")
        assert "marked" not in t.lines[1]


@screen_test
async def test_a_folded_traceback_is_copied_whole() -> None:
    async with terminal(LogLink()) as t:
        await opened(t, TRACEBACK)
        await t.press("g", "j", "y")
        assert "copied 10 lines" in t.lines[1]
        assert t.app.clipboard.count("loop()") == 5


def test_saving(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with terminal(LogLink()) as t:
            data = numbered(1, 40_000)
            await opened(t, data)
            target = tmp_path / "oulog(t)"

            async def save(*more: str) -> None:
                await t.press("s", *more)
                t.app.screen.query_one("#file", Input).value = str(target)
                await t.press("enter")

            await save()
            assert target.read_bytes() == data
            assert f"saved {round(len(data) / 1024)} KiB to" in t.lines[1]
            await save()
            assert "oulog(t) is there already; Enter again writes over it" in t.text
            await t.press("escape")
            target.write_bytes(b"old")
            await save()
            await t.press("enter")
            assert target.read_bytes() == data
            target.unlink()
            await t.press("g", "j", "j")
            await save("tab", "tab")
            assert target.read_bytes() == data[len(b"line 1\nline 2\n") :]
            target.unlink()
            await save("tab")
            assert target.read_bytes().startswith(b"line 1\nline 2\n")
            assert os.listdir(tmp_path) == ["oulog(t)"]
            target = tmp_path / "none" / "oulog(t)"
            await save()
            assert "there is no directory" in t.text
            await t.press("escape")
            for name, why in (("~nobody-of-this-name/x", "home"), (f"{tmp_path}/{'x' * 300}", "too long")):
                target = Path(name)
                await save()
                assert why in t.text
                await t.press("escape")

    screen_test(scenario)()


@screen_test
async def test_a_progress_line_stays_one_line() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, b"start\nload 10%\rload 20%")
        link.of().write(b"\rload 30%")
        await t.settle()
        assert log(t)[:3] == ["start", "load 30%", ""]


@screen_test
async def test_a_flood_leaves_the_keys_alive() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t)
        for n in range(200):
            link.of().write(numbered(n * 100, n * 100 + 99))
        await t.press("escape")
        assert "1/1 ready" in t.lines[0]


@screen_test
async def test_after_a_loss_it_goes_on_where_it_was() -> None:
    async with terminal(LogLink()) as t:
        link = await opened(t, b"one\n")
        link.drop()
        await t.until(lambda: "reconnecting" in t.text, "the banner")
        link.up = True
        link.of().write(b"two\n" + b"x" * 99 + b"\n")
        link.of().rotate(108)
        link.of().write(b"three\n")
        link.tell(snapshot(worker("w-0")))
        await t.until(lambda: "three" in t.text, "the log to go on")
        assert link.streams[-1] == ("w-0", 4)
        assert log(t)[:3] == ["one", "… 104 B were rotated away before they were read", "three"]


@screen_test
async def test_a_refusal_is_told_once_among_the_lines() -> None:
    class Refusing(LogLink):
        async def log(self, worker: str, *, lines: int, since: int | None):  # type: ignore[no-untyped-def]
            self.streams.append((worker, since))
            raise QvlError(ErrorCode.NOT_FOUND, f"worker {worker} has no log yet", "start it")
            yield

    link = Refusing()
    async with terminal(link) as t:
        await opened(t)
        await t.until(lambda: len(link.streams) >= 2, "a second attempt")
        assert t.text.count("worker w-0 has no log yet → start it") == 1


@screen_test
async def test_brackets_go_to_the_next_workers_log() -> None:
    async with terminal(LogLink(snapshot(worker("w-0"), worker("w-1")))) as t:
        assert isinstance(t.link, LogLink)
        t.link.of("w-1").write(b"of the other\n")
        await opened(t, b"of the first\n")
        assert "of the first" in t.text
        await t.press("right_square_bracket")
        assert "of the other" in t.text
        assert "of the first" not in t.text


@screen_test
async def test_escape_goes_back() -> None:
    async with terminal(LogLink(*troubled())) as t:
        await t.press("l")
        assert "following" in t.lines[1]
        await t.press("escape")
        assert "1/4 ready" in t.lines[0]


@screen_test
async def test_why_a_worker_failed_stands_over_its_log() -> None:
    async with terminal(LogLink(*troubled()), (120, 40)) as t:
        await t.press("G", "l")
        assert "✕ qwen3-vl-3" in t.lines[1]
        assert "the model /models/Qwen3-VL-8B-Instruct is not there" in t.lines[1]


@pytest.mark.parametrize("size", [(40, 8), (80, 24), (200, 60)])
def test_sizes_and_resizes(size: tuple[int, int]) -> None:
    async def scenario() -> None:
        async with terminal(LogLink(), size, prefs=Preferences(log_wrap=True)) as t:
            await opened(t, stamped(1, 300))
            assert "line 300" in t.text
            await t.pilot.resize_terminal(100, 30)
            await t.settle()
            assert "line 300" in log(t)[-1]

    screen_test(scenario)()


@screen_test
async def test_without_any_worker_no_key_does_harm() -> None:
    async with terminal(FakeLink(snapshot())) as t:
        await t.press("3", "percent_sign", "5", "0", "%", "enter", "left_curly_bracket", "right_curly_bracket", "g")
        await t.press("e", "n", "a", "o", "x", "X", "t", "z", "w", "T", "y", "Y", "m", "s", "j", "pageup", "f", "l")
        await t.press("slash", "x", "enter")
        assert "no worker whose log could be shown" in t.text

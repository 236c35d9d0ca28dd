"""The screen of the configuration: the file with what is wrong in it, what it would change, and applying that."""

import os
from pathlib import Path

import msgspec
import pytest
from qvl.model.config import ConfigFile
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Change
from qvl.model.plan import Plan
from qvl.model.status import ConfigStatus

from tests.tui.changing import SWITCH, of_config, pools
from tests.tui.configs import CONFIG_PATH, CONFIG_TEXT, pending, refused, view
from tests.tui.fleet import NOW
from tests.tui.support import Terminal, screen_test, terminal

ROOMY = (100, 50)


def plain(t: Terminal) -> str:
    """The text without its line ends and edges, and what was told in passing."""
    told = [note.message for note in t.app._notifications]
    return " ".join([*t.text.replace("│", " ").split(), *told])


def marked(t: Terminal) -> str:
    """The line that a jump went to."""
    text = t.app.screen.query_one("#text")
    row = getattr(text, "marked", None)
    return "" if row is None else "".join(part for part, _ in text.lines[row])  # type: ignore[attr-defined]


def rows(t: Terminal) -> list[str]:
    """The first rows of the text, without the scrollbar."""
    return [line[:78].rstrip() for line in t.lines[5:9]]


def tell(t: Terminal, **changes: object) -> None:
    """The daemon says something else of its configuration."""
    told = pools().status.supervisor
    known = msgspec.structs.replace(told.config, **changes)
    t.link.tell(Change(NOW, supervisor=msgspec.structs.replace(told, config=known)))


@screen_test
async def test_the_file_is_shown_line_by_line_and_that_it_is_what_runs() -> None:
    async with terminal(of_config(view()), ROOMY) as t:
        await t.press("6")
        assert "› /etc/qvl/qvl.toml" in t.text
        assert "1 secret not shown" in t.text
        assert "✓ revision a1 is what runs" in t.text
        assert '[redacted]"' in t.row("  8 │ HF_TOKEN")
        assert "nothing changes" in t.text
        await t.press("A")
        assert "revision a1 is what runs: there is nothing to apply" in plain(t)
        assert t.link.applied == []


@screen_test
async def test_faults_stand_where_they_are_and_are_gone_through_in_all_files() -> None:
    async with terminal(of_config(refused()), ROOMY) as t:
        await t.press("6")
        assert "✕ refused: 3 faults · revision a1, the last good one, runs" in t.text
        assert "› /etc/qvl/qvl.toml ✕ 2 ▲ 1   qvl.d/50-local.toml ✕ 1" in t.text
        assert t.row("✕  4 │")
        assert '✕ engines.sglang.knd: unknown key (did you mean "kind"?)' in t.text
        found = []
        for _ in range(5):
            await t.press("n")
            found.append(marked(t).partition("│")[2].strip())
        assert found == ['knd = "sglang"', 'HF_TOKEN = "[redacted]"', "port = 70000", "auto_aply = true", found[0]]
        await t.press("N")
        assert marked(t).endswith("auto_aply = true")
        assert "› qvl.d/50-local.toml" in t.text


@screen_test
async def test_a_jump_brings_its_line_into_view() -> None:
    long = "\n".join(f"# {n}" for n in range(300)) + "\nport = 70000\n"
    fault = msgspec.structs.replace(refused().faults[1], line=301)
    broken = msgspec.structs.replace(refused(), files=(ConfigFile(CONFIG_PATH, long),), faults=(fault,), warnings=())
    async with terminal(of_config(broken)) as t:
        await t.press("6")
        assert "port = 70000" not in t.text
        await t.press("n")
        assert "✕ 301 │ port = 70000" in t.text
        assert "70000 is out of range" in t.text


@screen_test
async def test_files_are_turned_with_tab() -> None:
    async with terminal(of_config(refused()), ROOMY) as t:
        await t.press("6", "tab")
        assert "✕ 2 │ auto_aply = true" in t.text
        await t.press("tab")
        assert "engines.sglang" in t.text
        await t.press("shift+tab")
        assert "✕ 2 │ auto_aply = true" in t.text
        await t.pilot.click("#tabs", offset=(3, 0))
        await t.settle()
        assert "› /etc/qvl/qvl.toml" in t.text


@screen_test
async def test_a_search_goes_from_hit_to_hit_until_it_is_dropped() -> None:
    async with terminal(of_config(refused()), ROOMY) as t:
        await t.press("6", "slash", *"EAGLE", "enter")
        assert marked(t).endswith("[profiles.eagle3]")
        await t.press("n")
        assert marked(t).endswith("[profiles.eagle3.args]")
        await t.press("N", "N")
        assert "-Eagle3" in t.text
        await t.press("slash", *"nowhere", "enter")
        assert "is not in this file" in t.text
        await t.press("escape")
        await t.press("n")
        assert marked(t).endswith('knd = "sglang"')
        await t.press("escape")
        assert "● ready" in t.text, "back to the fleet"


@screen_test
async def test_a_search_for_a_table_that_is_not_there_says_so_as_it_was_typed() -> None:
    async with terminal(of_config(view()), ROOMY) as t:
        await t.press("6", "slash", *"[/x]", "enter")
        assert "“[/x]” is not in this file" in plain(t)


@screen_test
async def test_nothing_wrong_is_told_where_there_is_nothing_to_jump_to() -> None:
    async with terminal(of_config(view()), ROOMY) as t:
        await t.press("6", "n")
        assert "nothing is wrong with it" in t.text


@screen_test
async def test_an_edit_that_waits_is_applied_after_a_question_that_says_what_it_does() -> None:
    async with terminal(of_config(pending()), ROOMY) as t:
        await t.press("6")
        assert "▲ revision b7 waits for apply · a1 runs" in t.text
        assert "▲ removes pool chat with workers up: waits for apply" in t.text
        assert "0.85 → 0.9" in t.row("args.mem-fraction-static")
        assert "31 s" in t.row(" qwen3-vl-1  restart")
        assert "stop" in t.row(" chat-0")
        await t.press("A")
        assert "apply revision b7?" in t.text
        assert "Removes pool chat with its workers, which are up." in plain(t)
        assert "4 requests in flight now" in plain(t)
        assert "qwen3-vl-1 would wait: GPU 1 has 70 GiB free" in plain(t)
        await t.press("n")
        assert t.link.applied == []
        await t.press("A", "y")
        assert t.link.applied == ["a2-1"]
        assert "◌ apply revision b7: asked, not confirmed yet" in t.text
        t.link.configuration = view(revision="b7")
        tell(t, revision="b7", applied="b7", pending=False)
        await t.settle()
        assert "✓ revision b7 is what runs" in t.text


@screen_test
async def test_a_plan_that_is_stale_by_then_is_told() -> None:
    stale = of_config(pending())
    stale.refusal = QvlError(ErrorCode.STALE_PLAN, "the file is at c8 now", "plan again")
    async with terminal(stale, ROOMY) as t:
        await t.press("6", "A", "y")
        assert "the file is at c8 now" in plain(t)
        assert "not confirmed yet" not in t.text


@screen_test
async def test_an_edit_being_applied_is_told_with_how_far_it_is() -> None:
    async with terminal(of_config(pending()), ROOMY) as t:
        await t.press("6")
        applying = msgspec.structs.replace(SWITCH, kind="apply", to="b7")
        t.link.tell(Change(NOW, pools=pools(switch=applying).status.pools))
        await t.settle()
        assert "applying the edited configuration, 47%" in plain(t)


@screen_test
async def test_it_is_read_again_when_the_daemon_says_something_else_of_it_and_stays_where_it_was() -> None:
    async with terminal(of_config(view())) as t:
        await t.press("6", "j", "j", "j")
        assert t.link.read == 1
        top = t.lines[6]
        t.link.configuration = view(CONFIG_TEXT.replace("0.85", "0.9"), revision="b7")
        tell(t, revision="b7")
        await t.settle()
        assert t.link.read == 2
        assert t.lines[6] == top
        assert "revision b7 is on its way · a1 runs" in t.text
        await t.press("R")
        assert t.link.read == 3


@screen_test
async def test_the_text_is_scrolled() -> None:
    async with terminal(of_config(view())) as t:
        await t.press("6")
        first = rows(t)
        await t.press("j")
        assert rows(t)[0] == first[1]
        await t.press("k")
        assert rows(t) == first
        await t.press("pagedown")
        assert rows(t)[0] not in first
        await t.press("pageup", "G")
        assert any("port = 8000" in line for line in t.lines)
        await t.press("g")
        assert rows(t) == first
        await t.press("ctrl+d", "ctrl+u", "down", "up", "home", "end", "J", "K")
        assert any("port = 8000" in line for line in t.lines)


@screen_test
async def test_a_file_that_is_gone_is_told_with_what_runs_instead() -> None:
    gone = msgspec.structs.replace(
        refused(),
        files=(ConfigFile(CONFIG_PATH, None, "is not there"),),
        faults=(msgspec.structs.replace(refused().faults[0], line=0, key="", message="is not there"),),
        warnings=(),
    )
    async with terminal(of_config(gone), ROOMY) as t:
        await t.press("6")
        assert "✕ is not there" in t.text
        assert "✕ refused: 1 fault · revision a1, the last good one, runs" in t.text
        assert "revision a1, the last good one, goes on." in t.text


@screen_test
async def test_a_revision_that_went_back_says_why() -> None:
    error = "revision b7 was rejected: qwen3-vl-0 did not get ready"
    rejected = view(status=ConfigStatus(CONFIG_PATH, "b7", "a1", error), revision="b7")
    async with terminal(of_config(rejected), ROOMY) as t:
        await t.press("6")
        assert "✕ revision b7 was rejected: qwen3-vl-0 did not get ready · revision a1 runs" in t.text
        await t.press("A")
        assert "apply revision a1?" in t.text, "typed, it is tried again"


@screen_test
async def test_a_viewer_sees_it_all_and_is_told_that_it_may_not_apply() -> None:
    async with terminal(of_config(pending(), role="viewer"), ROOMY) as t:
        await t.press("6")
        assert "0.85 → 0.9" in t.text
        assert "A is not for you: only operators may apply" in t.text
        await t.press("A")
        assert "to apply it is not permitted: viewers may look only" in plain(t)
        assert t.link.applied == []


@screen_test
async def test_an_older_daemon_is_told_as_such() -> None:
    old = of_config(view())
    old.configuration = QvlError(ErrorCode.NOT_FOUND, "there is no /v1/config")
    async with terminal(old, ROOMY) as t:
        await t.press("6")
        assert "this daemon is of a release that doesn't show its configuration → qvlctl daemon restart" in plain(t)
        await t.press("n", "o", "tab", "J")


@screen_test
async def test_a_daemon_that_is_gone_leaves_the_text() -> None:
    async with terminal(of_config(view()), ROOMY) as t:
        await t.press("6")
        t.link.drop()
        await t.until(lambda: "reconnecting" in t.text, "the loss")
        assert t.app.screen.has_class("-stale")
        assert "[engines.sglang]" in t.text
        await t.press("A")
        assert "there is no connection to the daemon" in plain(t)


@screen_test
async def test_what_could_not_be_read_is_read_once_there_is_a_connection_again() -> None:
    away = of_config(view())
    told = away.frames._queue[0]  # type: ignore[attr-defined]
    async with terminal(away, ROOMY) as t:
        t.link.up = False  # the stream is open as yet
        await t.press("6")
        assert "✕ no daemon answers" in t.text
        t.clock.now += 5.0
        t.link.drop()
        t.link.up = True
        t.link.tell(told)
        await t.until(lambda: "[engines.sglang]" in t.text, "the text")


@screen_test
async def test_the_file_of_another_host_is_not_edited_here() -> None:
    async with terminal(of_config(view(), name="user@gpu-07"), ROOMY) as t:
        await t.press("6", "o")
        assert "the file is on user@gpu-07: `ssh user@gpu-07`, then `qvlctl edit`" in plain(t)


@screen_test
async def test_a_file_that_is_not_here_or_not_ours_is_not_edited() -> None:
    async with terminal(of_config(view()), ROOMY) as t:
        await t.press("6", "E")
        assert "is not on this machine: `qvlctl edit` where the daemon runs" in plain(t)


def test_the_editor_is_not_opened_where_the_terminal_can_not_be_lent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.delenv("VISUAL", raising=False)
    file = tmp_path / "qvl.toml"
    file.write_text(CONFIG_TEXT)

    @screen_test
    async def scenario() -> None:
        link = of_config(view(files=(ConfigFile(os.fspath(file), CONFIG_TEXT),)))
        async with terminal(link, ROOMY) as t:
            await t.press("6", "o")
            assert "this terminal can't be lent to an editor: `qvlctl edit`" in plain(t)

    scenario()


@screen_test
async def test_beside_the_text_on_a_wide_terminal_stands_the_plan() -> None:
    async with terminal(of_config(pending()), (160, 40)) as t:
        await t.press("6")
        assert "│ worker      does" in t.text
        assert "A applies it, after a question" in t.text


@screen_test
async def test_an_empty_plan_of_an_edit_can_be_applied() -> None:
    same = view(status=ConfigStatus(CONFIG_PATH, "b7", "a1", None, True), revision="b7", plan=Plan("b7", ()))
    async with terminal(of_config(same), ROOMY) as t:
        await t.press("6", "A")
        assert "No worker changes." in plain(t)
        await t.press("y")
        assert t.link.applied == ["a2-1"]

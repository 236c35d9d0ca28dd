"""What one likes is there again at the next start, and a file that can't be read or written harms nothing."""

from pathlib import Path

from qvl_tui.keys import Where
from qvl_tui.prefs import Preferences, home, load, save
from qvl_tui.screens.frame import Frame

from tests.tui.fleet import FakeLink, troubled
from tests.tui.support import screen_test, terminal


def test_the_next_run_begins_where_the_last_one_ended(tmp_path: Path) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(*troubled()), home=tmp_path) as t:
            await t.press("ctrl+t", "j", "j", "enter", "q")
        kept = load(tmp_path / "tui.json")
        assert (kept.theme, kept.screen, kept.worker) == ("qvl-light", "worker", "qwen3-vl-2")
        async with terminal(FakeLink(*troubled()), prefs=kept, home=tmp_path) as t:
            await t.until(lambda: "qwen3-vl-2" in t.text.partition("\n")[0], "the worker's screen")
            assert t.app.theme == "qvl-light"
            assert isinstance(t.app.screen, Frame)
            assert t.app.screen.where is Where.WORKER

    scenario()


@screen_test
async def test_preferences_that_mean_nothing_here_are_passed_over() -> None:
    liked = Preferences(theme="solarized", screen="nowhere", worker="gone-7")
    async with terminal(FakeLink(*troubled()), prefs=liked) as t:
        assert t.app.theme == "qvl-dark"
        assert "qwen3-vl-0" in t.row("›")


def test_a_file_of_another_version_or_none_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "tui.json"
    assert load(file) == Preferences()
    file.write_text('{"theme": "qvl-light", "later": true}')
    assert load(file).theme == "qvl-light"
    for broken in ('{"theme": 7}', "{", "\x00"):
        file.write_text(broken)
        assert load(file) == Preferences()


def test_a_place_that_takes_no_file_costs_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    save(blocked / "below" / "tui.json", Preferences())
    save(Path("/proc/none/tui.json"), Preferences())
    assert blocked.read_text() == ""


def test_where_it_lies() -> None:
    assert home({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/qvl")
    assert home({"HOME": "/h"}) == Path("/h/.local/state/qvl")

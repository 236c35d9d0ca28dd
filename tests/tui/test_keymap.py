"""Keys of one's own: they work, are told as such, and a wrong file loses nothing but what is wrong in it."""

from pathlib import Path

from qvl_tui import keymap
from qvl_tui.keymap import Keymap
from qvl_tui.keys import KEYS

from tests.tui.fleet import FakeLink, snapshot, worker
from tests.tui.support import screen_test, terminal


@screen_test
async def test_a_remapped_key_works_and_is_what_footer_and_help_say() -> None:
    own = Keymap({"fleet.stop": "ctrl+x", "app.quit": "Q"})
    async with terminal(FakeLink(snapshot(worker())), (120, 40), keymap=own) as t:
        assert "Ctrl+X stop" in t.lines[-1]
        await t.press("S")
        assert "stop qwen3-vl-0?" not in t.text
        await t.press("ctrl+x")
        assert "stop qwen3-vl-0?" in t.text
        await t.press("escape", "question_mark")
        assert "Ctrl+X" in t.row("stop; asks first *")
        await t.press("escape", "q")
        assert t.app.is_running
        await t.press("Q")
        assert not t.app.is_running


@screen_test
async def test_what_is_wrong_with_the_file_is_told_on_screen() -> None:
    async with terminal(FakeLink(snapshot(worker())), (120, 40), keymap=Keymap({"fleet.stpo": "x"})) as t:
        assert 'there is no key "fleet.stpo"' in t.text
        assert "did you mean" in t.text


def test_faults_leave_the_rest_as_it_was() -> None:
    made = Keymap({"fleet.stop": 7, "nonsense": "x", "fleet.log": " L , ctrl+g "})
    assert made.own == {"fleet.log": "L,ctrl+g"}
    assert len(made.faults) == 2


def test_a_key_given_twice_on_one_screen_is_told_once() -> None:
    assert Keymap({"fleet.stop": "r"}).faults == ('"r" is the key of both "fleet.stop" and "fleet.restart"',)
    assert len(Keymap({"fleet.stop": "x", "fleet.start": "x"}).faults) == 1


def test_the_table_gives_no_key_to_two_things_of_one_screen() -> None:
    for key in KEYS:
        for other in KEYS:
            if key.id < other.id and key.where is other.where:
                assert not set(key.keys.split(",")) & set(other.keys.split(",")), f"{key.id} and {other.id}"


def test_the_file_is_read_and_a_broken_one_is_told(tmp_path: Path) -> None:
    file = keymap.path({"XDG_CONFIG_HOME": str(tmp_path)})
    assert file == tmp_path / "qvl" / "keys.toml"
    assert keymap.load(file).faults == ()
    file.parent.mkdir()
    file.write_text('"fleet.stop" = "ctrl+s"\n')
    assert keymap.load(file).own == {"fleet.stop": "ctrl+s"}
    for broken in (b'"fleet.stop" = \n', b"\xff\xfe"):
        file.write_bytes(broken)
        (fault,) = keymap.load(file).faults
        assert str(file) in fault

"""The text of a configuration: each fault at its line, every character kept, and tones that are no states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.model.config import ConfigFile
from qvl_tui.paint import Line, Tone, length
from qvl_tui.toml_tones import toned
from qvl_tui.widgets.config_text import Told, broken, page, told_of

from tests.tui.configs import CONFIG_PATH, DROP_IN, refused

FILE = ConfigFile(CONFIG_PATH, 'a = 1\nb = "two"\n\n[c]\n')


def words(lines: tuple[Line, ...]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def test_lines_are_numbered_and_a_last_line_end_begins_no_line() -> None:
    found = page(FILE, (), "", 40)
    assert words(found.rows) == ["  1 │ a = 1", '  2 │ b = "two"', "  3 │", "  4 │ [c]"]
    assert found.first == (0, 1, 2, 3)
    assert found.faults == found.hits == ()


def test_a_fault_stands_below_its_line_and_is_signed_in_the_margin() -> None:
    told = (Told(2, "b: is wrong in so many words that they need another row", True), Told(4, "c: is odd", False))
    found = page(FILE, told, "", 40)
    assert words(found.rows) == [
        "  1 │ a = 1",
        '✕ 2 │ b = "two"',
        "      ✕ b: is wrong in so many words",
        "        that they need another row",
        "  3 │",
        "▲ 4 │ [c]",
        "      ▲ c: is odd",
    ]
    assert found.faults == (1, 5)
    assert found.first == (0, 1, 4, 5)


def test_what_is_wrong_with_a_file_as_a_whole_stands_above_it() -> None:
    gone = page(ConfigFile(CONFIG_PATH, None, "is not there"), (Told(0, "is not there", True),), "", 40)
    assert words(gone.rows) == [" ✕ is not there", ""]
    large = page(ConfigFile(DROP_IN, None, "is not shown"), (), "", 40)
    assert words(large.rows) == [" ▲ is not shown", ""]


def test_a_fault_beyond_the_end_stands_at_the_end() -> None:
    found = page(ConfigFile(CONFIG_PATH, "a = [\n"), (Told(9, "is not TOML", True),), "", 40)
    assert found.faults == (0,)


def test_each_file_has_its_own_faults_in_the_order_of_lines() -> None:
    view = refused()
    assert [told.line for told in told_of(CONFIG_PATH, view.faults, view.warnings)] == [4, 8, 24]
    assert [told.line for told in told_of(DROP_IN, view.faults, view.warnings)] == [2]


def test_hits_are_found_whatever_their_case_and_stand_out() -> None:
    found = page(FILE, (), "TWO", 40)
    assert found.hits == (1,)
    assert ("two", Tone.MATCH) in found.rows[1]
    assert "".join(text for text, _ in found.rows[1]) == '  2 │ b = "two"'


@given(st.text(st.characters(exclude_characters="\n\t", codec="utf-8"), max_size=60), st.integers(8, 20))
def test_a_long_line_is_broken_and_nothing_of_it_is_lost(text: str, width: int) -> None:
    rows = broken(((text, Tone.TEXT),), width)
    assert "".join(part for row in rows for part, _ in row) == text
    assert all(length(row) <= width for row in rows)


@pytest.mark.parametrize(
    ("text", "tones"),
    [
        ("[a.b] # c", [("[a.b] ", Tone.STRONG), ("# c", Tone.FAINT)]),
        ('key = "v # no"', [("key", Tone.ACCENT), (" ", Tone.TEXT), ("=", Tone.MUTED), (" ", Tone.TEXT)]),
        ("x = 1 # y", [("x", Tone.ACCENT)]),
        ('t = "[redacted]"', [("[redacted]", Tone.MUTED)]),
    ],
)
def test_what_is_what_in_a_line(text: str, tones: list[tuple[str, Tone]]) -> None:
    (line,) = toned([text])
    assert "".join(part for part, _ in line) == text
    assert set(tones) <= set(line)


def test_a_text_of_many_lines_holds_no_keys() -> None:
    lines = toned(['a = """', "[b]", 'c = 1""" # d'])
    assert lines[1] == (("[b]", Tone.TEXT),)
    assert lines[2][0] == ('c = 1"""', Tone.TEXT)
    assert lines[2][-1] == ("# d", Tone.FAINT)


@given(st.text(st.sampled_from("ab=\"'#[]{},. 1\\"), max_size=40))
def test_tones_change_no_character_and_are_no_states(text: str) -> None:
    (line,) = toned([text])
    assert "".join(part for part, _ in line) == text
    assert {tone for _, tone in line} <= {Tone.TEXT, Tone.STRONG, Tone.ACCENT, Tone.MUTED, Tone.FAINT}

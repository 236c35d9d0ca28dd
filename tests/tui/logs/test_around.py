"""Errors and tracebacks among the lines that are loaded."""

from qvl_tui.logs.around import near_error, texts, traceback_at
from qvl_tui.logs.items import Folds, Item, items
from qvl_tui.logs.lines import entries

LOG = """[2026-03-04 12:00:00] fine
[2026-03-04 12:00:01] hit an exception: Traceback (most recent call last):
  File a
    b
  File c
ValueError: bad
[2026-03-04 12:00:02] fine
[2026-03-04 12:00:03] ERROR: again
[2026-03-04 12:00:04] fine
"""


def shown(text: str, *, opened: bool = False) -> list[Item]:
    folds = Folds()
    folds.all_open = opened
    return items(entries(text.encode(), 0), folds, {})


def test_an_error_is_its_records_first_line() -> None:
    found = shown(LOG)
    up = near_error(found, len(found) - 1, back=True)
    assert up is not None
    assert up.text.endswith("ERROR: again")
    above = near_error(found, len(found) - 2, back=True)
    assert above is not None
    assert "hit an exception" in above.text
    assert near_error(found, 1, back=True) is None
    down = near_error(found, 0, back=False)
    assert down == above
    assert near_error(found, len(found) - 2, back=False) is None


def test_without_stamps_each_line_stands_for_itself() -> None:
    found = shown("ERROR a\nb\nERROR c\n  its frame\nd\n")
    first = near_error(found, 4, back=True)
    assert first is not None
    assert first.text == "ERROR c"


def test_the_traceback_around_the_cursor() -> None:
    found = shown(LOG, opened=True)
    body = found[2].entry
    assert [traceback_at(found, at) for at in range(8)] == [None, body, body, body, body, body, None, None]
    assert traceback_at(shown(LOG), 1) == body


def test_what_is_copied() -> None:
    found = shown(LOG)
    assert texts(found[2:4], None) == ["  File a", "    b", "  File c", "ValueError: bad"]
    assert texts(found[:1], {0: "w-0  "}) == ["w-0 [2026-03-04 12:00:00] fine"]
    assert texts([Item(found[0].entry, mark="run 1 began")], None) == []

"""Folds and marks."""

from qvl.model.log import LogRun
from qvl_tui.logs.items import Folds, Item, find, items, run_mark
from qvl_tui.logs.lines import entries

SGLANG = """[2026-03-04 12:00:01 TP0] Scheduler hit an exception: Traceback (most recent call last):
  File "a.py", line 1, in run
    loop()
  File "a.py", line 2, in loop
ValueError: bad

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 1
    x
  File "b.py", line 2
RuntimeError: worse
[2026-03-04 12:00:02] after
"""
VLLM = "".join(
    f"(EngineCore pid=7) ERROR 03-04 12:00:01 [core.py:1] {text}\n"
    for text in ("Traceback (most recent call last):", "  File x", "    y", "  File z", "ValueError: bad")
)
RANK = "".join(f"[rank0]: {text}\n" for text in ("Traceback (most recent call last):", "  a", "  b", "  c", "E: x"))


def shown(text: str, folds: Folds | None = None, runs: list[LogRun] | None = None) -> list[str]:
    found = items(entries(text.encode(), 0), folds or Folds(), {0: runs or []})
    return [_told(item) for item in found]


def _told(item: Item) -> str:
    return item.mark or (f"+{len(item.hidden)}" if item.hidden else item.entry.text[-12:])


def test_the_body_of_each_traceback_is_one_line() -> None:
    assert [line for line in shown(SGLANG) if line.startswith("+")] == ["+3", "+3"]
    assert "Error: worse" in shown(SGLANG)
    assert [line for line in shown(VLLM) if line.startswith("+")] == ["+3"]
    assert [line for line in shown(RANK) if line.startswith("+")] == ["+3"]
    assert shown(VLLM)[-1] == "ueError: bad"


def test_a_short_body_is_not_worth_it() -> None:
    assert not any(line.startswith("+") for line in shown("Traceback (most recent call last):\n  a\n  b\nE: x\n"))


def test_unfolding_one_and_all() -> None:
    lines = entries(SGLANG.encode(), 0)
    folds = Folds()
    folds.turn(lines[1])
    assert [len(item.hidden) for item in items(lines, folds, {}) if item.hidden] == [3]
    folds.turn_all()
    assert not [item for item in items(lines, folds, {}) if item.hidden]
    folds.turn(lines[1])
    assert [item.entry for item in items(lines, folds, {}) if item.hidden] == [lines[1]]


def test_a_hidden_line_is_found_in_its_fold() -> None:
    lines = entries(SGLANG.encode(), 0)
    found = items(lines, Folds(), {})
    assert find(found, lines[2].id) == 1
    assert find(found, lines[4].id) == 2
    assert find(found, (0, 10**9, 1)) is None
    assert find(found, None) is None


def test_runs_are_marked_where_they_begin() -> None:
    text = "a\nb\nc\nd\n"
    runs = [LogRun(1, 0), LogRun(2, 4), LogRun(3, 6)]
    assert shown(text, runs=runs) == ["run 1 began", "a", "b", "run 2 began", "c", "run 3 began", "d"]
    found = items(entries(text.encode(), 0), Folds(), {0: runs})
    assert len({item.id for item in found}) == len(found)
    lost = items(entries(b"c\n", 5), Folds(), {0: runs})  # the mark's own line was rotated away
    assert [item.mark for item in lost] == [""]
    assert run_mark(LogRun(7, 0, 0.0)).startswith("run 7 began 19")

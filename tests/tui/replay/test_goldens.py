"""Whole screens of a replay as text, as in tests/tui/test_goldens.py."""

import os
from pathlib import Path

import pytest

from tests.recording.scripts import night, record
from tests.tui.replay.screen import replay
from tests.tui.support import screen_test

HOME = Path(__file__).parent.parent / "goldens"
SCREENS = {
    "replay-80x24": ((80, 24), ()),
    "replay-120x40": ((120, 40), ("B", "apostrophe", "apostrophe")),
    "replay-200x60": ((200, 60), ("dollar_sign",)),
    "replay-away-80x24": ((80, 24), ("B", *["I"] * 5, "i")),
    "replay-help-80x24": ((80, 24), ("question_mark",)),
    "replay-goto-80x24": ((80, 24), ("at", *"12:13")),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_replay_looks_as_it_did(name: str, tmp_path: Path) -> None:
    size, keys = SCREENS[name]
    path = record(tmp_path / "night", night())

    @screen_test
    async def scenario() -> None:
        async with replay(path, size, keys) as s:
            picture = "".join(f"{line[: size[0] - 1].rstrip()}\n" for line in s.lines)
            golden = HOME / f"{name}.txt"
            if os.environ.get("QVL_GOLDENS") == "write":
                golden.write_text(picture, encoding="utf-8")
            assert picture == golden.read_text(encoding="utf-8")

    scenario()

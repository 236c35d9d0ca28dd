"""Whole screens of a replay as text, as in tests/tui/test_goldens.py."""

from pathlib import Path

import pytest

from tests.recording.scripts import night, record
from tests.tui.goldens import hold
from tests.tui.replay.screen import replay
from tests.tui.support import screen_test

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
            hold(name, s.lines, size[0])

    scenario()

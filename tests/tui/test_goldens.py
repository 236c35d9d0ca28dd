"""Whole screens as text. `QVL_GOLDENS=write pytest tests/tui/test_goldens.py` writes them anew; look at the diff."""

import pytest

from tests.tui.fleet import FakeLink, snapshot, troubled, worker
from tests.tui.goldens import hold
from tests.tui.support import screen_test, terminal

SCREENS = {
    "fleet-80x24": (troubled(), (80, 24), ()),
    "fleet-120x40": (troubled(), (120, 40), ("j", "j")),
    "fleet-200x60": (troubled(), (200, 60), ("G",)),
    "sixteen-80x24": ((snapshot(*(worker(f"qwen3-vl-{n}") for n in range(16))),), (80, 24), ()),
    "help-80x24": (troubled(), (80, 24), ("question_mark",)),
    "stop-80x24": (troubled(), (80, 24), ("S",)),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_as_it_did(name: str) -> None:
    frames, size, keys = SCREENS[name]

    @screen_test
    async def scenario() -> None:
        async with terminal(FakeLink(*frames), size) as t:
            await t.press(*keys)
            hold(name, t.lines, size[0])

    scenario()

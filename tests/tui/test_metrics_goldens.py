"""The metrics screen as text, in its states. `QVL_GOLDENS=write pytest tests/tui/test_metrics_goldens.py` writes the
pictures anew; look at the diff."""

import asyncio

import pytest

from tests.tui.goldens import hold
from tests.tui.support import screen_test, terminal
from tests.tui.test_metrics import NAMES, fleet, prefs

SCREENS = {
    "metrics-80x24": ((80, 24), prefs(), ()),
    "metrics-120x40": ((120, 40), prefs(21600), ()),
    "metrics-200x60": ((200, 60), prefs(86400, "pool"), ()),
    "metrics-cursor-120x40": ((120, 40), prefs(86400, "all"), ("e", "e", "e", "e")),
    "metrics-compare-80x24": ((80, 24), prefs(86400, "pool"), ("c", "j")),
    "metrics-compare-120x40": ((120, 40), prefs(86400, "pool"), ("c",)),
    "metrics-asking-80x24": ((80, 24), prefs(), ()),
    "metrics-lost-80x24": ((80, 24), prefs(3600), ()),
}


@pytest.mark.parametrize("name", SCREENS)
def test_the_screen_looks_as_it_did(name: str) -> None:
    size, liked, keys = SCREENS[name]

    @screen_test
    async def scenario() -> None:
        link = fleet(*NAMES)
        if "asking" in name:
            link.gate = asyncio.Event()
        async with terminal(link, size, prefs=liked) as t:
            await t.pilot.press("4")
            if link.gate is not None:
                await t.until(lambda: "asking" in t.text, "the screen that waits")
            else:
                await t.settle()
            if "lost" in name:
                link.drop()
                await t.until(lambda: "no daemon answers" in t.text, "the link to be down, and tried again")
            await t.press(*keys)
            hold(name, t.lines, size[0])
            if link.gate is not None:
                link.gate.set()

    scenario()

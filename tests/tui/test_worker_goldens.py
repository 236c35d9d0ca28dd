"""The worker's screen as text, in its states and at the sizes that people have."""

import pytest

from tests.tui.details import SCENES
from tests.tui.goldens import hold
from tests.tui.support import screen_test, terminal

PICTURES: dict[str, tuple[str, tuple[int, int], tuple[str, ...]]] = {
    "worker-ready-80x24": ("ready", (80, 24), ()),
    "worker-ready-80x24-arguments": ("ready", (80, 24), ("tab",) * 5),
    "worker-ready-120x40": ("ready", (120, 40), ("tab",)),
    "worker-ready-200x60": ("ready", (200, 60), ("e",)),
    "worker-starting-120x40": ("starting", (120, 40), ()),
    "worker-failed-120x40": ("failed", (120, 40), ()),
    "worker-own-80x24": ("own", (80, 24), ()),
    "worker-older-120x40": ("older", (120, 40), ()),
    "worker-stopped-120x40": ("stopped", (120, 40), ()),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_screen_looks_as_it_did(name: str) -> None:
    scene, size, keys = PICTURES[name]

    @screen_test
    async def scenario() -> None:
        async with terminal(SCENES[scene](), size) as t:
            await t.press("2", *keys)
            hold(name, t.lines, size[0])

    scenario()

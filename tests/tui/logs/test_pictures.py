"""The log screen as text. `QVL_GOLDENS=write pytest tests/tui/logs/test_pictures.py` writes it anew; look at it."""

import pytest

from tests.tui.goldens import hold
from tests.tui.logs.scenes import SCENES
from tests.tui.support import screen_test, terminal

PICTURES = [
    *((name, (80, 24)) for name in SCENES),
    *((name, (120, 40)) for name in ("following", "together", "errors", "search")),
    ("together", (200, 60)),
]


@pytest.mark.parametrize(
    ("name", "size"), PICTURES, ids=[f"{name}-{width}x{height}" for name, (width, height) in PICTURES]
)
def test_a_screen_looks_as_it_did(name: str, size: tuple[int, int]) -> None:
    @screen_test
    async def scenario() -> None:
        async with terminal(SCENES[name].link(), size) as t:
            await t.press(*SCENES[name].keys)
            hold(f"logs-{name}-{size[0]}x{size[1]}", t.lines, size[0])

    scenario()

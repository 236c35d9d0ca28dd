"""The log screen as text. `QVL_GOLDENS=write pytest tests/tui/logs/test_pictures.py` writes it anew; look at it."""

import os
import re
from pathlib import Path

import pytest

from tests.tui.logs.scenes import SCENES
from tests.tui.support import screen_test, terminal

HOME = Path(__file__).parents[1] / "goldens"
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
            lines = [re.sub(r"\d{8}-\d{6}", "20260304-120311", line) for line in t.lines]
            picture = "".join(f"{line}\n" for line in lines)
            path = HOME / f"logs-{name}-{size[0]}x{size[1]}.txt"
            if os.environ.get("QVL_GOLDENS") == "write":
                path.write_text(picture, encoding="utf-8")
            assert picture == path.read_text(encoding="utf-8")

    scenario()

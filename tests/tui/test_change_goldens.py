"""The screens of switching and of the configuration as text. `QVL_GOLDENS=write` writes them anew; look at the diff."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tui.changing import going_back, link, of_config, pools, under_way
from tests.tui.configs import pending, refused, view
from tests.tui.fleet import FakeLink
from tests.tui.support import screen_test, terminal

HOME = Path(__file__).parent / "goldens"
SIZES = ((80, 24), (120, 40), (200, 60))
SCENES: dict[str, tuple[Callable[[], FakeLink], tuple[str, ...]]] = {
    "switch-plan": (link, ("5", "j")),
    "switch-question": (link, ("5", "j", "enter")),
    "switch-reset": (lambda: link(pools(profile="eagle3", override="eagle3")), ("5", "x")),
    "switch-under-way": (lambda: link(*under_way()), ("5",)),
    "switch-going-back": (lambda: link(*going_back()), ("5",)),
    "switch-viewer": (lambda: link(role="viewer"), ("5", "j")),
    "config-applied": (lambda: of_config(view()), ("6",)),
    "config-refused": (lambda: of_config(refused()), ("6", "n", "n")),
    "config-pending": (lambda: of_config(pending()), ("6",)),
    "config-viewer": (lambda: of_config(pending(), role="viewer"), ("6",)),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCENES)
def test_a_screen_looks_as_it_did(name: str, size: tuple[int, int]) -> None:
    make, keys = SCENES[name]

    @screen_test
    async def scenario() -> None:
        async with terminal(make(), size) as t:
            await t.press(*keys)
            # The last column may hold a scrollbar, which Textual draws when it has the time.
            picture = "".join(f"{line[: size[0] - 1].rstrip()}\n" for line in t.lines)
            path = HOME / f"{name}-{size[0]}x{size[1]}.txt"
            if os.environ.get("QVL_GOLDENS") == "write":
                path.write_text(picture, encoding="utf-8")
            assert picture == path.read_text(encoding="utf-8")

    scenario()

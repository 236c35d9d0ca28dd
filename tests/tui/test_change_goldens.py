"""The screens of switching and of the configuration as text. `QVL_GOLDENS=write` writes them anew; look at the diff."""

from collections.abc import Callable

import pytest

from tests.tui.changing import going_back, link, of_config, pools, under_way
from tests.tui.configs import pending, refused, view
from tests.tui.fleet import FakeLink
from tests.tui.goldens import hold
from tests.tui.support import screen_test, terminal

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
            hold(f"{name}-{size[0]}x{size[1]}", t.lines, size[0])

    scenario()

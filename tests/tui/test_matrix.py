"""Every screen in every state of a fleet, at the sizes that people have; and the home screen in each theme.

`QVL_GOLDENS=write pytest tests/tui/test_matrix.py` writes the pictures anew; look at the diff."""

from pathlib import Path

import pytest
from qvl_tui.keys import SCREENS, Where
from qvl_tui.theme import THEMES
from rich.style import Style

from tests.recording.scripts import night, record
from tests.tui.fleet import troubled
from tests.tui.goldens import hold
from tests.tui.replay.screen import replay
from tests.tui.scenes import SIZES, STATES, told
from tests.tui.support import Terminal, screen_test, terminal

DIGITS: dict[Where, str] = {where: f"{digit}" for digit, where in enumerate(SCREENS, start=1)}


@pytest.mark.parametrize("where", SCREENS)
@pytest.mark.parametrize("state", STATES)
def test_a_screen_looks_as_it_did(state: str, where: Where) -> None:
    """Resized from one size to the next: what it shows depends on its size, not on how it came to it."""

    @screen_test
    async def scenario() -> None:
        async with terminal(STATES[state](), SIZES[0]) as t:
            await t.press(DIGITS[where])
            if state == "disconnected":
                await lose(t)
            for width, height in SIZES:
                await t.pilot.resize_terminal(width, height)
                await t.settle()
                hold(f"{where}/{state}-{width}x{height}", t.lines, width)

    scenario()


async def lose(t: Terminal) -> None:
    t.link.drop()
    await t.until(lambda: not t.store.live and "no daemon answers" in t.store.link.reason, "the loss")
    t.clock.now += 14
    t.app._beat()
    await t.settle()


@pytest.mark.parametrize("where", SCREENS)
def test_a_replay_looks_as_it_did(where: Where, tmp_path: Path) -> None:
    path = record(tmp_path / "night", night())

    @screen_test
    async def scenario() -> None:
        async with replay(path, SIZES[0], (DIGITS[where], "B")) as s:
            for width, height in SIZES:
                await s.pilot.resize_terminal(width, height)
                await s.settle()
                hold(f"{where}/replay-{width}x{height}", s.lines, width)

    scenario()


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
def test_the_home_screen_in_each_theme(theme: str) -> None:
    """The text and, below it, each stretch of cells with its colours."""

    @screen_test
    async def scenario() -> None:
        async with terminal(told(*troubled()), SIZES[0]) as t:
            for width, height in SIZES:
                await t.pilot.resize_terminal(width, height)
                t.app.theme = theme
                await t.settle()
                strips = t.app.screen._compositor.render_strips()
                looks = [
                    f"{row:>2} " + " ".join(f"{len(part.text)}{look(part.style)}" for part in strip if part.text)
                    for row, strip in enumerate(strips)
                ]
                hold(f"themes/{theme}-{width}x{height}", [*t.lines, "", *looks], 4000)

    scenario()


def look(style: Style | None) -> str:
    """`[b]#text/#ground`"""
    if style is None:
        return "-"
    colour, ground = (each.get_truecolor().hex if each else "-" for each in (style.color, style.bgcolor))
    return f"{'b' if style.bold else ''}{colour}/{ground}"

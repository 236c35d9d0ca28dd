"""The last line: what the keys do here. What does not fit is left out from the middle on; `?` has them all."""

from qvl_tui.keys import Key, Where, footer
from qvl_tui.paint import Line, Tone


def footer_keys(where: Where, width: int) -> list[Key]:
    """Help and quit always stay: they are how one finds the rest."""
    own = [key for key in footer(where) if key.where is where]
    common = [key for key in footer(where) if key.where is not where]
    while own and sum(_width(key) for key in own + common) > width:
        own.pop()
    return own + common


def footer_line(where: Where, width: int, may_act: bool) -> Line:
    spans: Line = ()
    for key in footer_keys(where, width):
        dead = key.acts and not may_act
        spans += (
            (f" {key.shown}", Tone.FAINT if dead else Tone.ACCENT),
            (f" {key.label} ", Tone.FAINT if dead else Tone.MUTED),
        )
    return spans


def key_at(where: Where, width: int, x: int) -> Key | None:
    """The key whose label lies at cell `x`, for a click."""
    end = 0
    for key in footer_keys(where, width):
        end += _width(key)
        if x < end:
            return key
    return None


def _width(key: Key) -> int:
    return len(key.shown) + len(key.label) + 3

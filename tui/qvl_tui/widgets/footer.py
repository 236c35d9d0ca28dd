"""The last line: what the keys do here. What does not fit is left out from the middle on; `?` has them all."""

from qvl_tui.context import Context
from qvl_tui.keys import Key, Where, footer
from qvl_tui.paint import Line, Tone


def footer_keys(where: Where, width: int, context: Context) -> list[Key]:
    """Help and quit always stay: they are how one finds the rest."""
    shown = footer(where, *((Where.REPLAY,) if context.replay is not None else ()))
    own = [key for key in shown if key.where is where]
    common = [key for key in shown if key.where is not where]
    while own and sum(_width(key, context) for key in own + common) > width:
        own.pop()
    return own + common


def footer_line(where: Where, width: int, context: Context) -> Line:
    spans: Line = ()
    for key in footer_keys(where, width, context):
        dead = key.acts and not context.store.may_act
        spans += (
            (f" {context.keymap.shown(key)}", Tone.FAINT if dead else Tone.ACCENT),
            (f" {key.label} ", Tone.FAINT if dead else Tone.MUTED),
        )
    return spans


def key_at(where: Where, width: int, context: Context, x: int) -> Key | None:
    """The key whose label lies at cell `x`, for a click."""
    end = 0
    for key in footer_keys(where, width, context):
        end += _width(key, context)
        if x < end:
            return key
    return None


def _width(key: Key, context: Context) -> int:
    return len(context.keymap.shown(key)) + len(key.label) + 3

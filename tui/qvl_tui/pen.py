"""How a terminal's pen is changed with as few bytes as can be: only what differs from the look it has already.

A Rich style says what is wished; a Pen is what that comes to on this terminal, in SGR parameters (ECMA-48, 8.3.117),
so that two wishes that look the same are the same here.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.color import ColorSystem
from rich.style import Style


class Pen(NamedTuple):
    attributes: int = 0
    """A bit for each attribute, as Rich numbers them."""
    fore: str = ""
    """SGR parameters of the colour; empty: the terminal's own."""
    back: str = ""
    link: str = ""
    """Parameters of an OSC 8 hyperlink."""

    @property
    def quiet(self) -> bool:
        """Whether a blank drawn with it shows nothing but its background."""
        return not self.attributes & _SEEN_ON_BLANKS and not self.link


PLAIN = Pen()
"""What the pen is between two pictures: whoever else writes to the terminal finds it clean, and leaves it so."""

_ON = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "21", "51", "52", "53")
_OFF = ("22", "22", "23", "24", "25", "25", "27", "28", "29", "24", "54", "54", "55")
"""By attribute. Some share the code that ends them."""
_SEEN_ON_BLANKS = 0b1111101001000
"""Underlines, reverse, strike, frames and overline."""
_RESET = "0"


def pen(style: Style | None, system: ColorSystem) -> Pen:
    """What comes of a style on a terminal with this many colours."""
    if style is None:
        return PLAIN
    attributes = style._attributes & style._set_attributes
    fore = back = ""
    if style.color is not None:
        fore = ";".join(style.color.downgrade(system).get_ansi_codes())
    if style.bgcolor is not None:
        back = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False))
    link = f"id={style.link_id};{style.link}" if style.link else ""
    return Pen(attributes, "" if fore == "39" else fore, "" if back == "49" else back, link)


def blank(pen: Pen, look: Pen) -> Pen:
    """The nearest to `pen` with which a blank looks as with `look`."""
    if not (pen.quiet and look.quiet):
        return look
    return pen if pen.back == look.back else pen._replace(back=look.back)


@lru_cache(4096)
def change(old: Pen, new: Pen) -> str:
    """What makes the pen `new` where it is `old`, in whichever way is shorter."""
    link = f"\x1b]8;{new.link or ';'}\x1b\\" if old.link != new.link else ""
    steps = _steps(old, new)
    if not steps:
        return link
    anew = [_RESET, *_steps(PLAIN, new)]
    shorter = min(";".join(steps), ";".join(anew), key=len)
    return f"{link}\x1b[{'' if shorter == _RESET else shorter}m"


def _steps(old: Pen, new: Pen) -> Sequence[str]:
    gone = old.attributes & ~new.attributes
    ends = list(dict.fromkeys(end for bit, end in enumerate(_OFF) if gone >> bit & 1))
    came = [
        begin
        for bit, begin in enumerate(_ON)
        if new.attributes >> bit & 1 and (not old.attributes >> bit & 1 or _OFF[bit] in ends)
    ]
    fore = [new.fore or "39"] if old.fore != new.fore else []
    back = [new.back or "49"] if old.back != new.back else []
    return [*ends, *came, *fore, *back]

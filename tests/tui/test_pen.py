"""The pen is changed by the fewest bytes that leave it as is wished."""

import re

from hypothesis import given
from hypothesis import strategies as st
from qvl_tui.pen import PLAIN, Pen, blank, change, pen
from rich.color import ColorSystem
from rich.style import Style

OFF = {"22": 0b11, "23": 0b100, "24": 0b1000001000, "25": 0b110000, "27": 0b1000000, "28": 0b10000000, "29": 1 << 8}
OFF |= {"54": 0b110000000000, "55": 1 << 12}
ON = dict(zip(["1", "2", "3", "4", "5", "6", "7", "8", "9", "21", "51", "52", "53"], range(13), strict=True))
LINK = "id=1;https://example.org"

pens = st.builds(
    Pen,
    st.integers(0, (1 << 13) - 1),
    st.sampled_from(["", "31", "38;5;196", "38;2;1;2;3"]),
    st.sampled_from(["", "41", "48;2;4;5;6"]),
    st.sampled_from(["", LINK]),
)


def after(old: Pen, told: str) -> Pen:
    """What a terminal makes of it."""
    attributes, fore, back, link = old
    for linked, sgr in re.findall(r"\x1b\]8;(.*?)\x1b\\|\x1b\[([\d;]*)m", told):
        if linked:
            link = "" if linked == ";" else linked
            continue
        words = sgr.split(";")
        while words:
            word = words.pop(0)
            if word in ("", "0"):
                attributes, fore, back = 0, "", ""
            elif word in ("38", "48"):
                count = 4 if words[0] == "2" else 2
                colour = ";".join([word, *words[:count]])
                words = words[count:]
                fore, back = (colour, back) if word == "38" else (fore, colour)
            elif word in OFF:
                attributes &= ~OFF[word]
            elif word in ON:
                attributes |= 1 << ON[word]
            elif word.startswith("3"):
                fore = "" if word == "39" else word
            else:
                back = "" if word == "49" else word
    return Pen(attributes, fore, back, link)


@given(pens, pens)
def test_it_becomes_what_was_wished(old: Pen, new: Pen) -> None:
    assert after(old, change(old, new)) == new


@given(pens)
def test_what_it_is_already_costs_nothing(known: Pen) -> None:
    assert change(known, known) == ""


@given(pens, pens)
def test_a_blank_looks_as_it_should(old: Pen, wished: Pen) -> None:
    near = blank(old, wished)
    assert near == wished or (near.quiet and wished.quiet and near.back == wished.back)


def test_only_what_differs_is_told() -> None:
    text = Pen(0, "38;2;198;205;210", "48;2;20;23;26")
    assert change(text, text._replace(fore="38;2;1;2;3")) == "\x1b[38;2;1;2;3m"
    assert change(text, text._replace(attributes=1)) == "\x1b[1m"
    assert change(text._replace(attributes=1), text) == "\x1b[22m"
    assert change(text, PLAIN) == "\x1b[m"
    assert change(PLAIN, PLAIN._replace(link=LINK)) == f"\x1b]8;{LINK}\x1b\\"
    assert change(PLAIN._replace(link=LINK), PLAIN) == "\x1b]8;;\x1b\\"


def test_a_style_is_what_the_terminal_can_show_of_it() -> None:
    red = Style(color="#ff0000", bold=True)
    assert pen(red, ColorSystem.TRUECOLOR) == Pen(1, "38;2;255;0;0")
    assert pen(red, ColorSystem.EIGHT_BIT) == Pen(1, "38;5;196")
    assert pen(red, ColorSystem.STANDARD) == Pen(1, "31")
    assert pen(Style(color="default", bgcolor="default"), ColorSystem.TRUECOLOR) == PLAIN
    assert pen(None, ColorSystem.TRUECOLOR) == PLAIN

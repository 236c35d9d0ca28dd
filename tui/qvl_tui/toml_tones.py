"""What is what in a line of TOML, for its tones: tables, keys, values, comments.

It colours and understands nothing: a file that no parser takes is shown as well. The only thing that goes on from line
to line is a text in three quotes. pygments would do it in 40 ms of import and with colours instead of tones.
"""

import re
from collections.abc import Iterable

from qvl_tui.paint import Line, Span, Tone

HIDDEN = "[redacted]"
_WORD = re.compile(
    r'''(?P<block>"""|\'\'\')
    |(?P<text>"(?:\\.|[^"\\])*"?|'[^']*'?)
    |(?P<comment>\#.*)
    |(?P<key>[\w][\w.-]*(?=\s*=[^=]|\s*=$))
    |(?P<mark>[=\[\]{},])
    |(?P<other>[^"'\#=\[\]{},\w]+|\w+|.)''',
    re.VERBOSE,
)
_TABLE = re.compile(r"\s*\[\[?[^\]\n]*\]?\]?\s*(?=#|$)")
_TONES = {
    "text": Tone.TEXT,
    "comment": Tone.FAINT,
    "key": Tone.ACCENT,
    "mark": Tone.MUTED,
    "other": Tone.TEXT,
}
"""The colours of states stay theirs: what is wrong in a file must be all that is red in it."""


def toned(lines: Iterable[str]) -> list[Line]:
    """Each line with its tones."""
    block = ""
    found: list[Line] = []
    for text in lines:
        line, block = _line(text, block)
        found.append(line)
    return found


def _line(text: str, block: str) -> tuple[Line, str]:
    """`block`: the quotes of a text that goes on from the line before, or none."""
    spans: list[Span] = []
    place = 0
    if not block and (table := _TABLE.match(text)):
        spans.append((table[0], Tone.STRONG))
        place = table.end()
    while place < len(text):
        if block:
            end = text.find(block, place)
            stop = len(text) if end < 0 else end + len(block)
            spans.append((text[place:stop], Tone.TEXT))
            block = block if end < 0 else ""
            place = stop
            continue
        word = _WORD.match(text, place)
        assert word is not None, "the last alternative is any character"
        if word.lastgroup == "block":
            block = word[0]
            spans.append((word[0], Tone.TEXT))
        else:
            spans.append((word[0], _TONES[word.lastgroup or "other"]))
        place = word.end()
    return tuple(_hidden(spans)), block


def _hidden(spans: Iterable[Span]) -> Iterable[Span]:
    """What the daemon holds back is no text of the file."""
    for text, tone in spans:
        before, mark, after = text.partition(HIDDEN)
        while mark:
            yield from ((before, tone),) if before else ()
            yield mark, Tone.MUTED
            before, mark, after = after.partition(HIDDEN)
        if before:
            yield before, tone

"""Tables and paragraphs as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from qvl.cli.terminal import Paint, plain

Cell = tuple[str, str]
"""Text and style."""
GAP = "  "


def lines(header: Sequence[str], rows: Sequence[Sequence[Cell]], *, right: str = "", paint: Paint = plain) -> list[str]:
    """The header and the rows, each column as wide as its widest cell. `right`: the headers aligned to the right."""
    widths = [max([len(title), *(len(row[at][0]) for row in rows)]) for at, title in enumerate(header)]
    aligned = {at for at, title in enumerate(header) if title in right.split()}

    def join(cells: Sequence[Cell]) -> str:
        parts = []
        for at, (text, style) in enumerate(cells):
            fill = " " * (widths[at] - len(text))
            parts.append(fill + paint(text, style) if at in aligned else paint(text, style) + fill)
        return GAP.join(parts).rstrip()

    return [join([(title, "bold") for title in header]), *(join(row) for row in rows)]


def wrapped(text: str, *, width: int, first: str, rest: str) -> list[str]:
    """`text` in lines of at most `width`; `first` and `rest` lead the first and the further lines."""
    text = " ".join(text.split())
    if len(first) + len(text) <= width:
        return [first + text]
    import textwrap

    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=True, break_on_hyphens=False
    )


def squeezed(text: str, width: int) -> str:
    """Cut in the middle: the end of a worker's name is what tells it from its neighbours."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return text[: width - 1 - end] + "…" + text[-end:]


def shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"

"""What stands around the cursor, among the lines that are loaded: errors, tracebacks, texts. Pure."""

from collections.abc import Mapping, Sequence

from qvl_tui.logs.items import LEAST, Item, body_end, is_head
from qvl_tui.logs.lines import Entry, Level

_FAR = 500
"""Lines from a traceback's head in which its body is looked for."""


def near_error(items: Sequence[Item], cursor: int, *, back: bool) -> Entry | None:
    """The first line of the next record with an error, before the cursor or after it."""
    lines: list[Entry] = []
    here = 0
    for index, item in enumerate(items):
        if index == cursor:
            here = len(lines)
        if not item.mark:
            lines += item.hidden or (item.entry,)
    stamped = {line.feed for line in lines if line.stamp.at is not None}
    heads: dict[int, int] = {}
    bad: list[int] = []
    for at, line in enumerate(lines):
        # Without stamps only what is indented goes on with the line before.
        if line.record or line.feed not in heads or not (line.feed in stamped or line.text[:1] == " "):
            heads[line.feed] = at
        if line.level is Level.ERROR and (not bad or bad[-1] != heads[line.feed]):
            bad.append(heads[line.feed])
    if back:
        return next((lines[at] for at in reversed(bad) if at < here), None)
    return next((lines[at] for at in bad if at > here), None)


def traceback_at(items: Sequence[Item], cursor: int) -> Entry | None:
    """The first line of the body of the traceback in which the cursor stands, or whose head or exception it is on."""
    here = items[cursor].entry
    lines = [line for item in items if not item.mark for line in (item.hidden or (item.entry,))]
    at = next((at for at, line in enumerate(lines) if line is here), None)
    if at is None:
        return None
    for head in range(at, max(-1, at - _FAR), -1):
        if is_head(lines[head]):
            end = body_end(lines, head + 1)
            return lines[head + 1] if head + LEAST < end and at <= end else None
    return None


def texts(chosen: Sequence[Item], tags: Mapping[int, str] | None) -> list[str]:
    """Whole lines as they stand in the logs, folded ones too, each with its log's tag where there are several."""
    found = []
    for item in chosen:
        if item.mark:
            continue
        for line in item.hidden or (item.entry,):
            if line.level is not Level.NOTE:
                tag = f"{tags[line.feed].strip()} " if tags is not None else ""
                found.append(tag + line.text)
    return found

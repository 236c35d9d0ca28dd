"""Searches a recorded log as the daemon searches a real one, a block at a time. A pattern may never end: what that may
cost is for the caller to limit."""

from collections.abc import Callable, Iterator

from qvl.model.log import LogEnd, LogFound, LogProgress, LogSearch
from qvl.search.scan import Block, Scanner

BLOCK = 256 * 1024
Read = Callable[[int, int], Block]
"""Of an offset and a number of bytes: what there is from there on, or from where there next is something."""


def search(read: Read, begin: int, end: int, wanted: LogSearch) -> Iterator[LogFound]:
    """What is found in [begin, end), in the order in which it is met. Raises re.error for a pattern that is none."""
    scanner = Scanner(wanted)
    back = wanted.before is not None
    at = min(max(wanted.before if wanted.before is not None else wanted.since or 0, begin), end)
    yield LogProgress(at, 0)
    found = 0
    for base, data in _backwards(read, begin, at) if back else _forwards(read, at, end):
        for match in scanner.met((base, data), wanted.count - found, back=back):
            yield match
            found += 1
            at = match.offset if back else match.offset + match.size
        if found >= wanted.count:
            yield LogEnd("count", at, found)
            return
        at = base if back else base + len(data)
        yield LogProgress(at, found)
    yield LogEnd("exhausted", begin if back else end, found)


def _forwards(read: Read, at: int, end: int) -> Iterator[Block]:
    """Whole lines; what is missing in between parts them."""
    base, rest = at, b""
    while at < end:
        found, data = read(at, min(BLOCK, end - at))
        data = data[: max(0, end - found)]
        if not data:
            break
        if found != at and rest:
            yield base, rest
            rest = b""
        base = base if rest else found
        rest += data
        at = found + len(data)
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield base, rest[:cut]
            base, rest = base + cut, rest[cut:]
    if rest:
        yield base, rest


def _backwards(read: Read, begin: int, end: int) -> Iterator[Block]:
    """The latest lines first."""
    while end > begin:
        start = max(begin, end - BLOCK)
        blocks = list(_forwards(read, start, end))
        if start > begin and blocks and blocks[0][0] == start:
            # It may begin in the middle of a line, which belongs to the blocks before.
            base, data = blocks[0]
            cut = data.find(b"\n") + 1
            if 0 < cut < len(data) or len(blocks) > 1:
                blocks[0] = base + cut, data[cut:]
                start = base + cut
        yield from reversed([block for block in blocks if block[1]])
        end = start

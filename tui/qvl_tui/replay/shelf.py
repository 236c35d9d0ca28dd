"""A worker's log by absolute offsets, from the pieces of it that a recording has: found by halving, a few blocks in
memory."""

from collections import OrderedDict

from qvl.recording.block import Content
from qvl.recording.records import Log

from qvl_tui.link import Chunk
from qvl_tui.replay.tape import Tape

_KEPT = 8
"""Blocks that are held inflated."""


class Shelf:
    """Everything is as of a moment `at` (unix milliseconds). To be called in a thread, by one caller at a time."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._blocks = sorted(tape.recording.having(Content.LOGS, len(tape.recording.blocks) - 1))
        self._writers: dict[int, frozenset[str]] = {}
        """block -> who wrote in it, of the blocks that were read"""
        self._held: OrderedDict[tuple[str, int], list[Log]] = OrderedDict()

    def extent(self, worker: str, at: int) -> tuple[int, int]:
        """The bytes [begin, end) between which there is something; empty at 0 where there is nothing."""
        begin = next((pieces[0].offset for index in self._until(at) if (pieces := self._pieces(worker, index, at))), 0)
        for index in reversed(self._until(at)):
            if pieces := self._pieces(worker, index, at):
                return begin, pieces[-1].offset + len(pieces[-1].data)
        return 0, 0

    def page(self, worker: str, since: int, limit: int, at: int) -> Chunk:
        """At most `limit` bytes from `since` on, or from where the recording next has some; none at the end."""
        blocks = self._until(at)
        start, data = since, bytearray()
        for place in range(self._place(worker, since, at, blocks), len(blocks)):
            for piece in self._pieces(worker, blocks[place], at):
                if piece.offset + len(piece.data) <= since:
                    continue
                if not data:
                    start = max(since, piece.offset)
                elif piece.offset != start + len(data):
                    return Chunk(start, bytes(data[:limit]))  # what is missing in between is not to be glossed over
                data += piece.data[max(0, start + len(data) - piece.offset) :]
                if len(data) >= limit:
                    return Chunk(start, bytes(data[:limit]))
        return Chunk(start, bytes(data))

    def _until(self, at: int) -> list[int]:
        last = self._tape.recording.find(at)
        return [index for index in self._blocks if index <= last]

    def _place(self, worker: str, since: int, at: int, blocks: list[int]) -> int:
        """Where in `blocks` to begin: the last one whose first piece begins at `since` or before."""
        low, high = 0, len(blocks)
        while high - low > 1:
            middle = (low + high) // 2
            probe = middle
            while probe > low and not self._pieces(worker, blocks[probe], at):
                probe -= 1  # the worker wrote nothing then
            pieces = self._pieces(worker, blocks[probe], at)
            if not pieces or pieces[0].offset <= since:
                low = middle
            else:
                high = probe
        return low

    def _pieces(self, worker: str, index: int, at: int) -> list[Log]:
        if worker not in self._writers.get(index, (worker,)):
            return []
        key = worker, index
        if key not in self._held:
            logs = self._tape.logs(index)
            self._writers[index] = frozenset(piece.worker for piece in logs)
            self._held[key] = [piece for piece in logs if piece.worker == worker]
            while len(self._held) > _KEPT:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return [piece for piece in self._held[key] if piece.at <= at]

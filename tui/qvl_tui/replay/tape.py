"""A recording as the interface takes it in: what to tell a store so that it holds the picture of a moment, what comes
after that, where something happened, and the logs and documents of that time.

All of it reads and inflates, so it is called in threads; what is kept of it is small.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from qvl.model.api import History
from qvl.model.event import Event, Frame, Lost, Snapshot
from qvl.recording.block import SLOT_MS, Content, Mark
from qvl.recording.reader import Recording
from qvl.recording.records import Away, Document, Key, Log, Told

from qvl_tui.store import KEPT_EVENTS, LinkPhase

WARM = 900_000
"""Milliseconds of the past that are told along with a picture, so that its charts have their last minutes."""
HISTORY = "/v1/history"
_MARKS = sum(Mark)

T = TypeVar("T")


class Linked(NamedTuple):
    """The recorder came to hear the daemon, or lost it."""

    phase: LinkPhase
    reason: str = ""


class Heard(NamedTuple):
    """Something that a store is told, and when that came (unix milliseconds)."""

    at: int
    what: Frame | Linked | History


@dataclass(frozen=True, slots=True)
class Moment:
    """A second in which something happened."""

    at: float
    """Its end, in unix seconds: by then all of it has happened."""
    mark: int
    """Bits of `Mark`, as a plain number: there are thousands of these, and a picture of the bar looks at all."""


class Tape:
    """Raises QvlError where `path` is no recording."""

    def __init__(self, path: Path) -> None:
        self.recording = Recording(path)
        self.path = path
        self._frame: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
        self._event = msgspec.json.Decoder(Event)
        self.moments = tuple(self._moments())

    @property
    def begin(self) -> float:
        """Unix seconds."""
        return self.recording.begin / 1000

    @property
    def end(self) -> float:
        return max(self.recording.end / 1000, self.begin)

    @property
    def host(self) -> str:
        return self.recording.opening.host

    def _moments(self) -> Iterator[Moment]:
        for block in self.recording.blocks:
            for slot, mark in enumerate(block.summary.marks):
                if mark:
                    at = block.summary.begin + (slot + 1) * SLOT_MS - 1
                    yield Moment(min(at, self.recording.end) / 1000, mark & _MARKS)

    # --- pictures -------------------------------------------------------------------------------------------------

    def until(self, at: int, warm: int = WARM) -> list[Heard]:
        """All that a store must be told, in order, to hold what was known at `at`."""
        last = self.recording.find(at)
        first = self.recording.find(max(at - warm, self.recording.begin))
        while first > 0 and self.recording.key(first) is None:
            first -= 1  # cut off within its first line
        at = max(at, self.recording.begin)
        told: list[Heard] = []
        for index in range(first, last + 1):
            told += (heard for heard in self.block(index) if heard.at <= at)
        if first > 0 or not told:  # the first block begins with a snapshot of its own
            told = [heard for heard in self._picture(first) if heard.at <= at] + told
        return told

    def block(self, index: int) -> list[Heard]:
        """What comes within a block."""
        return list(self._heard(index))

    def pictures(self, begin: int, at: int) -> Iterator[Heard]:
        """The picture at the head of each block between two moments: what a glance over hours needs."""
        for index in range(self.recording.find(begin), self.recording.find(at) + 1):
            yield from (heard for heard in self._picture(index, events=False) if heard.at <= at)

    def _heard(self, index: int) -> Iterator[Heard]:
        for record in self.recording.records(index, logs=False):
            match record:
                case Told():
                    frame = decoded(self._frame, record.frame)
                    if isinstance(frame, Snapshot):
                        yield Heard(record.at, Linked(LinkPhase.UP))
                    if frame is not None:
                        yield Heard(record.at, frame)
                case Away():
                    yield Heard(record.at, Linked(LinkPhase.DOWN, record.message))
                case Document(target=target) if target == HISTORY:
                    if (history := decoded(_HISTORY, record.body)) is not None:
                        yield Heard(record.at, history)

    def _picture(self, index: int, *, events: bool = True) -> Iterator[Heard]:
        """What a store is told to begin at a block."""
        key = self.recording.key(index)
        snapshot = None if key is None else decoded(self._frame, key.snapshot)
        if key is None or not isinstance(snapshot, Snapshot):
            return
        yield Heard(key.heard, snapshot)
        if key.lost:
            yield Heard(key.heard, Lost(key.lost))
        for event in self.events_before(index, key) if events else ():
            yield Heard(key.heard, event)
        phase = LinkPhase.UP if key.away is None else LinkPhase.DOWN
        yield Heard(key.since, Linked(phase, key.away or ""))

    def events_before(self, index: int, key: Key, count: int = KEPT_EVENTS) -> list[Event]:
        """The newest events before a block, oldest first. `key` remembers some; for older ones it goes back to a block
        in which there were some that are not remembered."""
        found = self._events(key.events)
        covered = len(found)
        while found and len(found) < count and index > 0:
            index -= 1
            block = self.recording.blocks[index].summary
            if covered >= block.events:
                covered -= block.events
                continue
            older: list[Event] = []
            for record in self.recording.records(index, logs=False):
                if isinstance(record, Key):
                    older = self._events(record.events)
                    covered = len(older)
                elif isinstance(record, Told):
                    older += self._events((record.frame,))
            older = [event for event in older if event.seq < found[0].seq]
            found = [*older, *found]
        return found[-count:]

    def _events(self, frames: tuple[msgspec.Raw, ...]) -> list[Event]:
        return [event for frame in frames if (event := decoded(self._event, frame)) is not None]

    # --- what else was recorded -----------------------------------------------------------------------------------

    def document(self, target: str, at: int) -> msgspec.Raw | None:
        """The newest answer to a GET as of `at`; None where none was recorded."""
        for index in self.recording.having(Content.DOCUMENTS, self.recording.find(at)):
            found = None
            for record in self.recording.records(index, logs=False):
                if isinstance(record, Document) and record.target == target and record.at <= at:
                    found = record.body
            if found is not None:
                return found
        return None

    def logged(self, index: int, worker: str) -> list[Log]:
        """What a worker wrote within a block."""
        return [record for record in self.logs(index) if record.worker == worker]

    def logs(self, index: int) -> list[Log]:
        """What all of them wrote."""
        if Content.LOGS not in self.recording.blocks[index].summary.content:
            return []
        return [record for record in self.recording.records(index) if isinstance(record, Log)]


_HISTORY = msgspec.json.Decoder(History)


def decoded(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw) -> T | None:
    """None for what this version doesn't understand."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

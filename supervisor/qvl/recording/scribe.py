"""What is written of all that a daemon tells: every event and every change of state as it comes, figures merged over an
interval, and at the head of each block the picture of that moment.

It takes time as an argument (unix milliseconds) and keeps bounded memory whatever comes.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import Raw

from qvl import __version__
from qvl.recording.block import Content, Mark, mark_of
from qvl.recording.picture import Doc, Picture, is_news, merged
from qvl.recording.records import VERSION, Away, Document, End, Key, Opening, Record, Told, log
from qvl.recording.writer import Writer

LOG_PIECE = 64 << 10
"""Bytes of a log that are gathered into one line."""
BACKLOG = 500
"""Events of before the recording that are taken along."""


class Scribe:
    """`interval`: seconds between figures."""

    def __init__(self, writer: Writer, interval: float, *, logs: bool) -> None:
        self.picture = Picture()
        self.events = 0
        """Written so far, those that the daemon remembered from before left out."""
        self._writer = writer
        self._interval = round(interval * 1000)
        self._logs = logs
        self._opened = False
        self._heard = 0
        self._away: str | None = None
        self._since = 0
        self._figures: Doc | None = None
        self._figures_heard = 0
        self._figures_written = 0
        self._old = 0
        """The newest event of before the recording."""
        self._written = 0
        """The moment of the last line."""
        self._pieces: dict[str, tuple[int, bytearray]] = {}
        self._documents: dict[str, bytes] = {}
        """Target -> digest of the last answer"""

    # --- what was heard -------------------------------------------------------------------------------------------

    def take(self, frame: Doc, at: int) -> None:
        """A frame of the event stream, or `away` where that broke. The first one is to be a snapshot."""
        match frame["type"]:
            case "away":
                self._settle()
                at = self._moment(at)
                self._put(Away(at, frame["message"]), Mark.AWAY)
                self._away, self._since = frame["message"], at
            case "change" if not is_news(frame):
                self._figures = frame if self._figures is None else merged(self._figures, frame)
                self._figures_heard = at
                self.tick(at)
            case "event" if frame["seq"] <= self._old - BACKLOG:
                pass
            case "lost" if not self.picture.events:
                pass  # what the daemon forgot before anybody asked
            case _:
                self._settle()
                self._tell(frame, at)

    def document(self, target: str, body: bytes, at: int) -> None:
        """The answer to a GET; one that says what the last one said is not written again."""
        digest = hashlib.sha256(body).digest()
        if self._opened and self._documents.get(target) != digest:
            self._documents[target] = digest
            line = msgspec.json.encode(msgspec.json.decode(body))  # whatever it looked like, it is one line now
            self._put(Document(self._moment(at), target, Raw(line)), content=Content.DOCUMENTS)

    def logged(self, worker: str, offset: int, data: bytes, at: int) -> None:
        """What a worker wrote, from the absolute `offset` on."""
        if not self._opened:
            return
        begin, gathered = self._pieces.setdefault(worker, (offset, bytearray()))
        if begin + len(gathered) != offset:
            self._put_log(worker, at)
            gathered = self._pieces.setdefault(worker, (offset, bytearray()))[1]
        gathered += data
        if len(gathered) >= LOG_PIECE:
            self._put_log(worker, at)

    def tick(self, at: int) -> None:
        """To be called a few times a second: writes the figures that are due."""
        if self._figures is not None and at - self._figures_written >= self._interval:
            self._figures_written = at
            self._settle()

    def flush(self, at: int) -> None:
        """Hand everything that is due to the system; what a kill could take is what came since."""
        self.tick(at)
        for worker in list(self._pieces):
            self._put_log(worker, at)
        self._writer.flush()

    def end(self, at: int) -> None:
        self._settle()
        self.flush(at)
        if self._opened:
            self._put(End(self._moment(at)))
        self._writer.close()

    # --- what is written ------------------------------------------------------------------------------------------

    def _moment(self, at: int) -> int:
        """A clock that is set back must not turn the order of lines."""
        return max(self._written, at)

    def _settle(self) -> None:
        """Write the figures that wait: what comes after them is to be read after them."""
        figures, self._figures = self._figures, None
        if figures is not None:
            self._tell(figures, self._figures_heard)

    def _tell(self, frame: Doc, at: int) -> None:
        mark = Mark.NOTHING
        if frame["type"] == "event" and frame["seq"] > self._old:
            mark = mark_of(frame)
            self.events += 1
        elif frame["type"] == "snapshot":
            self._old = min(self._old, frame["seq"]) if self._opened else frame["seq"]
        if not self._opened:
            self.picture.take(frame)  # there is nothing before it to begin with
            self._heard = self._since = at
        at = self._moment(at)
        self._put(Told(at, Raw(msgspec.json.encode(frame))), mark)
        self.picture.take(frame)
        self._heard = at
        if frame["type"] == "snapshot" and self._away is not None:
            self._away, self._since = None, at

    def _put_log(self, worker: str, at: int) -> None:
        offset, data = self._pieces.pop(worker)
        if data:
            self._put(log(self._moment(at), worker, offset, bytes(data)), content=Content.LOGS)

    def _put(self, record: Record, mark: Mark = Mark.NOTHING, content: Content = Content.NOTHING) -> None:
        if self._writer.due(record.at):
            self._begin(record.at)
        self._writer.write(record, mark, content)
        self._written = record.at

    def _begin(self, at: int) -> None:
        self._writer.begin(at)
        if not self._opened:
            self._opened = True
            status: dict[str, Any] = self.picture.status or {}
            host = status.get("supervisor", {}).get("host", "")
            self._writer.write(Opening(VERSION, at, host, __version__, self._interval / 1000, self._logs))
        snapshot = self.picture.snapshot()
        if snapshot is not None:
            self._writer.write(self._key(snapshot, at))

    def _key(self, snapshot: Doc, at: int) -> Key:
        raw = Raw(msgspec.json.encode(snapshot))
        events = tuple(Raw(msgspec.json.encode(event)) for event in self.picture.events)
        return Key(at, self._heard, raw, events, self.picture.lost, self._since, self._away)

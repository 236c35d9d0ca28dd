"""The lines of a recording: one JSON object each, its kind under `type`, its moment under `at`.

Version 1. Fields and kinds may be added, never changed: a reader leaves out lines that it doesn't understand. What came
from the daemon is kept as it came (`Raw`), with the fields that this version doesn't know.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

VERSION = 1
LATEST = 253_402_300_799_999
"""The end of the year 9999: what a datetime can hold."""
RECENT = 50
"""Events that a `Key` remembers; the reader finds older ones in the blocks before."""


Moment = Annotated[int, Meta(ge=0, le=LATEST)]


class Opening(msgspec.Struct, frozen=True, tag="recording"):
    """The first line of the file."""

    version: int
    at: Moment
    """Unix time in milliseconds, as in every line: when it was written down, by the recorder's clock."""
    host: str
    qvl: str
    """The version of qvl that wrote it."""
    interval_s: float
    """Figures were taken at most this often."""
    logs: bool
    """The workers' logs are in it."""


class Key(msgspec.Struct, frozen=True, tag="key"):
    """The first line of each block (the second of the file): all that is needed to begin there. It tells nothing new
    to who reads on from the block before."""

    at: Moment
    heard: Moment
    """When the newest frame before it came."""
    snapshot: Raw
    """A Snapshot frame."""
    events: tuple[Raw, ...] = ()
    """The newest Event frames, oldest first."""
    lost: int = 0
    """Events that were lost so far."""
    since: Moment = 0
    """Since when the daemon is heard, or is not."""
    away: str | None = None
    """Why it can't be heard."""


class Told(msgspec.Struct, frozen=True, tag="frame"):
    """A frame of the event stream; changes of figures are merged over the interval."""

    at: Moment
    frame: Raw


class Away(msgspec.Struct, frozen=True, tag="away"):
    """The daemon can't be heard from here on until the next Snapshot."""

    at: Moment
    message: str


class Log(msgspec.Struct, frozen=True, tag="log", omit_defaults=True):
    """What a worker wrote, from the absolute `offset` of its log on: as text, or as base64 where it is none."""

    at: Moment
    worker: str
    offset: int
    text: str | None = None
    base64: bytes | None = None

    @property
    def data(self) -> bytes:
        return self.text.encode() if self.text is not None else self.base64 or b""


class Document(msgspec.Struct, frozen=True, tag="document"):
    """The daemon's answer to a GET, which holds until the next one for the same target."""

    at: Moment
    target: str
    """Path and query, such as `/v1/profiles`."""
    body: Raw


class End(msgspec.Struct, frozen=True, tag="end"):
    """The last line of a recording that was ended, not cut off."""

    at: Moment


Record = Opening | Key | Told | Away | Log | Document | End

encode = msgspec.json.Encoder().encode


def log(at: int, worker: str, offset: int, data: bytes) -> Log:
    try:
        return Log(at, worker, offset, text=data.decode())
    except UnicodeDecodeError:
        return Log(at, worker, offset, base64=data)

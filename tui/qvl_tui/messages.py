"""What a link tells the app."""

from dataclasses import dataclass

from qvl.model.event import Frame
from textual.message import Message

from qvl_tui.session import Session
from qvl_tui.store import LinkPhase


@dataclass
class Linked(Message):
    """The link to the daemon came up or went down."""

    session: Session
    phase: LinkPhase
    reason: str = ""


@dataclass
class Received(Message):
    """A frame of the daemon. Never coalesced: an event lost here would be lost uncounted."""

    session: Session
    frame: Frame
    at: float
    """Monotonic seconds of its arrival."""

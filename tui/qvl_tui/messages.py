"""What the parts of the interface tell each other. Screens say what the user wants; only the app does it."""

from dataclasses import dataclass

from qvl.model.event import Frame
from textual.message import Message

from qvl_tui.store import LinkPhase


@dataclass
class Linked(Message):
    """The link to the daemon came up or went down."""

    phase: LinkPhase
    reason: str = ""


@dataclass
class Received(Message):
    """A frame of the daemon. Never coalesced: an event lost here would be lost uncounted."""

    frame: Frame
    at: float
    """Monotonic seconds of its arrival."""


@dataclass
class ActWanted(Message):
    """The user asked for an act on a worker, or on a whole pool, and confirmed it where that is due."""

    verb: str
    name: str
    pool: bool = False


@dataclass
class SwitchWanted(Message):
    """The user saw what that does and confirmed it. Without `profile`: back to the one of the file."""

    pool: str
    profile: str | None


@dataclass
class CancelWanted(Message):
    """The change under way on this pool shall be taken back."""

    pool: str

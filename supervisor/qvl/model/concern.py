"""What may keep a worker from starting or from serving as it is wanted, found by looking before the start."""

import msgspec

from qvl.model.worker import Cause


class Concern(msgspec.Struct, frozen=True):
    """`error`: it can't work at all as things stand. Else it is a warning: it starts, or may, and will disappoint."""

    message: str
    hint: str | None = None
    error: bool = False
    cause: Cause = Cause.UNKNOWN
    """What it would end of, where it is an error."""
    missing: str | None = None
    """The path whose coming mends it; see `qvl.host.model_files.has_come`."""

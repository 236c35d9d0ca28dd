"""Both clocks in one reading."""

import time
from datetime import datetime

from qvl.core.inputs import Instant
from qvl.model.status import when


def now() -> Instant:
    return Instant(time.monotonic(), time.time())


def wall_of(mono: float) -> datetime:
    """The wall time of a moment on the monotonic clock, as the wall clock stands now."""
    return when(time.time() + (mono - time.monotonic()))

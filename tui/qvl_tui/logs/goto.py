"""What people type to say where in a log they want to look. Pure."""

import re
from typing import NamedTuple

from qvl_tui.logs.stamps import stamp_of

_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_BYTE = re.compile(r"(-?\d+(?:\.\d+)?) ?([kKmMgG]?)(?:i?[bB])?")
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_DATED = re.compile(r"((?:\d{4}-)?\d\d-\d\d)(?:[ T](\d{1,2}:\d\d)(:\d\d)?)?")
_POWERS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_FAR = 1e18
"""More than any log has."""
_DAY = 86400.0


class Goto(NamedTuple):
    """One of these."""

    share: float | None = None
    byte: int | None = None
    """Negative: so many before the end."""
    stamp: float | None = None
    clock: float | None = None
    """Seconds since midnight of a day that isn't told."""

    def moment(self, near: float | None) -> float | None:
        """As a stamp; a time without a day is the last one not after `near`, where one looks."""
        if self.clock is None or near is None:
            return self.stamp
        at = near // _DAY * _DAY + self.clock
        return at - _DAY if at > near else at


def goto(text: str) -> Goto | None:
    text = text.strip()
    if found := _SHARE.fullmatch(text):
        return Goto(share=float(found[1]) / 100)
    if found := _TIME.fullmatch(text):
        return Goto(clock=int(found[1]) * 3600.0 + int(found[2]) * 60 + int(found[3] or 0))
    if found := _DATED.fullmatch(text):
        at = stamp_of(f"[{found[1]} {(found[2] or '00:00').zfill(5)}{found[3] or ':00'}]").at
        return None if at is None else Goto(stamp=at)
    if found := _BYTE.fullmatch(text):
        return Goto(byte=round(min(float(found[1]), _FAR) * _POWERS[found[2].lower()]))
    return None

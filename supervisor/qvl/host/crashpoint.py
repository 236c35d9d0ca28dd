"""Points at which a test can have the daemon die, as a power cut or `kill -9` would at just that moment.

They stand around each write of state and each effect, since these are what a successor finds. `QVL_CRASH_AT` in the
daemon's environment says when; without it a point costs one comparison. It is either a number, `7`: at the seventh
point that this process passes. Or a file's absolute path: nothing happens while there is no such file; `7` in it is
counted down with each point that is passed, over an exec and by successors too, and `2 record.json` counts only points
with that in their name. The file is removed before the daemon dies.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

VARIABLE = "QVL_CRASH_AT"

_crash_at = os.environ.get(VARIABLE, "")
_passed = 0


def crash_point(name: str) -> None:
    """Die here if it is this one's turn. `name` is said on stderr, for whoever reads of the test."""
    if _crash_at and (_is_last_in_file(Path(_crash_at), name) if "/" in _crash_at else _is_last(int(_crash_at))):
        sys.stderr.write(f"crash point: {name}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def _is_last(number: int) -> bool:
    global _passed
    _passed += 1
    return _passed == number


def _is_last_in_file(path: Path, name: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        number, _, part = path.read_text().partition(" ")
        if part in name:
            if number == "1":
                path.unlink()
                return True
            path.write_text(f"{int(number) - 1} {part}")
    return False

"""Points at which a test can have the daemon die, as a power cut or `kill -9` would at just that moment.

`QVL_CRASH_AT=7` in the daemon's environment kills it at the seventh point that it passes; without the variable a point
costs one comparison. They stand around each write of state and each effect, since these are what a successor finds.
"""

import os
import signal
import sys

VARIABLE = "QVL_CRASH_AT"

_crash_at = int(os.environ.get(VARIABLE, "0") or 0)
_passed = 0


def crash_point(name: str) -> None:
    """Die here if it is this one's turn. `name` is said on stderr, for whoever reads of the test."""
    global _passed
    if not _crash_at:
        return
    _passed += 1
    if _passed == _crash_at:
        sys.stderr.write(f"crash point {_passed}: {name}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)

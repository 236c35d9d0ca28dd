"""Replace our code by what is on disk, in the same process: systemd sees no change, and our children stay ours.

A signal that comes meanwhile is neither lost nor deadly: the kernel holds it over the exec until the successor can tell
what it means for the workers. It refuses to decide when: the daemon has wound down by then.
"""

import os
import signal
import sys
from typing import NoReturn

from qvl.host.crashpoint import crash_point

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""What the daemon handles, and what would end a process that doesn't handle it yet."""


def hold_signals() -> None:
    """From now on they wait for the successor (a blocked signal stays pending over an exec: execve(2))."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def take_signals() -> None:
    """Deliver what waits. To be called once they are handled, and before any child is started that would inherit it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def replace_ourselves(*, told_to_stop: bool) -> NoReturn:
    """Execute the command line that we were started with. `told_to_stop`: so the successor is told, too."""
    hold_signals()
    if told_to_stop:
        os.kill(os.getpid(), signal.SIGTERM)
    crash_point("before the daemon's code is replaced")
    if os.access(sys.argv[0], os.X_OK):  # the installed script, after which the process is named in ps and systemctl
        os.execv(sys.argv[0], sys.argv)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

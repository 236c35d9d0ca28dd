"""How a shim begins: one line on stdin says what to run, one line on stdout says what came of it.

All that a shim will ever need is imported before it answers, and nothing but the standard library: afterwards the
Python environment on disk may be replaced under it. Secrets come by stdin alone, so that neither the arguments nor the
environment of the shim hold any.
"""

from __future__ import annotations

import ctypes
import os
import signal as signals

from qvl.shim import wire
from qvl.shim.loop import Shim
from qvl.shim.order import Order
from qvl.shim.server import RequestError
from qvl.shim.spawn import SpawnError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.shim.wire import Json

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def main() -> None:
    """Be the shim of one worker, from the bootstrap line to the end of the worker's last process."""
    umask = os.umask(0o077)
    _close_inherited()
    for sig in (signals.SIGHUP, signals.SIGINT, signals.SIGTERM, signals.SIGPIPE):
        signals.signal(sig, signals.SIG_IGN)
    line = _read_line()
    if not line:
        return  # the daemon ended before it had said anything
    bundle = "the bundle"
    try:
        order = Order(wire.decode(line))
        bundle = order.bundle
        os.chdir(bundle)
        _become_subreaper()
        shim = Shim(order)
        answer = shim.start(umask)
    except SpawnError as error:
        _answer({"ok": False, "error": str(error), "errno": error.errno})
        return
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        _answer({"ok": False, "error": f"cannot prepare {error.filename or bundle}: {reason}", "errno": error.errno})
        return
    except (RequestError, ValueError) as error:
        _answer({"ok": False, "error": str(error), "errno": None})
        return
    taken = _answer({"ok": True, **answer})
    _let_go_of_stdio()
    if not taken:
        shim.abandon()
    shim.run()


def _close_inherited() -> None:
    """Close what a library of the daemon may have left open across exec: it must not reach the worker."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                continue  # the listing's own descriptor


def _read_line() -> bytes:
    """The bootstrap; empty if the daemon hangs up before its end."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, wire.MAX_LINE)
        if not part:
            return b""
        line += part
    return line


def _answer(answer: Json) -> bool:
    """Tell the daemon; False if it does not listen any more."""
    rest = memoryview(wire.encode({"protocol": wire.PROTOCOL_VERSION, **answer}))
    try:
        while rest:
            rest = rest[os.write(1, rest) :]
    except OSError:
        return False
    return True


def _let_go_of_stdio() -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


def _become_subreaper() -> None:
    """Become the parent of whatever the worker forks away, and carry a name that `ps` and `top` can show."""
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    libc.prctl(_PR_SET_NAME, b"qvl-shim", zero, zero, zero)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")

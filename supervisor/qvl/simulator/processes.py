"""The children that SGLang has, and the ones that it should not have.

A scheduler and a detokenizer live and die with their parent (PR_SET_PDEATHSIG, as in SGLang); strays outlive it, in
sessions of their own and deaf to SIGTERM, as badly behaved children of real engines do. Nothing here computes anything.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_STRAY_LIFE = 3600.0  # seconds; what a test forgot ends by itself


class Child:
    """A process that this engine started; `descriptor` becomes readable when it ends."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.descriptor = os.pidfd_open(pid)

    def kill(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self.descriptor, number)
        except ProcessLookupError:
            return

    def halted(self) -> bool | None:
        """Whether a signal has stopped it since the last call (True) or let it go on (False); None: neither."""
        try:
            news = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
        except ChildProcessError:  # it has ended
            return None
        return None if news is None else news.si_code == os.CLD_STOPPED

    def exit_code(self) -> int:
        """Reap it; the code is negative for a signal. Blocks until it has ended."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def spawn_children(ranks: int) -> list[Child]:
    """One scheduler a rank, then the detokenizer. To be called before there are threads or an event loop."""
    titles = ["sglang::scheduler"] if ranks == 1 else [f"sglang::scheduler_TP{rank}" for rank in range(ranks)]
    children = [Child(f"scheduler_{rank}", _fork(title)) for rank, title in enumerate(titles)]
    return [*children, Child("detokenizer", _fork("sglang::detokenizer"))]


def spawn_strays(count: int) -> None:
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            _run(_become_stray)
        os.waitpid(pid, 0)


def kill_self(number: int = signal.SIGKILL) -> NoReturn:
    """End by a signal, whatever its disposition was."""
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # a signal whose default is to be ignored


def _fork(title: str) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _run(lambda: _become_child(title, parent))
    return pid


def _become_child(title: str, parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return  # it died before the line above
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(title)
    while True:
        signal.pause()


def _become_stray() -> None:
    os.setsid()
    if os.fork():
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    time.sleep(_STRAY_LIFE)


def _run(act: Callable[[], None]) -> NoReturn:
    """Run the life of a forked child; nothing of the parent's Python may run after it."""
    try:
        act()
    finally:
        os._exit(0)

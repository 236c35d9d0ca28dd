"""However the terminal goes away, no interface stays behind: not with a window that is closed, not where nobody reads
what it writes, not where hang-ups are ignored."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qvl_tui.ending import PATIENCE

from tests.support import wait_until

pytestmark = pytest.mark.terminal


class Window:
    """The interface on a terminal of its own, of which we hold the other end."""

    def __init__(self, tmp_path: Path, *before: str) -> None:
        self.end, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [*before, sys.executable, "-m", "qvl_tui", "--socket", str(tmp_path / "none.sock")]
        env = {**os.environ, "TERM": "xterm-256color", "XDG_STATE_HOME": str(tmp_path)}
        self.process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=env, start_new_session=True)
        os.close(its)
        self.shows(b"reconnecting")

    def shows(self, what: bytes) -> None:
        seen = bytearray()

        def told() -> bool:
            seen.extend(os.read(self.end, 65536))
            return what in seen

        wait_until(told, 20, f"the terminal is told {what!r}")

    def close(self) -> None:
        os.close(self.end)
        self.end = -1


@contextmanager
def window(tmp_path: Path, *before: str) -> Iterator[Window]:
    made = Window(tmp_path, *before)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        if made.end >= 0:
            made.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(tmp_path: Path, number: signal.Signals) -> None:
    with window(tmp_path) as made:
        made.process.send_signal(number)
        made.shows(b"\x1b[?1049l")
        assert made.process.wait(10) == 0


@pytest.mark.parametrize("loop", ["runs", "stands"])
def test_a_terminal_that_takes_nothing_in_keeps_nobody(tmp_path: Path, loop: str) -> None:
    """Nobody reads from now on: redraws fill the terminal's buffer, then Textual's own, and then its loop stands. It is
    left in the same way before that."""
    with window(tmp_path) as made:
        proc = Path(f"/proc/{made.process.pid}")
        looks: deque[tuple[str, bool]] = deque(maxlen=20)

        def stuck() -> bool:
            os.write(made.end, b"\x0c")
            written = next(line for line in (proc / "io").read_text().splitlines() if line.startswith("wchar"))
            looks.append((written, loop == "runs" or "futex" in (proc / "wchan").read_text()))
            return len(looks) == looks.maxlen and len(set(looks)) == 1 and looks[0][1]

        wait_until(stuck, 30, "nothing more is written")
        made.process.send_signal(signal.SIGHUP)
        assert made.process.wait(PATIENCE + 15) == 128 + signal.SIGHUP


def test_a_terminal_that_is_gone_ends_one_that_ignores_hangups(tmp_path: Path) -> None:
    with window(tmp_path, "env", "--ignore-signal=HUP") as made:
        made.close()
        made.process.wait(20)

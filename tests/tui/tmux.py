"""A real terminal to run programs in: tmux, with a server of its own that no user's tmux and no other test meets."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.support import wait_until


class Modes(NamedTuple):
    """What a program may have switched on in its terminal, and must switch off when it ends."""

    alternate_screen: bool
    cursor: bool
    mouse: bool


class Tmux:
    """One terminal that runs `script`, and afterwards waits to be looked at. Leaving it hangs up, as a closed window
    does."""

    def __init__(self, script: str, *, width: int = 80, height: int = 24) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="qvl-tmux-", dir="/tmp"))
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        size = ("-x", str(width), "-y", str(height))
        self._tmux("new-session", "-d", *size, "/bin/sh", "-c", f"{script}\nexec sleep infinity")

    def keys(self, *names: str) -> None:
        """Press keys, by tmux's names: `q`, `Enter`, `Escape`, `PageUp`."""
        self._tmux("send-keys", *names)

    def capture(self) -> list[str]:
        """The screen, a string a row."""
        return self._tmux("capture-pane", "-p").split("\n")

    def modes(self) -> Modes:
        told = self._tmux("display-message", "-p", "#{alternate_on}#{cursor_flag}#{mouse_any_flag}")
        return Modes(*(flag == "1" for flag in told.strip()))

    def wait(self, pattern: str, timeout: float = 10) -> str:
        """The screen as text, once the regular expression is found in it."""
        screens: list[str] = []

        def seen() -> bool:
            screens[:] = ["\n".join(self.capture())]
            return re.search(pattern, screens[0]) is not None

        try:
            wait_until(seen, timeout, f"the screen shows {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{screens[0]}") from None
        return screens[0]

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-S", str(self._directory / "s"), "-f", os.devnull, *words]
        ran = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False, timeout=30)
        assert ran.returncode == 0, f"tmux {words[0]}: {ran.stderr}"
        return ran.stdout

    def __enter__(self) -> "Tmux":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print("\n".join(self.capture()))
        self._tmux("kill-server")
        shutil.rmtree(self._directory, ignore_errors=True)

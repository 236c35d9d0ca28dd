"""One ssh under its keeper: what it answers, what it says, and whether it is still there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress

from qvl.client.ssh import keeper, probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT_WORDS = 2000
"""Characters of what ssh said last."""
KEPT_LINES = 200
"""Lines that a login script may write before the answer comes."""
SIGN_SECONDS = 0.5
"""From the end of something that was carried to the end of ssh, or to its words about it, where there are any."""
WORDS_SECONDS = 2.0
"""From the end of ssh to the end of its words: one that it started for a jump may hold them open."""
ENDING_SECONDS = keeper.GRACE + 1.0


class Connection:
    """Starts at once. `echo`: what ssh says goes to stderr as well, since a user sits there and is asked things."""

    def __init__(self, command: Sequence[str], script: str, directory: str, *, prompts: bool, echo: bool) -> None:
        session = "shared" if prompts else "own"
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, directory, session, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._echo = echo
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._answered = False
        self._ended = False
        self._silent = False
        """All that ssh had to say was read."""
        self._words = ""
        self._tell("feed " + script.replace("\n", "\0"))
        for listen in (self._listen_for_answer, self._listen_for_words):
            threading.Thread(target=listen, daemon=True).start()

    @property
    def alive(self) -> bool:
        return not self._ended

    def answer(self, timeout: float | None) -> list[str]:
        """The lines of the script, once it is through. Raises EOFError where ssh ended first, and TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: self._answered or self._ended, timeout):
                raise TimeoutError
            if not self._answered:
                raise EOFError
            return self._lines

    def words(self, sign: str = "") -> str:
        """What ssh said since this was asked last. Waits a moment for its end, or for words with `sign` in them: they
        come by another way than what they explain."""
        with self._news:
            self._news.wait_for(lambda: self._ended or (sign and sign in self._words), SIGN_SECONDS)
            if self._ended:
                self._news.wait_for(lambda: self._silent, WORDS_SECONDS)
            said, self._words = self._words, ""
        return said.strip()

    def forget(self) -> None:
        """What was said so far was about the connection's making."""
        with self._news:
            self._words = ""

    def undo(self, command: Sequence[str]) -> None:
        """Have a command run at the end."""
        self._tell("undo " + "\0".join(command))

    def hand_over(self) -> None:
        """Leave the directory to a successor, and end."""
        self._tell("keep")
        self.close()

    def stop(self) -> None:
        """Ends ssh, and leaves the directory for another try."""
        self._tell("stop")

    def close(self) -> None:
        """Ends ssh, removes the directory, and waits for that. May be called from any thread, and again."""
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        try:
            self._keeper.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()

    def _tell(self, line: str) -> None:
        if self._keeper.stdin is not None:
            # Where that fails, the keeper was killed and its ssh ends by itself, or it was closed.
            with suppress(OSError, ValueError):
                self._keeper.stdin.write(f"{line}\n".encode(errors="surrogateescape"))

    def _listen_for_answer(self) -> None:
        assert self._keeper.stdout is not None
        rest = b""
        while piece := os.read(self._keeper.stdout.fileno(), 4096):
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[-4096:]
            with self._news:
                for line in lines:
                    if not self._answered:
                        self._take(line.decode(errors="surrogateescape").rstrip("\r"))
        with self._news:
            self._ended = True
            self._news.notify_all()
        self._keeper.stdout.close()

    def _take(self, line: str) -> None:
        if line == probe.END:
            self._answered = True
            self._news.notify_all()
        else:
            self._lines = [*self._lines[-KEPT_LINES:], line]

    def _listen_for_words(self) -> None:
        assert self._keeper.stderr is not None
        while piece := os.read(self._keeper.stderr.fileno(), 4096):
            if self._echo and not self._answered:
                os.write(2, piece)
            with self._news:
                self._words = (self._words + piece.decode(errors="replace").replace("\r", ""))[-KEPT_WORDS:]
                self._news.notify_all()
        with self._news:
            self._silent = True
            self._news.notify_all()
        self._keeper.stderr.close()

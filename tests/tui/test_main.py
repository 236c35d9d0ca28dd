"""What a run needs and may be told before there is a picture: a terminal, and whose the mouse is."""

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recording.scripts import night, record
from tests.tui.tmux import Tmux

QVLCTL = Path(sys.prefix, "bin", "qvlctl")


@pytest.mark.parametrize("missing", ["stdin", "stdout", "stderr"])
def test_without_a_terminal_it_refuses_with_a_sentence(tmp_path: Path, missing: str) -> None:
    ours, its = pty.openpty()
    streams = {name: its for name in ("stdin", "stdout", "stderr")}
    sentence, told = os.pipe()
    try:
        streams[missing] = subprocess.DEVNULL if missing != "stderr" else told
        command = [sys.executable, "-m", "qvl_tui", "--socket", str(tmp_path / "none.sock")]
        assert (
            subprocess.run(
                command, stdin=streams["stdin"], stdout=streams["stdout"], stderr=streams["stderr"], timeout=20
            ).returncode
            == 1
        )
        said = os.read(sentence if missing == "stderr" else ours, 4096).decode()
    finally:
        for each in (ours, its, sentence, told):
            os.close(each)
    assert said.startswith("error: the terminal interface needs a terminal")
    assert "hint: over ssh: ssh -t HOST qvlctl tui" in said


@pytest.mark.terminal
@pytest.mark.parametrize("words", [(), ("--no-mouse",)])
@pytest.mark.parametrize("recorded", [False, True])
def test_the_mouse_is_the_terminals_where_the_user_says_so(
    tmp_path: Path, words: tuple[str, ...], recorded: bool
) -> None:
    where = ["--replay", str(record(tmp_path / "r", night(60)))] if recorded else []
    command = [str(QVLCTL), "--socket", str(tmp_path / "none.sock"), "tui", *where, *words]
    with Tmux(shlex.join(command)) as terminal:
        terminal.wait("recording" if recorded else "reconnecting")
        assert terminal.modes().alternate_screen
        assert terminal.modes().mouse is not bool(words)

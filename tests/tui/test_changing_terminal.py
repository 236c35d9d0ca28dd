"""Switching and editing in a real terminal, on a real daemon: what is seen before, meanwhile and after."""

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.blackbox.harness import Daemon, Table, args
from tests.support import wait_until
from tests.tui.tmux import Tmux

pytestmark = pytest.mark.terminal

QVLCTL = Path(sys.prefix, "bin", "qvlctl")
PROFILES: Table = {
    "profiles": {
        "eagle": {"extends": "standard", "args": {"max-running-requests": 7}},
        "broken": {"extends": "standard", "args": {"sim-fail": "bad-arguments"}},
    }
}


@pytest.fixture(autouse=True)
def _tmux() -> None:
    if shutil.which("tmux") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("tmux is not installed: apt-get install tmux")
        pytest.skip("tmux is not installed: apt-get install tmux")


def tui(daemon: Daemon, home: Path, **env: str) -> str:
    """The command that watches it, with preferences of its own."""
    places = {"XDG_CONFIG_HOME": str(home), "XDG_STATE_HOME": str(home), **env}
    words = [f"{name}={value}" for name, value in places.items()]
    return shlex.join(("env", *words, str(QVLCTL), "--socket", str(daemon.socket), "tui"))


def test_the_editor_gets_the_terminal_and_what_it_saved_is_planned_and_applied(tmp_path: Path) -> None:
    """An editor that spoils the file, and at the next call mends it."""
    with Daemon(tmp_path, {"supervisor": {"auto_apply": False}}) as daemon:
        before = daemon.start().ready()["pid"]
        editor = tmp_path / "vim"
        editor.write_text(
            "#!/bin/sh\n"
            "echo THE EDITOR HAS THE TERMINAL; read answer\n"
            'if grep -q max-runing "$1"; then sed -i s/max-runing/max-running/ "$1"\n'
            "else sed -i 's/^sim-load-seconds.*/&\\nmax-runing-requests = 9/' \"$1\"; fi\n"
        )
        editor.chmod(0o755)
        with Tmux(tui(daemon, tmp_path / "home", EDITOR=str(editor)), width=120, height=40) as t:
            t.wait("● live")
            t.keys("6")
            t.wait("✓ revision [0-9a-f]{12} is what runs")
            t.keys("o")
            t.wait("THE EDITOR HAS THE TERMINAL")
            t.keys("Enter")
            t.wait("✕ refused: 1 fault")
            assert "max-runing-requests" in t.wait(r'did you mean "max-running-requests"')
            t.keys("o")
            t.wait("THE EDITOR HAS THE TERMINAL")
            t.keys("Enter")
            t.wait("waits for apply")
            t.wait(r"args.max-running-requests +unset → 9")
            assert daemon.worker()["pid"] == before
            t.keys("A")
            t.wait("apply revision [0-9a-f]{12}\\?")
            t.keys("y")
            t.wait("✓ revision [0-9a-f]{12} is what runs", timeout=20)
        assert daemon.ready(not_pid=before)["pid"] != before


def test_a_switch_is_watched_and_one_that_fails_is_seen_to_go_back(tmp_path: Path) -> None:
    with Daemon(tmp_path, PROFILES, args(sim_load_seconds=0.5)) as daemon:
        daemon.start().ready()
        with Tmux(tui(daemon, tmp_path / "home"), width=120, height=40) as t:
            t.wait("● live")
            t.keys("5")
            t.wait("› standard +runs now")
            t.keys("j")
            t.wait("max-running-requests")
            t.keys("Enter")
            t.wait("switch chat to eagle\\?")
            t.keys("y")
            t.wait("✓ [0-9:]+ switched to profile eagle", timeout=20)
            assert daemon.pool()["profile"] == "eagle"
            t.keys("j")
            t.wait("sim-fail")
            t.keys("Enter")
            t.wait("switch chat to broken\\?")
            t.keys("y")
            seen = t.wait("✕ [0-9:]+ went back to profile eagle", timeout=20)
            assert "✕ start" in seen
            assert "↩ and back" in seen
        wait_until(lambda: daemon.pool()["switch"] is None, 10, "it is over")
        assert daemon.pool()["profile"] == "eagle"

"""The interface over a real sshd, in a real terminal: several hosts, questions of ssh, and connections that end."""

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.blackbox.harness import Daemon
from tests.remote.sshd import QVLCTL, Sshd
from tests.support import wait_until
from tests.tui.test_terminal import THEIRS
from tests.tui.tmux import Tmux

pytestmark = [pytest.mark.ssh, pytest.mark.terminal]


def script(sshd: Sshd, *words: str | Path, config: Path | None = None) -> str:
    """Runs qvlctl with the environment that finds this sshd, writes down its pid, and says how it ended."""
    variables = (f"{name}={value}" for name, value in sshd.environment(config).items())
    command = shlex.join(["env", *variables, str(QVLCTL), *map(str, words)])
    return f"{shlex.join(['sh', '-c', f'echo $$ >{sshd.root}/tui.pid; exec {command}'])}; echo exit status $?"


def test_a_connection_that_is_cut_comes_back(sshd: Sshd, daemon: Daemon) -> None:
    with Tmux(script(sshd, "tui", "--host", "box", "--socket", daemon.socket), width=120) as terminal:
        terminal.wait(r"1/1 ready +● live", timeout=20)
        terminal.wait(r"chat-0 +● ready")
        before = sshd.log_ins
        sshd.stop()
        terminal.wait(r"reconnecting for \d+ s · the connection to box is lost: ")
        terminal.wait(r"reconnecting for \d+ s · box can't be reached: .*Connection refused")
        terminal.wait(r"✕ \d+ s old")
        sshd.start()
        terminal.wait(r"1/1 ready +● live", timeout=20)
        assert sshd.log_ins > before
        terminal.keys("q")
        terminal.wait(r"exit status 0")
        assert terminal.modes() == THEIRS
        wait_until(lambda: not sshd.left(), 5, "nothing is left")


def test_an_ssh_that_is_killed_is_followed_by_another(sshd: Sshd, daemon: Daemon) -> None:
    with Tmux(script(sshd, "tui", "--host", "box", "--socket", daemon.socket), width=120) as terminal:
        terminal.wait(r"1/1 ready +● live", timeout=20)
        (killed,) = sshd.clients()
        os.kill(killed, signal.SIGKILL)  # it leaves its sockets
        terminal.wait(r"reconnecting for \d+ s")
        terminal.wait(r"1/1 ready +● live", timeout=20)
        terminal.keys("q")
        terminal.wait(r"exit status 0")
        wait_until(lambda: not sshd.left(), 5, "nothing is left")


def test_an_act_is_done_there(sshd: Sshd, daemon: Daemon) -> None:
    old = daemon.ready()["pid"]
    with Tmux(script(sshd, "tui", "--host", "box", "--socket", daemon.socket)) as terminal:
        terminal.wait(r"chat-0 +● ready", timeout=20)
        terminal.keys("r")
        terminal.wait(r"restart chat-0\?")
        terminal.keys("y")
        daemon.ready(not_pid=old)
        terminal.keys("q")
        terminal.wait(r"exit status 0")


def test_killed_it_leaves_no_ssh_and_no_directory(sshd: Sshd, daemon: Daemon) -> None:
    with Tmux(script(sshd, "tui", "--host", "box", "--socket", daemon.socket)) as terminal:
        terminal.wait(r"1/1 ready +● live", timeout=20)
        assert len(sshd.left()) >= 3, "a directory, a keeper and an ssh"
        os.kill(int((sshd.root / "tui.pid").read_text()), signal.SIGKILL)
        wait_until(lambda: not sshd.left(), 5, "nothing is left")
        wait_until(lambda: not sshd.sessions(), 5, "no session on the other side")


def test_a_connection_that_hangs_is_shown_as_such(sshd: Sshd, daemon: Daemon) -> None:
    with Tmux(script(sshd, "tui", "--host", "box", "--socket", daemon.socket), width=120) as terminal:
        terminal.wait(r"1/1 ready +● live", timeout=20)
        stopped = sshd.sessions()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            terminal.wait(r"reconnecting for \d+ s · no word for 15 s", timeout=40)
            terminal.wait(r"1/1 ready +● live", timeout=60)  # over another connection
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        terminal.keys("q")
        terminal.wait(r"exit status 0")


def test_ssh_asks_before_the_interface_has_the_terminal_and_never_over_it(sshd: Sshd, daemon: Daemon) -> None:
    locked = sshd.root / "locked"
    locked.write_bytes((sshd.root / "user").read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", locked], check=True, stdout=subprocess.DEVNULL)
    config = sshd.configure("asking", key="locked", StrictHostKeyChecking="ask")
    words = ("tui", "--host", "box", "--socket", daemon.socket)
    with Tmux(script(sshd, *words, config=config), width=120) as terminal:
        terminal.wait(r"Are you sure you want to continue connecting")
        terminal.keys("yes", "Enter")
        terminal.wait(r"Enter passphrase for key")
        terminal.keys("open sesame", "Enter")
        terminal.wait(r"1/1 ready +● live", timeout=20)
        sshd.cut()
        screen = terminal.wait(r"reconnecting for \d+ s · box can't be reached without a question: ", timeout=20)
        assert "passphrase" not in screen
        terminal.keys("q")
        terminal.wait(r"exit status 0")


def test_a_host_that_is_down_keeps_no_other_from_showing(sshd: Sshd, daemon: Daemon) -> None:
    hosts = ("--host", "dead", "--host", "box")
    with Tmux(script(sshd, "tui", *hosts, "--socket", daemon.socket), width=160) as terminal:
        terminal.wait(r"chat-0 +● ready", timeout=20)
        terminal.wait(r"dead .*Connection refused", timeout=20)
        terminal.keys("q")
        terminal.wait(r"exit status 0")
    with Tmux(script(sshd, "tui", "--host", "dead", "--host", "dead2.invalid")) as terminal:
        screen = terminal.wait(r"exit status 3", timeout=20)
        assert "error: dead can't be reached: ssh: connect to host 127.0.0.1" in screen

"""qvlctl --host over a real sshd: what it says and does there, whom it asks, and what is left when it has ended."""

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.harness import Daemon
from tests.fakes import FakeControl, serve
from tests.remote.conftest import qvlctl
from tests.remote.sshd import NOWHERE, QVLCTL, Sshd, needed
from tests.support import wait_until

pytestmark = pytest.mark.ssh

NULL = subprocess.DEVNULL


def test_status_is_that_of_the_other_host(sshd: Sshd, daemon: Daemon) -> None:
    ran = qvlctl(sshd, "--host", "box", "--socket", daemon.socket, "status", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["supervisor"] == daemon.status["supervisor"]
    assert sshd.left() == []


@pytest.mark.parametrize(
    "words",
    [
        ("plan",),
        ("profiles",),
        ("show", "standard"),
        ("version",),
        ("events",),
        ("top",),
        ("logs", "chat-0", "-n", "1"),
        ("wait", "all"),
    ],
    ids=" ".join,
)
def test_it_says_what_it_says_there(sshd: Sshd, daemon: Daemon, words: tuple[str, ...]) -> None:
    here = qvlctl(sshd, "--socket", daemon.socket, *words)
    there = qvlctl(sshd, *words, "--host", "box", "--socket", daemon.socket)
    assert (here.code, there.code, there.err) == (0, 0, here.err)
    steady = re.compile(r"[\d.]+s?|\s+")
    assert steady.sub(" ", there.out) == steady.sub(" ", here.out) != ""


def test_acts_are_done_there_and_waited_for(sshd: Sshd, daemon: Daemon) -> None:
    ran = qvlctl(sshd, "--host", "box", "--socket", daemon.socket, "stop", "chat-0")
    assert (ran.code, ran.out) == (0, "chat-0 stopped\n")
    assert daemon.worker()["phase"] == "stopped"
    ran = qvlctl(sshd, "--host", "box", "--socket", daemon.socket, "start", "chat-0")
    assert (ran.code, "chat-0 ready at" in ran.out) == (0, True)
    assert daemon.worker()["ready"]


def test_a_host_that_is_not_there_is_told_in_the_words_of_ssh(sshd: Sshd) -> None:
    ran = qvlctl(sshd, "--host", NOWHERE, "status")
    assert (ran.code, ran.out) == (3, "")
    assert f"error: {NOWHERE} can't be reached: ssh: Could not resolve hostname {NOWHERE}" in ran.err
    assert f"hint: see whether it works by itself: ssh {NOWHERE}" in ran.err
    ran = qvlctl(sshd, "--host", "dead", "status")
    assert (ran.code, "Connection refused" in ran.err) == (3, True)


def test_a_client_that_is_not_there() -> None:
    env = {"PATH": os.environ["PATH"], "QVL_SSH": "/no/such/ssh"}
    ran = subprocess.run([QVLCTL, "--host", "box", "status"], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 3
    assert "error: /no/such/ssh can't be run: No such file or directory" in ran.stderr
    assert "QVL_SSH" in ran.stderr


def test_without_a_daemon_it_says_where_it_looked(sshd: Sshd, tmp_path: Path) -> None:
    ran = qvlctl(sshd, "--host", "box", "--socket", tmp_path / "none.sock", "status")
    assert ran.code == 3
    assert f"error: no daemon is running on box: there is no socket {tmp_path}/none.sock\n" in ran.err
    assert "hint: start it there" in ran.err


def test_a_socket_that_nobody_listens_on(sshd: Sshd, tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    ran = qvlctl(sshd, "--host", "box", "--socket", path, "status")
    assert ran.code == 3
    assert f"error: no daemon answers at {path} on box\n" in ran.err
    assert "ssh box systemctl status qvl-supervisor" in ran.err


def test_it_is_found_where_the_other_side_says(daemon: Daemon) -> None:
    needed()
    with Sshd(f"SetEnv QVL_SOCKET={daemon.socket}") as sshd:
        ran = qvlctl(sshd, "--host", "box", "status")
        assert (ran.code, "chat-0" in ran.out) == (0, True)


def test_a_host_that_forwards_nothing_is_told(daemon: Daemon) -> None:
    needed()
    with Sshd("AllowStreamLocalForwarding no") as sshd:
        ran = qvlctl(sshd, "--host", "box", "--socket", daemon.socket, "status")
        assert ran.code == 3
        assert "AllowStreamLocalForwarding" in ran.err


def test_a_viewer_reads_by_the_view_socket_and_may_not_act(sshd: Sshd, tmp_path: Path) -> None:
    control = FakeControl()
    with serve(control, tmp_path / "s.sock") as served:
        (tmp_path / "s.sock").rename(tmp_path / "out-of-reach")
        name = tmp_path / "s.sock"
        ran = qvlctl(sshd, "--host", "box", "--socket", name, "status")
        assert (ran.code, "qwen3-vl-0" in ran.out) == (0, True)
        ran = qvlctl(sshd, "--host", "box", "--socket", name, "stop", "all", "--no-wait")
        assert ran.code == 1
        assert "the view socket answers reads only" in ran.err
        assert control.acts == []
        served.socket.with_name("out-of-reach").rename(name)


@pytest.fixture
def following(sshd: Sshd, daemon: Daemon) -> Iterator[subprocess.Popen[str]]:
    """`events -f`, past its beginning."""
    words = [str(QVLCTL), "--host", "box", "--socket", str(daemon.socket), "events", "-f"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=sshd.environment(), stdout=pipe, stderr=pipe, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline()
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                running.kill()


def test_a_stream_outlives_its_connection(sshd: Sshd, daemon: Daemon, following: subprocess.Popen[str]) -> None:
    assert following.stderr is not None
    assert following.stdout is not None
    before = sshd.log_ins
    sshd.cut()
    told = following.stderr.readline()
    assert re.match(r"the connection to box is lost: |the daemon at \S+ on box broke off: ", told), told
    assert told.endswith("; waiting for it to come back\n")
    newest = daemon.events()[-1]["seq"]
    assert qvlctl(sshd, "--socket", daemon.socket, "restart", "chat-0").code == 0
    while int(following.stdout.readline().split()[0]) <= newest:
        pass
    assert sshd.log_ins > before
    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 130


def test_killed_it_leaves_no_ssh_and_no_directory(sshd: Sshd, following: subprocess.Popen[str]) -> None:
    assert sum("ssh" in one for one in sshd.left()) >= 2, "ssh, and its keeper"
    assert sshd.sessions()
    following.kill()
    wait_until(lambda: not sshd.left(), 5, "nothing is left")
    wait_until(lambda: not sshd.sessions(), 5, "no session on the other side")


def test_a_master_of_the_user_is_used_and_left_alone(sshd: Sshd, daemon: Daemon) -> None:
    def master(*words: str) -> int:
        ssh = ["ssh", "-F", str(sshd.config), "-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes"]
        # A master in the background keeps what it was given as stderr.
        return subprocess.run([*ssh, *words, "box"], check=False, stdin=NULL, stdout=NULL, stderr=NULL).returncode

    assert master("-MNf") == 0
    try:
        before = sshd.log_ins
        for _ in range(2):
            assert qvlctl(sshd, "--host", "box", "--socket", daemon.socket, "status").code == 0
        assert sshd.log_ins == before
        assert sshd.left() == []
        assert master("-O", "check") == 0
    finally:
        assert master("-O", "exit") == 0

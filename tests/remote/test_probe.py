"""Where a host's sockets are: the script in every shell that is here, and what is made of its answer."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.client.ssh import command, probe
from qvl.model.error import ErrorCode, QvlError

SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where anybody may look, and sockets fit."""
    made = Path(tempfile.mkdtemp(prefix="qvl-p-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def sockets(directory: Path, *names: str, mode: int = 0o666) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(directory / name))
        (directory / name).chmod(mode)


def ask(shell: str, wanted: Path | None, env: dict[str, str], user: str | None = None) -> list[probe.Found]:
    """What the script answers; its stdin ends, so it ends."""
    words = [shell, "sh"] if shell == "busybox" else [shell]
    account = None if user is None else pwd.getpwnam(user).pw_uid
    script = probe.script(None if wanted is None else str(wanted))
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env}
    ran = subprocess.run(words, input=script, env=env, user=account, capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    assert ran.stderr == ""
    assert probe.END in lines
    return probe.parse(["welcome to the machine", *lines])


@pytest.mark.parametrize("shell", SHELLS)
def test_a_socket_that_is_named(shell: str, place: Path) -> None:
    sockets(place / "it's $HOME", "s.sock", "view.sock")
    named = place / "it's $HOME" / "s.sock"
    assert probe.choose("box", ask(shell, named, {})) == str(named)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_usual_places(shell: str, place: Path) -> None:
    kept = place / ".local/state/qvl/run"
    sockets(kept, "supervisor.sock")
    env = {"HOME": str(place)}
    found = [one.path for one in ask(shell, None, env)]
    assert found[0] == "/run/qvl/supervisor.sock"
    assert str(kept / "supervisor.sock") in found
    sockets(place / "run/qvl", "supervisor.sock")
    env |= {"XDG_RUNTIME_DIR": str(place / "run")}
    usable = [one.path for one in ask(shell, None, env) if one.state == probe.OPEN and str(place) in one.path]
    assert usable == [str(place / "run/qvl/supervisor.sock"), str(kept / "supervisor.sock")]
    env |= {"QVL_SOCKET": str(kept / "supervisor.sock")}
    assert probe.choose("box", ask(shell, None, env)) == str(kept / "supervisor.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's eyes are root's to borrow")
def test_a_viewer_is_led_to_the_view_socket_and_a_stranger_to_none(place: Path) -> None:
    sockets(place / "qvl", "s.sock", mode=0o600)
    sockets(place / "qvl", "view.sock")
    named = place / "qvl/s.sock"
    assert probe.choose("box", ask("sh", named, {}, user="nobody")) == str(place / "qvl/view.sock")
    (place / "qvl/view.sock").chmod(0o600)
    with pytest.raises(QvlError) as refused:
        probe.choose("box", ask("sh", named, {}, user="nobody"))
    assert refused.value.message == f"the user at box may not connect to {named}"
    assert refused.value.code is ErrorCode.UNREACHABLE


def test_a_file_is_no_socket(place: Path) -> None:
    (place / "s.sock").touch()
    with pytest.raises(QvlError, match=r"no daemon is running on box: there is no socket .*/s\.sock$"):
        probe.choose("box", ask("sh", place / "s.sock", {}))


def test_acts_before_reads_and_the_first_before_the_second() -> None:
    found = [
        probe.Found(probe.SHUT, "/run/qvl/supervisor.sock"),
        probe.Found(probe.OPEN, "/run/qvl/view.sock"),
        probe.Found(probe.OPEN, "/home/a/supervisor.sock"),
        probe.Found(probe.OPEN, "/home/b/supervisor.sock"),
    ]
    assert probe.choose("box", found) == "/home/a/supervisor.sock"
    assert probe.choose("box", found[:2]) == "/run/qvl/view.sock"


def test_the_users_client_is_run_with_the_users_words() -> None:
    assert command.program({}) == ["ssh"]
    assert command.program({"QVL_SSH": "ssh -F '/my conf'"}) == ["ssh", "-F", "/my conf"]
    settings = ["host box", "controlpath none", "connecttimeout 7"]
    assert command.setting(settings, "controlpath") is None
    assert command.setting(settings, "connecttimeout") == "7"


@pytest.mark.parametrize("prompts", [True, False])
def test_nobody_is_asked_over_an_interface(prompts: bool) -> None:
    words = command.connect("box", "/c", master=True, prompts=prompts, patience=None)
    assert ("BatchMode=yes" in words) is not prompts
    assert words[words.index("--") :] == ["--", "box", "exec sh"]


def test_what_would_have_needed_a_user() -> None:
    assert command.needs_prompt("a@b: Permission denied (publickey,password).")
    assert command.needs_prompt("Host key verification failed.")
    assert not command.needs_prompt("ssh: connect to host b port 22: Connection refused")

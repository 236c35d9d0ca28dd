import grp
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.api.socket import Group, Listener, listen
from qvl.model.error import ErrorCode, QvlError

MINE = Group(grp.getgrgid(os.getegid()).gr_name)
NONE = Group("qvl-no-such-group")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    old = os.umask(request.param)
    yield
    os.umask(old)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "supervisor.sock"


def refused(path: Path, group: Group = NONE) -> QvlError:
    with pytest.raises(QvlError) as caught:
        listen(path, group)
    assert caught.value.hint
    return caught.value


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_is_open_to_owner_and_group_whatever_the_umask(path: Path) -> None:
    listener = listen(path, MINE)
    try:
        assert mode(path) == 0o660
        assert path.stat().st_gid == os.getegid()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    finally:
        listener.close()


# Binds sys.argv[1], and stops between bind and chmod, where the interpreter's audit events let us look.
HALFWAY = """
import os, stat, sys
from pathlib import Path
from qvl.api.socket import Group, listen
from qvl.model.error import QvlError

path, pause = Path(sys.argv[1]), sys.argv[2] == "pause"

def watch(event, arguments):
    if event == "os.chmod" and str(arguments[0]) == str(path):
        print("born", oct(stat.S_IMODE(os.stat(path).st_mode)), flush=True)
        if pause:
            sys.stdin.readline()
    elif event == "fcntl.flock":
        print("locks", flush=True)

os.umask(0)
sys.addaudithook(watch)
try:
    listener = listen(path, Group("qvl-no-such-group"))
    print("won", flush=True)
    sys.stdin.readline()
    listener.close()
except QvlError as error:
    print(error.message, flush=True)
"""


def halfway(path: Path, pause: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HALFWAY, str(path), pause]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(daemon: subprocess.Popen[str], word: str) -> str:
    assert daemon.stdout is not None
    while line := daemon.stdout.readline():
        if word in line:
            return line.strip()
    raise AssertionError(f"never said {word}")


def go_on(daemon: subprocess.Popen[str]) -> None:
    assert daemon.stdin is not None
    daemon.stdin.write("\n")
    daemon.stdin.flush()


def test_a_socket_is_born_closed_to_others(path: Path) -> None:
    """Not even under umask 0 is there a moment in which anybody can connect."""
    with halfway(path, "run") as daemon:
        assert said(daemon, "born") == "born 0o600"
        go_on(daemon)


def test_of_two_that_start_together_one_waits_for_the_other(path: Path) -> None:
    """A socket that is bound and does not listen yet looks stale; it must not be taken for it."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with halfway(path, "pause") as first:
        said(first, "born")
        with halfway(path, "run") as second:
            said(second, "locks")
            go_on(first)
            said(first, "won")
            assert said(second, "served") == f"{path} is already served by pid {first.pid}"
        go_on(first)


@pytest.mark.usefixtures("umask")
def test_makes_the_directory_so_that_both_groups_get_through(tmp_path: Path) -> None:
    path = tmp_path / "run" / "qvl" / "supervisor.sock"
    listen(path, NONE).close()
    assert mode(path.parent) == 0o755
    assert mode(path.parent.parent) == 0o755


def test_leaves_a_directory_that_is_there_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    listen(tmp_path / "a.sock", NONE).close()
    assert mode(tmp_path) == 0o700


def test_a_default_group_that_is_missing_is_a_note(path: Path) -> None:
    listener = listen(path, NONE)
    listener.close()
    assert listener.gid is None
    assert "qvl-no-such-group" in listener.notes[0]


def test_a_configured_group_that_is_missing_is_an_error(path: Path) -> None:
    error = refused(path, Group("qvl-no-such-group", configured=True))
    assert 'group "qvl-no-such-group" does not exist' in error.message
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to any group")
def test_belongs_to_the_group(path: Path) -> None:
    other = next(found for found in grp.getgrall() if found.gr_gid not in (0, os.getegid()))
    listener = listen(path, Group(other.gr_name))
    try:
        assert path.stat().st_gid == listener.gid == other.gr_gid
    finally:
        listener.close()


def test_a_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    listener = listen(path, NONE)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    finally:
        listener.close()


def test_a_living_server_is_refused_and_named(path: Path) -> None:
    script = (
        "import socket, sys; sock = socket.socket(socket.AF_UNIX); sock.bind(sys.argv[1]); sock.listen(0)\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        error = refused(path)
        assert error.code is ErrorCode.CONFLICT
        assert f"pid {other.pid}" in error.message
        # Its backlog is full of our first try: it lives all the same, and must not keep us waiting.
        assert "already served" in refused(path).message
        assert path.is_socket()
        other.communicate(b"")


def test_a_socket_of_another_kind_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(path))
        assert refused(path).code is ErrorCode.CONFLICT
    assert path.is_socket()


def test_what_is_not_a_socket_is_refused_and_kept(path: Path, tmp_path: Path) -> None:
    path.write_text("precious")
    assert "is not a socket" in refused(path).message
    assert path.read_text() == "precious"
    link = tmp_path / "link.sock"
    link.symlink_to(path)
    assert "is not a socket" in refused(link).message
    assert link.is_symlink()


def test_a_path_that_the_kernel_can_not_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 108)
    error = refused(path)
    assert f"{len(str(path))} bytes" in error.message
    assert "107" in error.message


def test_the_longest_path_works(tmp_path: Path) -> None:
    path = tmp_path / ("x" * (107 - len(str(tmp_path)) - 1))
    assert len(str(path)) == 107
    listen(path, NONE).close()


def test_a_directory_that_can_not_be_made_or_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "not a directory" in refused(tmp_path / "file" / "a.sock").message
    assert "can't make /proc/qvl" in refused(Path("/proc/qvl/a.sock")).message


@pytest.mark.skipif(os.geteuid() != 0, reason="root has to become another user")
def test_an_unwritable_directory_is_refused() -> None:
    script = (
        "import os; from pathlib import Path\n"
        "from qvl.api.socket import Group, listen; from qvl.model.error import QvlError\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: listen(Path('/usr/a.sock'), Group('x'))\n"
        "except QvlError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "can't bind /usr/a.sock: permission denied"


def test_close_removes_its_own_socket_only(path: Path) -> None:
    listener = listen(path, NONE)
    listener.close()
    assert not path.exists()
    listener.close()

    first = listen(path, NONE)
    path.unlink()
    second: Listener = listen(path, NONE)
    first.close()
    assert path.is_socket(), "the socket of the second server was removed"
    second.close()
    assert not path.exists()

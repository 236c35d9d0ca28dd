import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from qvl.api.control import Actor, Role
from qvl.api.peer import Access, actor_of, command_name, credentials, supplementary_groups, unpack_groups, user_name
from qvl.model.error import ErrorCode

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root has to become another user")
ACCESS = Access("qvl", 4242, uid=1000)


@pytest.mark.parametrize(
    ("uid", "groups", "role"),
    [
        (0, set(), Role.OPERATOR),
        (1000, set(), Role.OPERATOR),
        (1001, {4242}, Role.OPERATOR),
        (1001, {1001, 4241}, Role.VIEWER),
    ],
)
def test_who_may_act(uid: int, groups: set[int], role: Role) -> None:
    assert ACCESS.role(uid, frozenset(groups)) is role


def test_nobody_is_a_member_of_a_group_that_is_not_there() -> None:
    assert Access("qvl", None, uid=1000).role(1001, frozenset({0, 1001})) is Role.VIEWER


def test_a_refusal_names_user_group_and_mend() -> None:
    actor = Actor(uid=1001, gid=1001, pid=1, role=Role.VIEWER, user="alice")
    error = ACCESS.refusal(actor)
    assert error.code is ErrorCode.FORBIDDEN
    assert error.message == 'alice (uid 1001) may look but not act: not in group "qvl"'
    assert error.hint is not None
    assert "usermod -aG qvl alice" in error.hint
    missing = Access("qvl", None, uid=1000).refusal(actor)
    assert "does not exist" in missing.message
    assert missing.hint is not None
    assert missing.hint.startswith("sudo groupadd --system qvl && sudo usermod -aG qvl alice")


@pytest.mark.parametrize(
    ("raw", "groups"),
    [
        (b"", set()),
        (struct.pack("=3I", 4, 27, 4294967294), {4, 27, 4294967294}),
        (struct.pack("=I", 7) + b"\1\2", {7}),
    ],
)
def test_groups_are_an_array_of_gid_t(raw: bytes, groups: set[int]) -> None:
    assert unpack_groups(raw) == groups


def test_the_kernel_says_who_is_there() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert credentials(ours) == (os.geteuid(), os.getegid(), os.getpid())
        assert supplementary_groups(ours) == set(os.getgroups())
        actor = actor_of(ours, Access("qvl", None, os.geteuid()), view=False)
        assert actor.role is Role.OPERATOR
        assert actor.command == Path("/proc/self/comm").read_text().strip()
        assert actor_of(ours, Access("qvl", None, os.geteuid()), view=True).role is Role.VIEWER


@needs_root
@pytest.mark.parametrize("count", [0, 1, 31, 256, 257, 3000])
def test_all_groups_are_seen(count: int, tmp_path: Path) -> None:
    wanted = range(5000, 5000 + count)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "a.sock"))
        listener.listen()
        script = (
            "import os,socket,sys; os.setgroups(eval(sys.argv[2])); socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.sock"), repr(list(wanted))], check=True)
        peer, _ = listener.accept()
        with peer:
            assert supplementary_groups(peer) == set(wanted)


def test_a_command_can_not_forge_a_log_line() -> None:
    script = r"open('/proc/self/comm','w').write('a\nuid=0 \x1b[2J'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert command_name(child.pid) == "a?uid=0 ?[2J"
        child.communicate(b"\n")
    assert command_name(child.pid) == ""


def test_a_uid_without_a_name_has_none() -> None:
    assert user_name(0) == "root"
    assert user_name(3_999_999_999) == ""

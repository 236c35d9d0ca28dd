"""Who may connect, look and act: real users on real sockets."""

import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.api.control import Role
from qvl.api.socket import Group

from tests.api.wire import Answer, open_directory, parse, request_bytes
from tests.fakes import FakeControl, Served, serve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root has to become another user")

NOBODY = pwd.getpwnam("nobody")
OPERATORS, VIEWERS = [found for found in grp.getgrall() if found.gr_gid not in (0, NOBODY.pw_gid)][:2]

# Drops root, then copies a request from stdin to the socket and the answer to stdout.
CLIENT = f"""
import os, socket, sys
path, groups = sys.argv[1], eval(sys.argv[2])
request = sys.stdin.buffer.read()
os.setgroups(groups); os.setgid({NOBODY.pw_gid}); os.setuid({NOBODY.pw_uid})
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(path)
except PermissionError:
    sys.exit(13)
sock.sendall(request)
while piece := sock.recv(65536):
    sys.stdout.buffer.write(piece)
"""


@pytest.fixture
def served() -> Iterator[Served]:
    operators, viewers = Group(OPERATORS.gr_name), Group(VIEWERS.gr_name)
    with (
        open_directory() as directory,
        serve(FakeControl(), directory / "s.sock", group=operators, view_group=viewers) as running,
    ):
        yield running


def ask_as(groups: list[int], path: Path, method: str, target: str) -> Answer:
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(path), repr(groups)],
        input=request_bytes(method, target, None, "connection: close"),
        capture_output=True,
        timeout=20,
        check=False,
    )
    if done.returncode == 13:
        raise PermissionError(path)
    assert done.returncode == 0, done.stderr
    return parse(done.stdout)


def test_a_member_of_the_operator_group_acts(served: Served) -> None:
    answer = ask_as([OPERATORS.gr_gid], served.socket, "POST", "/v1/pools/chat/stop")
    assert answer.status == 202
    (act,) = served.call(lambda: list(served.control.acts))
    assert (act.actor.uid, act.actor.user, act.actor.role) == (NOBODY.pw_uid, "nobody", Role.OPERATOR)
    assert act.actor.command.startswith("python")


def test_others_can_not_connect(served: Served) -> None:
    with pytest.raises(PermissionError):
        ask_as([VIEWERS.gr_gid], served.socket, "GET", "/v1/status")
    with pytest.raises(PermissionError):
        ask_as([OPERATORS.gr_gid], served.view, "GET", "/v1/status")
    with pytest.raises(PermissionError):
        ask_as([], served.view, "GET", "/v1/status")


def test_a_member_of_the_viewer_group_looks(served: Served) -> None:
    assert ask_as([VIEWERS.gr_gid], served.view, "GET", "/v1/status").status == 200
    answer = ask_as([VIEWERS.gr_gid], served.view, "POST", "/v1/pools/chat/stop")
    assert answer.status == 403
    error = answer.json["error"]
    assert isinstance(error, dict)
    assert f'nobody (uid {NOBODY.pw_uid}) may look but not act: not in group "{OPERATORS.gr_name}"' in error["message"]
    assert f"usermod -aG {OPERATORS.gr_name} nobody" in error["hint"]


def test_who_could_connect_for_another_reason_is_a_viewer(served: Served) -> None:
    served.socket.chmod(0o666)
    assert ask_as([], served.socket, "GET", "/v1/whoami").json["role"] == "viewer"
    for method, target in [
        ("POST", "/v1/workers/chat-0/stop"),
        ("POST", "/v1/pools/chat/stop"),
        ("POST", "/v1/pools/chat/switch"),
        ("DELETE", "/v1/pools/chat/switch"),
        ("POST", "/v1/plans"),
        ("POST", "/v1/plans/p1/apply"),
        ("POST", "/v1/daemon/restart"),
    ]:
        answer = ask_as([], served.socket, method, target)
        assert (answer.status, answer.error[0]) == (403, "forbidden"), target
    assert served.call(lambda: served.control.acts) == []


def test_an_operator_on_the_view_socket_only_looks(served: Served) -> None:
    served.view.chmod(0o666)
    assert ask_as([OPERATORS.gr_gid], served.view, "POST", "/v1/pools/chat/stop").status == 403

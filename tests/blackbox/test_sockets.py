"""The daemon's sockets: one daemon each, and no client can slow it down."""

import json
import os
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from qvl.client.sync import Client
from qvl.model.error import ErrorCode, QvlError

from tests.blackbox.harness import Daemon, args, pool
from tests.support import wait_until


def connect(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(10)
    found.connect(str(path))
    return found


def everything(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_a_second_daemon_is_refused_by_name(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        pid = daemon.start().ready()["pid"]
        first = daemon.process
        assert first is not None
        for other in (str(daemon.socket), str(daemon.socket.with_name("other.sock"))):
            arguments = daemon.arguments()
            arguments[arguments.index("--socket") + 1] = other
            second = daemon.spawn(*arguments)
            daemon.process = first
            assert second.wait(15) == 1
        said = daemon.said()
        assert said.count(f"another qvl-supervisor with pid {first.pid} runs on state directory {daemon.state}") == 2
        assert "hint: " in said
        assert daemon.ready()["pid"] == pid
        assert daemon.socket.exists()


def test_a_second_daemon_with_its_own_state_on_the_same_socket(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        first = daemon.process
        assert first is not None
        arguments = daemon.arguments()
        arguments[arguments.index("--state-dir") + 1] = str(tmp_path / "state2")
        second = daemon.spawn(*arguments)
        daemon.process = first
        assert second.wait(15) == 1
        assert f"already served by pid {first.pid}" in daemon.said()
        assert daemon.ready()["ready"]


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        daemon.kill()
        assert stat.S_ISSOCK(daemon.socket.stat().st_mode)
        daemon.start().ready()


def test_a_file_in_its_place_is_not(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.socket.write_text("precious")
        assert daemon.spawn().wait(15) == 1
        assert "is not a socket" in daemon.said()
        assert daemon.socket.read_text() == "precious"


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        arguments = daemon.arguments()
        arguments[arguments.index("--socket") + 1] = "/tmp/" + "x" * 110 + "/s.sock"
        assert daemon.spawn(*arguments).wait(15) == 1
        said = daemon.said()
        assert "107" in said
        assert "hint: " in said


@pytest.mark.parametrize("what", ["socket", "state", "logs"])
def test_a_place_that_can_not_be_written(what: str, tmp_path: Path) -> None:
    """/proc takes nothing, from root neither."""
    with Daemon(tmp_path) as daemon:
        option = {"socket": "--socket", "state": "--state-dir", "logs": "--log-dir"}[what]
        arguments = daemon.arguments()
        arguments[arguments.index(option) + 1] = f"/proc/qvl/{what}"
        if what != "logs":
            assert daemon.spawn(*arguments).wait(15) == 1
            said = daemon.said()
            assert f"/proc/qvl{'/state' if what == 'state' else ''}" in said
            assert "hint: " in said
            assert "Traceback" not in said
            return
        daemon.spawn(*arguments)
        wait_until(daemon.answers, 15, "the daemon answers all the same")
        worker = daemon.in_phase("failed")
        assert "/proc/qvl" in (worker["reason"] or "")


def test_the_state_directory_outlives_its_logs(tmp_path: Path) -> None:
    """A log directory that somebody removes comes back with the next start."""
    import shutil

    with Daemon(tmp_path) as daemon:
        pid = daemon.start().ready()["pid"]
        shutil.rmtree(daemon.logs)
        daemon.client.act("restart", "chat-0", pool=False)
        daemon.ready(not_pid=pid)
        assert b"fired up" in daemon.log()


def test_200_clients_at_once(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        mute = [connect(daemon.socket) for _ in range(50)]
        answers: list[bytes] = []

        def client() -> None:
            with connect(daemon.socket) as sock:
                sock.settimeout(60)
                sock.sendall(b"GET /v1/status HTTP/1.1\r\nhost: qvl\r\nconnection: close\r\n\r\n")
                answers.append(everything(sock))

        threads = [threading.Thread(target=client) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for sock in mute:
            sock.close()
        assert len(answers) == 200
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
        assert daemon.ready()["restarts"] == 0


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"GET",
        b"\x00" * 5000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"POST /v1/plans HTTP/1.1\r\nhost: q\r\ncontent-length: 5\r\n\r\n{{{{{",
        b"GET /v1/events?since=-1 HTTP/1.1\r\nhost: q\r\n\r\n",
        b"GET /v1/workers/%ff%00..%2f..%2fetc/log HTTP/1.1\r\nhost: q\r\n\r\n",
        b"BREW /v1/status HTTP/1.1\r\nhost: q\r\n\r\n",
        b"GET " + b"/x" * 100_000 + b" HTTP/1.1\r\nhost: q\r\n\r\n",
    ],
    ids=range(9),
)
def test_garbage_is_answered_or_hung_up_on(words: bytes, tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(autostart=False)) as daemon:
        daemon.start()
        with connect(daemon.socket) as sock:
            try:
                sock.sendall(words)
                sock.shutdown(socket.SHUT_WR)
                answer = everything(sock)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""
            assert not answer.startswith(b"HTTP/1.1 2")
            assert b"Traceback" not in answer
            assert not answer.startswith(b"HTTP/1.1 5")
        assert daemon.worker()["phase"] == "stopped"


def test_the_event_stream(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        seq = daemon.events()[-1]["seq"]
        with daemon.client.open("GET", "/v1/events?since=2") as response:
            frames: list[Any] = [json.loads(response.line())]
            assert frames[0]["type"] == "snapshot"
            assert frames[0]["status"]["workers"][0]["name"] == "chat-0"
            assert frames[0]["seq"] == seq
            while frames[-1].get("seq") != seq or len(frames) == 1:
                frames.append(json.loads(response.line()))
            assert [frame["seq"] for frame in frames[1:]] == list(range(3, seq + 1))
            daemon.client.act("stop", "chat-0", pool=False)
            moves = []
            while "stopped" not in moves:
                frame = json.loads(response.line())
                if frame.get("kind") == "worker.phase":
                    moves.append(frame["data"]["to"])
            assert moves == ["stopping", "releasing", "stopped"]
            quiet = time.monotonic()
            while json.loads(response.line())["type"] != "heartbeat":
                assert time.monotonic() - quiet < 20
            daemon.stop()
            assert response.body() is not None  # the stream ends, it does not break off


def test_events_are_numbered_over_restarts(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        seq = daemon.events()[-1]["seq"]
        daemon.kill()
        daemon.start()
        numbers = [event["seq"] for event in daemon.events()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > seq


def test_a_reader_that_sleeps_keeps_nobody_waiting(tmp_path: Path) -> None:
    with Daemon(
        tmp_path, args(sim_fail="unknown"), pool(restart={"backoff": "0.01s", "backoff_max": "0.01s"})
    ) as daemon:
        daemon.start()
        sleepers = [connect(daemon.socket) for _ in range(20)]
        for sock in sleepers:
            sock.sendall(b"GET /v1/events?since=0&changes=1 HTTP/1.1\r\nhost: q\r\n\r\n")
        for _ in range(30):
            began = time.monotonic()
            daemon.client.status()
            assert time.monotonic() - began < 2
        for sock in sleepers:
            sock.close()


def test_the_view_socket_only_looks(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        pid = daemon.start().ready()["pid"]
        viewer = Client(str(daemon.socket.with_name("view.sock")))
        assert viewer.status()["workers"][0]["pid"] == pid
        assert viewer.raw("/v1/workers/chat-0/log")
        for act in (
            lambda: viewer.act("stop", "chat-0", pool=False),
            lambda: viewer.act("stop", "all", pool=True),
            lambda: viewer.switch("chat", None),
            lambda: viewer.plan(),
            viewer.restart_daemon,
        ):
            with pytest.raises(QvlError) as info:
                act()
            assert info.value.code is ErrorCode.FORBIDDEN
        assert daemon.worker()["wanted"] == "up"


def test_each_act_is_on_record_with_who_did_it(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        daemon.client.act("restart", "chat-0", pool=False)
        act = next(event for event in daemon.events() if event["kind"] == "act")
        assert (act["data"]["uid"], act["data"]["pid"]) == (os.getuid(), os.getpid())
        assert act["worker"] == "chat-0"


def test_curl(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        words = ["curl", "-sS", "--unix-socket", str(daemon.socket), "http://qvl/v1/status"]
        done = subprocess.run(words, capture_output=True, timeout=10, check=True)
        assert json.loads(done.stdout)["version"] == 1


def test_a_configured_group_has_to_exist(tmp_path: Path) -> None:
    with Daemon(tmp_path, {"supervisor": {"operator_group": "no-such-group"}}) as daemon:
        assert daemon.spawn().wait(15) == 78
        assert "operator_group" in daemon.said()
        assert '"no-such-group"' in daemon.said()

"""From nothing to a worker that serves, and the document that tells of it."""

import datetime
import os
import re
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.harness import Daemon, args, ask, command, complete, pool
from tests.support import wait_until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

NUMBER = (int, float)
NOTHING = type(None)

SUPERVISOR = {"pid": int, "version": str, "started_at": TIME, "config": dict}
CONFIG = {"path": str, "revision": str, "applied": str, "error": NOTHING, "pending": bool}
POOL = {
    "name": str,
    "profile": str,
    "override": NOTHING,
    "endpoint": str,
    "ready": int,
    "total": int,
    "switch": NOTHING,
}
WORKER = {
    "name": str,
    "pool": str,
    "profile": str,
    "engine": str,
    "wanted": str,
    "phase": str,
    "ready": bool,
    "pid": int,
    "gpus": list,
    "port": int,
    "endpoint": str,
    "since": TIME,
    "restarts": int,
    "next_start_at": NOTHING,
    "reason": NOTHING,
    "drift": list,
    "progress": NOTHING,
    "last_exit": NOTHING,
    "metrics": dict,
}
METRICS = {"running": int, "queued": int, "tokens_per_s": NUMBER, "kv_usage": NUMBER}
GPU = {
    "index": int,
    "uuid": str,
    "name": str,
    "memory_used": int,
    "memory_total": int,
    "utilization": NUMBER,
    "temperature": NUMBER,
    "power": NUMBER,
    "health": str,
}
EXIT = {"at": TIME, "code": NOTHING, "signal": int, "cause": str, "evidence": str, "hint": (str, NOTHING)}


def assert_shape(document: Any, shape: dict[str, Any]) -> None:
    """The fields in the documented order, each of its type; further ones may follow."""
    assert list(document)[: len(shape)] == list(shape)
    for field, kind in shape.items():
        value = document[field]
        if isinstance(kind, re.Pattern):
            assert kind.fullmatch(value), (field, value)
        else:
            assert isinstance(value, kind), (field, value)
            assert isinstance(value, bool) is (kind is bool), (field, value)


def test_the_status_document(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        daemon.until(lambda w: w["metrics"]["tokens_per_s"] is not None, "figures of two looks")
        status: Any = daemon.status
        assert set(status) >= {"version", "supervisor", "pools", "workers", "gpus"}
        assert status["version"] == 1
        assert_shape(status["supervisor"], SUPERVISOR)
        assert_shape(status["supervisor"]["config"], CONFIG)
        assert_shape(status["pools"][0], POOL)
        assert_shape(status["workers"][0], WORKER)
        assert_shape(status["workers"][0]["metrics"], METRICS)
        for gpu in status["gpus"]:
            assert_shape(gpu, GPU)
        assert daemon.process is not None
        assert status["supervisor"]["pid"] == daemon.process.pid
        assert status["supervisor"]["config"]["path"] == str(daemon.config_file)
        assert status["supervisor"]["config"]["revision"] == status["supervisor"]["config"]["applied"]
        endpoint = f"http://127.0.0.1:{daemon.port}"
        assert status["pools"][0]["endpoint"] == endpoint
        assert (status["pools"][0]["ready"], status["pools"][0]["total"]) == (1, 1)
        worker = status["workers"][0]
        assert (worker["name"], worker["engine"], worker["wanted"], worker["phase"]) == (
            "chat-0",
            "sim",
            "up",
            "running",
        )
        assert (worker["gpus"], worker["port"], worker["endpoint"]) == ([0], daemon.port, endpoint)
        assert (worker["restarts"], worker["drift"]) == (0, [])
        since = datetime.datetime.fromisoformat(worker["since"])
        assert abs(datetime.datetime.now(datetime.UTC) - since) < datetime.timedelta(seconds=30)


def test_pid_is_the_engines_root_and_not_ours(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        pid = daemon.start().ready()["pid"]
        assert b"qvl.simulator" in Path(f"/proc/{pid}/cmdline").read_bytes()
        shim = daemon.shim_pid()
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(shim)


def test_it_serves(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        status, answer = complete(daemon.port)
        assert status == 200
        assert answer["choices"][0]["message"]["content"]


def test_figures_of_gpus(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        gpus = wait_until(lambda: (g := daemon.status["gpus"])[0]["memory_used"] and g, 10, "memory in use")
        assert gpus
        assert [gpu["index"] for gpu in gpus] == [0, 1, 2, 3]
        assert (gpus[0]["memory_used"] or 0) > 10 << 30
        assert gpus[1]["memory_used"] == 0
        assert {gpu["health"] for gpu in gpus} == {"ok"}
        assert all(0 <= (gpu["utilization"] or 0) <= 1 for gpu in gpus)


def test_a_start_moves_on_while_its_engine_says_nothing_and_a_mute_one_is_a_stall_all_the_same(tmp_path: Path) -> None:
    mute = command("exec sleep 60", ready="/health")
    way = pool(health={"stall_timeout": "4s"}, restart={"causes": {"start-stalled": "never"}})
    with Daemon(tmp_path, mute, way) as daemon:
        daemon.start()
        daemon.until(lambda w: (far := w["progress"]) and (far["percent"] or 0) >= 5, "that it has come further")
        worker = daemon.in_phase("failed")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "start-stalled"
        assert worker["progress"] is None


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(autostart=False)) as daemon:
        worker = daemon.start().in_phase("stopped")
        assert worker["pid"] is None
        assert worker["ready"] is False
        assert set(worker["metrics"].values()) == {None}
        Path(daemon.state, "simulated-gpus", "gpu3.lost").touch()
        gpu = wait_until(lambda: (g := daemon.status["gpus"][3])["health"] == "lost" and g, 15, "a lost card")
        assert gpu
        assert {gpu[field] for field in ("memory_used", "utilization", "temperature", "power")} == {None}


def test_progress_of_a_start(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_load_seconds=2)) as daemon:
        daemon.start()
        worker = daemon.until(lambda w: w["progress"] and w["progress"]["step"] == "weights", "loading weights")
        assert worker["phase"] == "starting"
        assert not worker["ready"]
        assert worker["progress"] is not None
        assert 0 <= (worker["progress"]["percent"] or 0) <= 100
        assert daemon.ready()["progress"] is None


def test_no_completion_is_promised_too_soon(tmp_path: Path) -> None:
    """Ready means that a request would be answered now: the first one after it is."""
    with Daemon(tmp_path, args(sim_load_seconds=0.5), pool(gpus=3)) as daemon:
        daemon.start()
        for index in range(3):
            daemon.ready(f"chat-{index}")
            assert complete(daemon.port + index)[0] == 200
        assert daemon.pool()["endpoint"] is None
        assert [worker["gpus"] for worker in daemon.status["workers"]] == [[0], [1], [2]]


def test_tensor_parallel_groups(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(tp=2), pool(gpus="all")) as daemon:
        daemon.start()
        daemon.ready("chat-0")
        daemon.ready("chat-1")
        assert [worker["gpus"] for worker in daemon.status["workers"]] == [[0, 1], [2, 3]]
        _, info = ask(daemon.port, "GET", "/server_info")
        assert info["tp_size"] == 2


def test_modes_of_what_it_writes(tmp_path: Path) -> None:
    old = os.umask(0)  # whatever the umask is that it inherits
    try:
        with Daemon(tmp_path) as daemon:
            daemon.start().ready()
            daemon.client.act("stop", "chat-0", pool=False)
            daemon.in_phase("stopped")
            daemon.client.act("start", "chat-0", pool=False)
            daemon.ready()
            daemon.edit(pool(restart={"max_restarts": 3}))
            daemon.applied()
            for folder, of_folder, of_file in ((daemon.state, 0o700, 0o600), (daemon.logs, 0o750, 0o640)):
                for path in (folder, *folder.rglob("*")):
                    mode = path.lstat().st_mode
                    if "simulated-gpus" in path.parts or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                        continue  # in a folder that is the owner's alone, or a link to one of these
                    assert stat.S_IMODE(mode) == (of_folder if stat.S_ISDIR(mode) else of_file), path
            for sock in (daemon.socket, daemon.socket.with_name("view.sock")):
                assert stat.S_IMODE(sock.lstat().st_mode) == 0o660
    finally:
        os.umask(old)


@pytest.mark.parametrize("sign", ["SIGTERM", "SIGINT"])
def test_it_ends_with_0_when_asked(sign: str, tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        assert daemon.process is not None
        daemon.process.send_signal(signal.Signals[sign])
        assert daemon.process.wait(20) == 0
        assert not daemon.processes()
        assert not daemon.socket.exists()

"""A pool behind the real sglang-router: nobody notices a switch, an edit, a new daemon. What a crash costs is told."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from qvl.client.documents import GatewayDoc

from benchmarks.openai_load import Load
from tests.blackbox.harness import Daemon, Table, args, ask, complete, merged, pool
from tests.support import wait_until

BEHIND: Table = {"gateway": "sglang-router", "stop": {"drain": "20s", "term": "10s"}}
FAST = args(sim_token_seconds=0.02)


def gateway(daemon: Daemon) -> GatewayDoc:
    front = daemon.pool().get("gateway")
    assert front is not None
    return front


def routed(daemon: Daemon, count: int, timeout: float = 20) -> GatewayDoc:
    """The gateway, once it sends to `count` workers."""
    wait_until(lambda: len(gateway(daemon)["routed"]) == count, timeout, f"{count} workers behind the gateway")
    return gateway(daemon)


@contextmanager
def fleet(tmp_path: Path, count: int, *changes: Table) -> Iterator[Daemon]:
    """A pool of `count` workers that all get requests."""
    with Daemon(tmp_path, FAST, pool(gpus=count, **BEHIND), *changes) as daemon:
        daemon.start()
        routed(daemon, count)
        yield daemon


def pids(daemon: Daemon) -> dict[str, int | None]:
    return {worker["name"]: worker["pid"] for worker in daemon.status["workers"]}


def switched(daemon: Daemon, profile: str) -> None:
    wait_until(lambda: daemon.pool()["switch"] is None, 60, "the end of the switch")
    assert daemon.pool()["profile"] == profile, daemon.events()[-10:]


def test_one_address(tmp_path: Path) -> None:
    with fleet(tmp_path, 2) as daemon:
        found = daemon.pool()
        assert (found["endpoint"], found["total"]) == (f"http://127.0.0.1:{daemon.port}", 2)
        assert [w["port"] for w in daemon.status["workers"]] == [daemon.port + 1, daemon.port + 2]
        front = gateway(daemon)
        assert (front["name"], front["phase"], front["ready"]) == ("chat-gateway", "running", True)
        assert front["routed"] == ["chat-0", "chat-1"]
        assert gateway(daemon)["requests"] == 0
        assert complete(daemon.port)[0] == 200
        wait_until(lambda: gateway(daemon)["requests"] == 1, 5, "the request is counted")
        daemon.client.act("stop", "chat", pool=True)
        wait_until(lambda: gateway(daemon)["phase"] == "stopped", 20, "the gateway stops with its pool")
        daemon.client.act("start", "chat", pool=True)
        routed(daemon, 2)


def test_rolling_switch_fails_nobody(tmp_path: Path) -> None:
    other: Table = {"profiles": {"eagle": {"extends": "standard", "args": {"max-running-requests": 7}}}}
    with fleet(tmp_path, 4, other) as daemon:
        before = pids(daemon)
        with Load(daemon.pool()["endpoint"] or "", clients=8) as load:
            wait_until(lambda: len(load.answers) > 20, 20, "load")
            daemon.client.switch("chat", "eagle")
            switched(daemon, "eagle")
            done = len(load.answers)
            wait_until(lambda: len(load.answers) > done + 20, 20, "load afterwards")
        assert load.failures == []
        now = pids(daemon)
        assert all(now[name] != pid for name, pid in before.items())
        front = gateway(daemon)
        assert (front["failed"], front["broken"], len(front["routed"])) == (0, 0, 4)


def test_switch_without_a_restart_is_tested_too(tmp_path: Path) -> None:
    other: Table = {"profiles": {"loud": {"extends": "standard", "args": {"log-requests": True}}}}
    with fleet(tmp_path, 1, other) as daemon:
        before, asked = pids(daemon), daemon.log().count(b"POST /v1/chat/completions")
        daemon.client.switch("chat", "loud")
        switched(daemon, "loud")
        assert pids(daemon) == before
        wait_until(lambda: daemon.log().count(b"POST /v1/chat/completions") > asked, 10, "a completion")


def test_switch_that_goes_back_fails_nobody(tmp_path: Path) -> None:
    other: Table = {"profiles": {"bad": {"extends": "standard", "args": {"sim-fail": "out-of-gpu-memory"}}}}
    with fleet(tmp_path, 2, other) as daemon, Load(daemon.pool()["endpoint"] or "", clients=4) as load:
        wait_until(lambda: len(load.answers) > 10, 20, "load")
        daemon.client.switch("chat", "bad")
        switched(daemon, "standard")
        routed(daemon, 2)
    assert load.failures == []


def test_edit_restarts_one_after_the_other(tmp_path: Path) -> None:
    with fleet(tmp_path, 2) as daemon, Load(daemon.pool()["endpoint"] or "", clients=4) as load:
        front = gateway(daemon)["pid"]
        wait_until(lambda: len(load.answers) > 10, 20, "load")
        daemon.edit(args(max_running_requests=9))
        daemon.applied()
        routed(daemon, 2)
        assert gateway(daemon)["pid"] == front
    assert load.failures == []


def test_edit_waits_for_one_that_has_just_crashed(tmp_path: Path) -> None:
    with fleet(tmp_path, 2, args(sim_load_seconds=1)) as daemon:
        pid = daemon.worker("chat-0")["pid"]
        assert pid
        os.kill(pid, signal.SIGKILL)
        daemon.in_phase("starting")
        routed(daemon, 1)
        with Load(daemon.pool()["endpoint"] or "", clients=4) as load:
            daemon.edit(args(max_running_requests=9))
            daemon.applied()
            routed(daemon, 2)
        assert load.failures == []


def test_restart_of_a_pool_goes_one_by_one(tmp_path: Path) -> None:
    with fleet(tmp_path, 2) as daemon:
        before, front = pids(daemon), gateway(daemon)["pid"]
        with Load(daemon.pool()["endpoint"] or "", clients=4) as load:
            wait_until(lambda: len(load.answers) > 10, 20, "load")
            daemon.client.act("restart", "chat", pool=True)
            for name, pid in before.items():
                daemon.ready(name, not_pid=pid)
            wait_until(lambda: daemon.pool()["switch"] is None, 20, "its end")
            routed(daemon, 2)
        assert load.failures == []
        assert gateway(daemon)["pid"] == front
        assert any(e["kind"] == "restart" and (e["data"] or {}).get("outcome") == "done" for e in daemon.events())


def test_crash_is_counted(tmp_path: Path) -> None:
    with fleet(tmp_path, 2, args(sim_token_seconds=0.2)) as daemon:
        with Load(daemon.pool()["endpoint"] or "", clients=6, tokens=40) as load:
            wait_until(lambda: (gateway(daemon)["in_flight"] or 0) >= 6, 20, "all are in flight")
            pid = daemon.worker("chat-0")["pid"]
            assert pid
            os.kill(pid, signal.SIGKILL)
            daemon.ready("chat-0", not_pid=pid)
            routed(daemon, 2)
        assert all(answer.streamed for answer in load.failures), load.failures
        front = gateway(daemon)
        assert len(load.failures) <= front["broken"]  # what wasn't streamed was tried again with the other
        assert front["broken"] > 0
        assert any(e["kind"] == "gateway" and "in flight" in e["message"] for e in daemon.events())


def test_gateway_that_dies_comes_back(tmp_path: Path) -> None:
    with fleet(tmp_path, 2) as daemon:
        before, pid = pids(daemon), gateway(daemon)["pid"]
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: gateway(daemon)["pid"] not in (pid, None), 20, "a new one")
        assert routed(daemon, 2)["restarts"] == 1
        assert complete(daemon.port)[0] == 200
        assert pids(daemon) == before


def test_new_daemon_takes_the_gateway_over(tmp_path: Path) -> None:
    with fleet(tmp_path, 2) as daemon:
        before, front = pids(daemon), gateway(daemon)["pid"]
        with Load(daemon.pool()["endpoint"] or "", clients=4) as load:
            wait_until(lambda: len(load.answers) > 10, 20, "load")
            daemon.kill()
            done = len(load.answers)
            wait_until(lambda: len(load.answers) > done + 10, 20, "load without a daemon")
            daemon.start()
            routed(daemon, 2)
            done = len(load.answers)
            wait_until(lambda: len(load.answers) > done + 10, 20, "load afterwards")
        assert load.failures == []
        assert (pids(daemon), gateway(daemon)["pid"]) == (before, front)


@pytest.mark.parametrize("phase", ["draining", "starting"])
def test_new_daemon_goes_on_one_by_one(tmp_path: Path, phase: str) -> None:
    slow = args(sim_token_seconds=0.05, sim_load_seconds=1)
    with fleet(tmp_path, 2, slow) as daemon, Load(daemon.pool()["endpoint"] or "", clients=4, tokens=12) as load:
        wait_until(lambda: len(load.answers) > 10, 20, "load")
        daemon.edit(args(max_running_requests=9))
        daemon.in_phase(phase)
        daemon.kill()
        daemon.start()
        daemon.applied()
        routed(daemon, 2)
    assert load.failures == []


def test_what_was_not_committed_goes_back_one_by_one(tmp_path: Path) -> None:
    other: Table = {"profiles": {"eagle": {"extends": "standard", "args": {"max-running-requests": 7}}}}
    asks: Table = {"supervisor": {"auto_apply": False}}
    slow = args(sim_token_seconds=0.05, sim_load_seconds=1)
    with fleet(tmp_path, 2, slow, other, asks) as daemon, Load(daemon.pool()["endpoint"] or "", clients=6) as load:
        wait_until(lambda: len(load.answers) > 10, 20, "load")
        daemon.client.switch("chat", "eagle")
        daemon.in_phase("starting", "chat-1")
        daemon.kill()
        daemon.start()
        wait_until(lambda: {w["profile"] for w in daemon.status["workers"] if w["ready"]} == {"standard"}, 30, "back")
        wait_until(lambda: daemon.pool()["switch"] is None, 30, "its end")
        routed(daemon, 2)
        assert not any(daemon.record(name)["trial"] for name in ("chat-0", "chat-1"))
    assert load.failures == []


def test_keys(tmp_path: Path) -> None:
    key = "sesame-4711"
    file = tmp_path / "key"
    file.write_text(key)
    with fleet(tmp_path, 2, pool(api_key_file=str(file))) as daemon:
        assert complete(daemon.port)[0] == 401
        assert complete(daemon.port, key)[0] == 200
        with Load(daemon.pool()["endpoint"] or "", clients=2, key=key) as load:
            wait_until(lambda: len(load.answers) > 4, 20, "load")
        assert load.failures == []
        for stranger in (None, key):  # who may send requests may not say where they go
            assert ask(daemon.port, "POST", "/workers", {"url": "http://127.0.0.1:9"}, stranger)[0] == 401
            assert ask(daemon.port, "GET", "/workers", key=stranger)[0] == 401
        control = (daemon.state / "gateway" / "control.key").read_text()
        for pid in daemon.processes():
            for name in ("cmdline", "environ"):
                shown = Path(f"/proc/{pid}/{name}").read_bytes().decode()
                assert key not in shown
                assert control not in shown
        assert key not in json.dumps(daemon.status) + json.dumps(daemon.events())
        assert key.encode() not in daemon.log("chat-gateway")


def test_without_sglang_router(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    with Daemon(tmp_path, FAST, pool(**BEHIND), {"supervisor": {"gateway_python": str(python)}}) as daemon:
        daemon.start()
        daemon.ready()
        wait_until(lambda: gateway(daemon)["phase"] == "failed", 15, "it is given up")
        front = gateway(daemon)
        assert "has no sglang-router" in (front["reason"] or "")
        assert "pip install sglang-router" in (front["hint"] or "")
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
        (tmp_path / "venv" / "pyvenv.cfg").write_text(Path(sys.prefix, "pyvenv.cfg").read_text())
        (tmp_path / "venv" / "lib").symlink_to(Path(sys.prefix, "lib"))
        routed(daemon, 1)
        assert complete(daemon.port)[0] == 200


def test_servers_elsewhere(tmp_path: Path) -> None:
    with Daemon(tmp_path, FAST, pool(**BEHIND)) as daemon:
        port = daemon.port + 5
        address = f"http://127.0.0.1:{port}"
        daemon.start()
        before = routed(daemon, 1)["pid"]
        with simulator(port):
            daemon.edit(pool(external_workers=[address]))
            daemon.applied()
            wait_until(lambda: gateway(daemon)["external"] == [{"url": address, "healthy": True}], 20, "it is taken")
            daemon.client.act("stop", "chat-0", pool=False)
            daemon.in_phase("stopped")
            assert complete(daemon.port)[0] == 200
            assert gateway(daemon)["ready"]
        daemon.edit(pool(external_workers=None))
        daemon.applied()
        wait_until(lambda: not gateway(daemon)["ready"], 20, "nobody is left")
        assert "no worker" in (gateway(daemon)["reason"] or "")
        assert gateway(daemon)["pid"] == before


def test_servers_elsewhere_that_are_away_hold_nobody_up(tmp_path: Path) -> None:
    away = [
        f"http://127.0.0.{host}:9" for host in range(2, 14)
    ]  # the router takes ten at a time, and tries for minutes
    with Daemon(tmp_path, FAST, pool(external_workers=away, **BEHIND)) as daemon:
        daemon.start()
        routed(daemon, 1)
        daemon.client.act("restart", "chat-0", pool=False)
        routed(daemon, 0)
        routed(daemon, 1)
        assert not any("still sends" in e["message"] for e in daemon.events())


def test_without_its_control_key(tmp_path: Path) -> None:
    with fleet(tmp_path, 1) as daemon:
        before, home = gateway(daemon)["pid"], daemon.state / "gateway"
        daemon.kill()
        home.rename(home.with_name("aside"))
        home.write_text("a file in its place")
        daemon.start()
        wait_until(lambda: gateway(daemon)["error"], 20, "it is told")
        home.unlink()
        wait_until(lambda: "another control key" in (gateway(daemon)["error"] or ""), 20, "a new key was made")
        assert "control key" in (gateway(daemon)["reason"] or "")
        said = daemon.said().count("another control key")
        assert complete(daemon.port)[0] == 200
        wait_until(lambda: (gateway(daemon)["requests"] or 0) > 0, 20, "a later look")
        assert daemon.said().count("another control key") == said == 1
        shutil.rmtree(home)
        home.with_name("aside").rename(home)
        routed(daemon, 1)
        assert (gateway(daemon)["error"], gateway(daemon)["pid"]) == (None, before)


@contextmanager
def simulator(port: int) -> Iterator[None]:
    """A server that no daemon of ours knows."""
    words = ["--model-path", "m", "--host", "127.0.0.1", "--port", str(port), "--sim-load-seconds", "0.1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "qvl.simulator", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_no_requests_for_one_that_fails_its_smoke_test(tmp_path: Path) -> None:
    program = f"exec {sys.executable} -m http.server --bind {{host}} {{port}}"
    own: dict[str, Any] = {"kind": "command", "command": ["/bin/sh", "-c", program], "ready": "/", "smoke": "/absent"}
    changes = merged({"engines": {"own": own}, "profiles": {"own": {"engine": "own"}}}, pool(profile="own", **BEHIND))
    with Daemon(tmp_path, changes) as daemon:
        daemon.start()
        daemon.ready()
        wait_until(
            lambda: any(e["kind"] == "gateway" and "smoke test" in e["message"] for e in daemon.events()), 20, "told"
        )
        front = gateway(daemon)
        assert (front["routed"], front["ready"]) == ([], False)


def test_one_that_comes_back_is_tested_again(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    fine = site / "fine"
    fine.touch()
    (site / "health").touch()  # the router asks for it before it takes a server
    program = f"exec {sys.executable} -m http.server --directory {site} --bind {{host}} {{port}}"
    own: dict[str, Any] = {"kind": "command", "command": ["/bin/sh", "-c", program], "ready": "/", "smoke": "/fine"}
    changes = merged({"engines": {"own": own}, "profiles": {"own": {"engine": "own"}}}, pool(profile="own", **BEHIND))
    with Daemon(tmp_path, changes, pool(gpus=2)) as daemon:
        daemon.start()
        routed(daemon, 2)
        daemon.edit(pool(gpus=1))
        wait_until(lambda: len(daemon.status["workers"]) == 1, 20, "one is forgotten")
        fine.unlink()
        daemon.edit(pool(gpus=2))
        daemon.ready("chat-1")
        wait_until(lambda: any("smoke test" in e["message"] for e in daemon.events()), 20, "its test")
        assert gateway(daemon)["routed"] == ["chat-0"]


@pytest.mark.parametrize("first", [True, False], ids=["comes", "goes"])
def test_a_gateway_comes_and_goes(tmp_path: Path, first: bool) -> None:
    with_it, without = pool(gpus=2, **BEHIND), pool(gpus=2, gateway="none")
    with Daemon(tmp_path, FAST, *((without,) if first else (with_it,))) as daemon:
        daemon.start()
        for name in ("chat-0", "chat-1"):
            daemon.ready(name)
        daemon.edit(with_it if first else without)
        daemon.applied()
        for name in ("chat-0", "chat-1"):
            daemon.ready(name)
        if first:
            routed(daemon, 2)
        assert complete(daemon.port)[0] == 200
        assert ("chat-gateway" in str(daemon.pool())) is first

"""What `GET /v1/workers/NAME` tells of a worker: its start, what its engine has room for, its processes, its ends."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from qvl.client.sync import Client

from tests.blackbox.harness import Daemon, args, command, pool
from tests.support import wait_until

GIB = 1 << 30
STEPS = ["launch", "import", "weights", "kv-cache", "graphs", "warm-up"]


def detail(daemon: Daemon, name: str = "chat-0") -> Any:
    return json.loads(daemon.client.raw(f"/v1/workers/{name}"))


def known(daemon: Daemon, name: str = "chat-0") -> Any:
    """The same, once what its start said of its capacity was kept."""
    wait_until(lambda: b'"kv_tokens"' in (daemon.state / "workers" / name / "start.json").read_bytes(), 15, "capacity")
    return detail(daemon, name)


def test_a_start_its_capacity_its_processes_and_its_end(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_load_seconds=0.5, tp_size=2), pool(gpus=2)) as daemon:
        daemon.start()
        ready = daemon.ready()
        first = known(daemon)

        start = first["start"]
        assert (start["ready"], start["over"], start["profile"]) == (True, True, "standard")
        assert [step["step"] for step in start["steps"]] == STEPS
        assert {step["state"] for step in start["steps"]} == {"done"}
        assert abs(sum(step["seconds"] for step in start["steps"]) - start["seconds"]) < 0.01
        assert start["expected_s"] is None

        capacity = first["capacity"]
        assert capacity["ranks"] == 2
        assert abs(capacity["weights"] - 8.25 * GIB) < 0.01 * GIB
        said = daemon.log().decode()
        assert f"max_total_num_tokens={capacity['kv_tokens']}, " in said
        assert f"max_running_requests={capacity['max_running']}, context_len={capacity['context_length']}, " in said
        assert capacity["free"] > GIB

        # Cards are looked at now and then.
        root, *children = wait_until(lambda: (p := detail(daemon)["processes"])[0]["gpus"] and p, 30, "cards")
        assert (root["pid"], root["root"], root["gpus"]) == (ready["pid"], True, [0, 1])
        assert root["gpu_memory"] > 2 * capacity["weights"]
        assert [child["name"] for child in children] == ["sglang::schedul"] * 2 + ["sglang::detoken"]
        assert all(child["ppid"] == root["pid"] and child["rss"] > 0 for child in children)
        assert first["processes_left_out"] == 0
        assert first["exits"] == []
        assert first["worker"]["name"] == "chat-0"

        assert ready["pid"] is not None
        os.kill(ready["pid"], signal.SIGKILL)
        daemon.ready(not_pid=ready["pid"])
        second = known(daemon)
        (end,) = second["exits"]
        assert (end["cause"], end["signal"], end["was_ready"], end["profile"]) == ("killed", 9, True, "standard")
        assert "signal 9" in end["evidence"]
        assert "OOM killer" in end["hint"]
        assert end["lived_s"] >= start["seconds"] - 0.5
        assert abs(second["start"]["expected_s"] - start["seconds"]) < 0.01
        assert [step["expected_s"] for step in second["start"]["steps"]] == [s["seconds"] for s in start["steps"]]

        daemon.kill()
        daemon.start()
        daemon.ready()
        third = detail(daemon)
        assert third["start"] == second["start"]
        assert third["capacity"] == second["capacity"]
        assert third["exits"] == second["exits"]
        assert [p["pid"] for p in third["processes"]] == [p["pid"] for p in second["processes"]]
        # Viewers may see it too.
        assert Client(str(daemon.socket.with_name("view.sock"))).raw("/v1/workers/chat-0")


def test_a_daemon_that_comes_in_the_middle_of_a_start_goes_on_with_its_times(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_load_seconds=6)) as daemon:
        daemon.start()
        daemon.until(lambda w: w["progress"] is not None and w["progress"]["step"] == "weights", "weights")
        before = detail(daemon)["start"]
        assert [step["state"] for step in before["steps"][:4]] == ["done", "done", "now", "ahead"]
        assert before["fraction"] is not None
        assert not before["over"]
        daemon.kill()
        daemon.start()
        daemon.ready()
        after = detail(daemon)["start"]
        assert after["steps"][:2] == before["steps"][:2]
        assert {step["state"] for step in after["steps"]} == {"done"}
        assert (daemon.state / "startups.json").exists()


def test_of_a_worker_that_an_older_daemon_has_started_the_log_tells_what_it_can(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start()
        daemon.ready()
        before = known(daemon)
        daemon.kill()
        (daemon.state / "workers" / "chat-0" / "start.json").unlink()
        daemon.start()
        daemon.ready()
        after = known(daemon)
        assert after["capacity"] == before["capacity"]
        assert {step["state"] for step in after["start"]["steps"]} <= {"unknown", "skipped"}
        assert (after["start"]["ready"], after["start"]["seconds"]) == (True, None)
        assert after["start"]["at"] == before["start"]["at"]


def test_a_start_that_came_to_nothing(tmp_path: Path) -> None:
    changes = args(sim_fail="out-of-gpu-memory"), pool(restart={"mode": "never"})
    with Daemon(tmp_path, *changes) as daemon:
        daemon.start()
        last = daemon.in_phase("failed")["last_exit"]
        assert last is not None
        told = detail(daemon)
        assert (told["start"]["over"], told["start"]["ready"]) == (True, False)
        assert [step["step"] for step in told["start"]["steps"] if step["state"] == "now"] != []
        assert told["processes"] == []
        (end,) = told["exits"]
        assert (end["cause"], end["was_ready"]) == ("out-of-gpu-memory", False)
        assert (end["evidence"], end["hint"]) == (last["evidence"], last["hint"])


def test_an_engine_of_ones_own_tells_nothing_of_its_capacity(tmp_path: Path) -> None:
    changes = command("echo I have room for everyone; sleep 600 & wait")
    with Daemon(tmp_path, changes) as daemon:
        daemon.start()
        daemon.ready()
        told = detail(daemon)
        assert told["capacity"] is None
        launch, *others = told["start"]["steps"]
        assert (launch["state"], {step["state"] for step in others}) == ("done", {"skipped"})
        assert launch["seconds"] == told["start"]["seconds"]
        assert [process["name"] for process in told["processes"]] == ["sh", "sleep"]

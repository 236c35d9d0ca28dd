"""The daemon, shims and workers die without a word, one by one and together. What was goes on."""

import concurrent.futures
import datetime
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from qvl.client.documents import WorkerDoc

from tests.blackbox.harness import Daemon, args, command, complete, pool
from tests.support import wait_until

COUNTING = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.002; done"
EAGLE = {"profiles": {"eagle": {"extends": "standard", "args": {"max-running-requests": 7}}}}


def pid_of(worker: WorkerDoc) -> int:
    assert worker["pid"] is not None
    return worker["pid"]


def engines(daemon: Daemon) -> list[int]:
    """Root processes of simulated engines: those whose parent is a shim."""
    found = daemon.processes()
    shims = {pid for pid, name in found.items() if name == "qvl-shim"}
    roots = []
    for pid in found:
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent in shims and b"qvl.simulator" in Path(f"/proc/{pid}/cmdline").read_bytes():
            roots.append(pid)
    return roots


def test_workers_are_adopted(tmp_path: Path) -> None:
    with Daemon(tmp_path, EAGLE, pool(gpus=2)) as daemon:
        daemon.start().ready("chat-0")
        daemon.ready("chat-1")
        daemon.client.switch("chat", "eagle")
        wait_until(lambda: daemon.pool()["override"] == "eagle", 15, "switched")
        daemon.client.act("stop", "chat-1", pool=False)
        daemon.in_phase("stopped", "chat-1")
        os.kill(pid_of(daemon.worker()), signal.SIGKILL)
        before = daemon.until(lambda w: w["ready"] and w["restarts"] == 1, "back again")
        daemon.kill()
        assert complete(daemon.port)[0] == 200  # nobody needs the daemon for this
        daemon.start()
        after = daemon.ready()
        for field in ("pid", "restarts", "wanted", "profile", "since", "last_exit", "phase"):
            assert after[field] == before[field], field
        assert after["drift"] == []
        assert daemon.pool()["override"] == "eagle"
        other = daemon.worker("chat-1")
        assert (other["wanted"], other["phase"], other["pid"]) == ("down", "stopped", None)
        assert any(event["kind"] == "worker.adopted" for event in daemon.events())


def test_a_backoff_goes_on(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_fail="unknown"), pool(restart={"backoff": "4s", "backoff_max": "9s"})) as daemon:
        before = daemon.start().in_phase("backoff")
        daemon.kill()
        daemon.start()
        after = daemon.worker()
        assert after["phase"] == "backoff"
        assert (after["restarts"], after["reason"]) == (before["restarts"], before["reason"])
        assert before["next_start_at"] is not None
        assert after["next_start_at"] is not None
        was, now = (datetime.datetime.fromisoformat(w) for w in (before["next_start_at"], after["next_start_at"]))
        assert abs((now - was).total_seconds()) < 0.1
        wait_until(lambda: daemon.spawns() == 2, 10, "the second start")
        assert datetime.datetime.now(datetime.UTC) >= was


def test_a_failed_worker_stays_failed(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_fail="bad-arguments")) as daemon:
        before = daemon.start().in_phase("failed")
        daemon.kill()
        daemon.start()
        time.sleep(0.5)  # long enough for a start that must not come
        after = daemon.worker()
        assert (after["phase"], after["reason"], after["hint"]) == ("failed", before["reason"], before["hint"])
        assert daemon.spawns() == 1


def test_no_line_is_lost_and_none_is_doubled(tmp_path: Path) -> None:
    with Daemon(tmp_path, command(COUNTING)) as daemon:
        pid = pid_of(daemon.start().ready())
        for _ in range(3):
            daemon.kill()
            seen = len(daemon.log())
            wait_until(lambda n=seen: len(daemon.log()) > n + 500, 10, "lines without a daemon")  # type: ignore[misc]
            daemon.start()
            assert daemon.ready()["pid"] == pid
        daemon.client.act("stop", "chat-0", pool=False)
        daemon.in_phase("stopped")
        numbers = [int(number) for number in re.findall(rb"^line (\d+)$", daemon.log(), re.MULTILINE)]
        assert len(numbers) > 200
        assert numbers == list(range(1, len(numbers) + 1))


def test_an_end_while_nobody_looked_is_noticed(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        pid = pid_of(daemon.start().ready())
        daemon.kill()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not daemon.processes(), 10, "its shim has written down the end and gone")
        daemon.start()
        worker = daemon.ready()
        assert worker["restarts"] == 1
        assert worker["last_exit"] is not None
        assert (worker["last_exit"]["cause"], worker["last_exit"]["signal"]) == ("killed", 9)
        at = datetime.datetime.fromisoformat(worker["last_exit"]["at"])
        assert at <= datetime.datetime.fromisoformat(worker["since"])


def test_a_dead_shim_costs_its_worker_only_a_restart(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_children=2), pool(gpus=2)) as daemon:
        daemon.start()
        first, other = daemon.ready("chat-0"), daemon.ready("chat-1")
        before = set(daemon.processes())
        os.kill(daemon.shim_pid(), signal.SIGKILL)
        second = daemon.ready(not_pid=first["pid"])
        assert second["restarts"] == 1
        assert daemon.worker("chat-1")["pid"] == other["pid"]
        assert len(daemon.processes()) == len(before)
        assert pid_of(first) not in daemon.processes()


def test_strays_of_a_tree_whose_shim_and_root_are_dead(tmp_path: Path) -> None:
    """What left its session and lost its parent is still known for what it is, also after the daemon was away."""
    with Daemon(tmp_path, args(sim_children=3)) as daemon:
        first = daemon.start().ready()
        before = set(daemon.processes())
        shim = daemon.shim_pid()
        daemon.kill()
        os.kill(shim, signal.SIGKILL)
        os.kill(pid_of(first), signal.SIGKILL)
        wait_until(lambda: len(daemon.processes()) == 3, 5, "only strays are left")
        strays = set(daemon.processes())
        daemon.start()
        daemon.ready(not_pid=first["pid"])
        assert len(daemon.processes()) == len(before)
        assert not strays & set(daemon.processes())


def test_a_shim_that_dies_while_nobody_looks(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_children=2)) as daemon:
        first = daemon.start().ready()
        size = len(daemon.processes())
        shim = daemon.shim_pid()
        daemon.kill()
        os.kill(shim, signal.SIGKILL)
        daemon.start()
        second = daemon.ready(not_pid=first["pid"])
        assert second["restarts"] == 1
        wait_until(lambda: len(daemon.processes()) == size, 5, "nothing of the old tree")
        assert pid_of(first) not in daemon.processes()


def test_everything_dies_at_once(tmp_path: Path) -> None:
    with Daemon(tmp_path, EAGLE, pool(gpus=3)) as daemon:
        daemon.start()
        before = [daemon.ready(f"chat-{index}")["pid"] for index in range(3)]
        daemon.client.act("stop", "chat-2", pool=False)
        daemon.in_phase("stopped", "chat-2")
        for pid in daemon.processes():
            os.kill(pid, signal.SIGKILL)
        assert daemon.process is not None
        daemon.process.wait()
        wait_until(lambda: not daemon.processes(), 5, "all dead")
        daemon.start()
        for index in range(2):
            worker = daemon.ready(f"chat-{index}")
            assert worker["pid"] != before[index]
            assert worker["restarts"] == 1
        assert daemon.worker("chat-2")["phase"] == "stopped"


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_daemon_that_dies_during_a_start(delay: float, tmp_path: Path) -> None:
    """Whatever it had begun, there is one engine in the end, and it is the one that is known."""
    with Daemon(tmp_path, args(sim_load_seconds=0.3)) as daemon:
        daemon.start()
        for _ in range(3):
            time.sleep(delay)  # the moment of the crash is what this test varies
            daemon.kill()
            daemon.start()
        worker = daemon.ready()
        wait_until(lambda: engines(daemon) == [worker["pid"]], 5, "one engine")
        assert worker["restarts"] <= 3  # a shim whose answer nobody took ends its worker
        assert daemon.spawns() <= 4 + worker["restarts"]


def test_a_daemon_that_dies_during_a_stop(tmp_path: Path) -> None:
    stubborn = args(sim_ignore_sigterm=True, sim_children=1)
    with Daemon(tmp_path, stubborn, pool(stop={"drain": "0s", "term": "2s"})) as daemon:
        daemon.start().ready()
        daemon.client.act("stop", "chat-0", pool=False)
        daemon.in_phase("stopping")
        daemon.kill()
        daemon.start()
        worker = daemon.in_phase("stopped")
        assert (worker["wanted"], worker["restarts"]) == ("down", 0)
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "requested"
        assert daemon.process is not None
        assert list(daemon.processes()) == [daemon.process.pid]


def test_a_daemon_that_dies_while_it_stops_its_workers(tmp_path: Path) -> None:
    """The hold of a stop that never ended ends with the next start."""
    stubborn = args(sim_ignore_sigterm=True)
    with Daemon(tmp_path, stubborn, pool(stop={"drain": "0s", "term": "2s"})) as daemon:
        first = daemon.start().ready()
        assert daemon.process is not None
        daemon.process.terminate()
        wait_until(lambda: daemon.record()["phase"] == "stopping", 10, "stopping")
        daemon.kill()
        daemon.start()
        worker = daemon.ready(not_pid=first["pid"])
        assert (worker["wanted"], worker["restarts"]) == ("up", 0)


def test_a_daemon_that_dies_during_a_drain(tmp_path: Path) -> None:
    answers: list[int] = []
    with Daemon(tmp_path, args(sim_token_seconds=0.05), pool(stop={"drain": "30s"})) as daemon:
        daemon.start().ready()
        client = threading.Thread(target=lambda: answers.append(complete(daemon.port, tokens=40)[0]))
        client.start()
        daemon.until(lambda w: (w["metrics"]["running"] or 0) > 0, "a request runs")
        daemon.client.act("stop", "chat-0", pool=False)
        daemon.in_phase("draining")
        daemon.kill()
        daemon.start()
        daemon.in_phase("stopped")
        client.join(10)
        assert answers == [200]


def test_its_code_is_replaced_while_workers_serve(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(gpus=2)) as daemon:
        daemon.start()
        before = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        daemon.client.restart_daemon()
        wait_until(lambda: daemon.said().count("started with pid") == 2 and daemon.answers(), 10, "the new code")
        assert daemon.process is not None
        assert daemon.status["supervisor"]["pid"] == daemon.process.pid
        assert [daemon.ready(f"chat-{index}")["pid"] for index in range(2)] == before
        daemon.client.act("restart", "chat-0", pool=False)
        daemon.ready(not_pid=before[0])


def test_state_files_that_can_not_be_read(tmp_path: Path) -> None:
    """A record cut off by a power cut, one of a newer qvl: put aside, told, and everything starts all the same."""
    with Daemon(tmp_path, pool(gpus=2)) as daemon:
        daemon.start()
        for index in range(2):
            daemon.ready(f"chat-{index}")
        daemon.stop()
        records = [daemon.state / "workers" / f"chat-{index}" / "record.json" for index in range(2)]
        records[0].write_bytes(records[0].read_bytes()[:100])
        records[1].write_bytes(records[1].read_bytes().replace(b'"version":1', b'"version":99'))
        (daemon.state / "pools.json").write_bytes(b"\xff\x00{")
        (daemon.state / "startups.json").write_bytes(b"[]")
        with (daemon.state / "events.jsonl").open("ab") as events:
            events.write(b'{"seq": 12, "at"')
        daemon.start()
        for index in range(2):
            daemon.ready(f"chat-{index}")
        assert all(Path(f"{record}.bad").exists() for record in records)
        assert "version 99" in daemon.said()
        daemon.events()


def test_a_living_worker_whose_record_is_lost_is_found_again(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        pid = pid_of(daemon.start().ready())
        daemon.kill()
        record = daemon.state / "workers" / "chat-0" / "record.json"
        record.write_bytes(record.read_bytes()[:100])
        daemon.start()
        daemon.ready()
        wait_until(lambda: engines(daemon) == [daemon.worker()["pid"]], 5, "one engine, and it is known")
        assert daemon.worker()["pid"] == pid


@pytest.mark.parametrize("name", ["applied.json", "overrides.json", "rejected.json", "applied.toml", "overrides.toml"])
def test_configuration_state_that_can_not_be_read(name: str, tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        pid = pid_of(daemon.start().ready())
        daemon.kill()
        (daemon.state / name).write_bytes(b'{"version": 9, "')
        daemon.start()
        assert daemon.ready()["pid"] == pid


def test_a_worker_whose_shim_is_killed_finishes_what_is_in_flight(tmp_path: Path) -> None:
    patient = pool(stop={"drain": "20s", "term": "5s"})
    with Daemon(tmp_path, args(sim_token_seconds=0.05), patient) as daemon:
        first = daemon.start().ready()
        with concurrent.futures.ThreadPoolExecutor(1) as client:
            answer = client.submit(complete, daemon.port, None, 40)
            daemon.until(lambda w: (w["metrics"]["running"] or 0) > 0, "busy")
            os.kill(daemon.shim_pid(), signal.SIGKILL)
            daemon.in_phase("draining")
            assert answer.result(30)[0] == 200
        second = daemon.ready(not_pid=first["pid"])
        assert (second["restarts"], daemon.spawns()) == (1, 2)
        assert second["last_exit"] is not None
        assert second["last_exit"]["cause"] == "killed"
        assert "its shim" in (second["last_exit"]["evidence"] or "")

"""Busy is not hung, hung is not trusted, and a start that stands still is ended."""

import contextlib
import http.client
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from qvl.shim import proc

from tests.blackbox.harness import Daemon, args, ask, command, complete, listening, pool
from tests.support import wait_until

WATCHFUL = pool(health={"interval": "0.1s", "deep_interval": "0.3s", "timeout": "0.4s", "failures": 2})


def test_a_worker_that_hangs_is_restarted(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_hang_after=1), WATCHFUL) as daemon:
        first = daemon.start().ready()
        worker = daemon.until(lambda w: w["restarts"] == 1 and w["last_exit"], "the end of a hang", timeout=25)
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "hang"
        assert worker["last_exit"]["evidence"]
        assert daemon.ready(not_pid=first["pid"])["restarts"] >= 1
        unready = [e for e in daemon.events() if e["kind"] == "worker.ready" and "not ready" in e["message"]]
        assert unready


def test_a_stopped_process_is_a_hang(tmp_path: Path) -> None:
    with Daemon(tmp_path, WATCHFUL) as daemon:
        first = daemon.start().ready()
        assert first["pid"] is not None
        os.kill(first["pid"], signal.SIGSTOP)
        worker = daemon.ready(not_pid=first["pid"], timeout=30)
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "hang"


def test_a_way_of_its_own_for_a_hang(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_hang_after=0.5), WATCHFUL, pool(restart={"causes": {"hang": "never"}})) as daemon:
        daemon.start()
        worker = daemon.in_phase("failed", timeout=25)
        assert "hang" in (worker["reason"] or "")
        assert daemon.spawns() == 1


def test_busy_is_not_hung(tmp_path: Path) -> None:
    """A prefill takes longer than all patience for probes together."""
    with Daemon(tmp_path, args(sim_prefill_seconds=4, sim_token_seconds=0.05), WATCHFUL) as daemon:
        first = daemon.start().ready(timeout=30)
        answers: list[int] = []
        client = threading.Thread(target=lambda: answers.append(complete(daemon.port, tokens=20)[0]))
        client.start()
        daemon.until(lambda w: (w["metrics"]["running"] or 0) + (w["metrics"]["queued"] or 0) > 0, "busy")
        client.join(30)
        assert answers == [200]
        worker = daemon.worker()
        assert (worker["pid"], worker["restarts"]) == (first["pid"], 0)


def test_many_slow_answers_are_no_hang(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_token_seconds=0.15, max_running_requests=2), WATCHFUL) as daemon:
        first = daemon.start().ready()
        clients = [threading.Thread(target=complete, args=(daemon.port, None, 8)) for _ in range(6)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(30)
        worker = daemon.worker()
        assert (worker["pid"], worker["restarts"]) == (first["pid"], 0)


@pytest.mark.parametrize("step", ["import", "weights", "warm-up"])
def test_a_start_that_stands_still(step: str, tmp_path: Path) -> None:
    way = pool(health={"stall_timeout": "1s", "interval": "0.2s"}, restart={"causes": {"start-stalled": "never"}})
    with Daemon(tmp_path, args(sim_stall_at=step, sim_children=1), way) as daemon:
        worker = daemon.start().in_phase("failed")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "start-stalled"
        assert step in (worker["reason"] or "")
        assert daemon.process is not None
        wait_until(lambda: len(daemon.processes()) == 1, 5, "nothing of its tree")


def test_a_slow_start_is_no_stall(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_load_seconds=4), pool(health={"stall_timeout": "2.5s"})) as daemon:
        worker = daemon.start().ready(timeout=20)
        assert (worker["restarts"], daemon.spawns()) == (0, 1)


def test_a_stall_counts_anew_with_a_new_daemon(tmp_path: Path) -> None:
    way = pool(health={"stall_timeout": "1.5s"}, restart={"causes": {"start-stalled": "never"}})
    with Daemon(tmp_path, args(sim_stall_at="weights"), way) as daemon:
        pid = daemon.start().until(lambda w: w["pid"], "a process")["pid"]
        daemon.kill()
        daemon.start()
        assert daemon.worker()["pid"] == pid
        assert daemon.in_phase("failed")["last_exit"] is not None
        assert daemon.spawns() == 1


def test_an_adopted_worker_is_watched_too(tmp_path: Path) -> None:
    with Daemon(tmp_path, WATCHFUL) as daemon:
        pid = daemon.start().ready()["pid"]
        assert pid is not None
        daemon.kill()
        os.kill(pid, signal.SIGSTOP)
        daemon.start()
        worker = daemon.ready(not_pid=pid, timeout=30)
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "hang"


def test_a_command_engine_that_stops_answering(tmp_path: Path) -> None:
    serve = (
        f"{sys.executable} -m http.server --bind 127.0.0.1 {{port}} & echo $! > {tmp_path}/server; wait; exec sleep 600"
    )
    with Daemon(tmp_path, command(serve, ready="/"), WATCHFUL) as daemon:
        first = daemon.start().ready()
        os.kill(int((tmp_path / "server").read_text()), signal.SIGKILL)
        worker = daemon.until(lambda w: w["restarts"] == 1, "noticed", timeout=25)
        with contextlib.suppress(AssertionError):
            worker = daemon.ready(not_pid=first["pid"])
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "hang"


def scheduler_of(root: int | None) -> int:
    """The simulated engine's scheduler, a child of its root."""
    return next(child.pid for child in proc.descendants(root or 0) if child.comm.startswith("sglang::sched"))


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with requests in flight"])
def test_a_stopped_scheduler_behind_a_server_that_answers(busy: bool, tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_token_seconds=0.05), WATCHFUL) as daemon:
        first = daemon.start().ready()
        client = threading.Thread(target=_complete_or_fail, args=(daemon.port,))
        if busy:
            client.start()
            daemon.until(lambda w: (w["metrics"]["running"] or 0) > 0, "busy")
        os.kill(scheduler_of(first["pid"]), signal.SIGSTOP)
        assert ask(daemon.port, "GET", "/v1/models")[0] == 200
        worker = daemon.ready(not_pid=first["pid"], timeout=30)
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "hang"
        assert "state T" in (worker["last_exit"]["evidence"] or "")
        if busy:
            client.join(30)


def _complete_or_fail(port: int) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        complete(port, tokens=400)


def test_a_stranger_that_takes_the_port_of_a_starting_worker(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_load_seconds=60)) as daemon:
        daemon.start().in_phase("starting")
        with listening(daemon.port):
            worker = daemon.until(lambda w: w["last_exit"], "the port is lost", timeout=30)
            assert worker["last_exit"] is not None
            assert worker["last_exit"]["cause"] == "port-in-use"
            assert f"pid {os.getpid()}" in (worker["last_exit"]["evidence"] or "")
            daemon.until(lambda w: f"pid {os.getpid()}" in (w["reason"] or "") and w["phase"] == "releasing", "named")
            daemon.edit(args(sim_load_seconds=0.1))
        daemon.ready()


def test_a_halted_process_that_goes_on_in_time_is_left_alone(tmp_path: Path) -> None:
    patient = pool(health={"interval": "0.1s", "deep_interval": "0.3s", "timeout": "5s", "failures": 3})
    with Daemon(tmp_path, patient) as daemon:
        first = daemon.start().ready()
        scheduler = scheduler_of(first["pid"])
        os.kill(scheduler, signal.SIGSTOP)
        wait_until(lambda: (found := proc.read(scheduler)) is not None and found.state == "T", 5, "it is stopped")
        os.kill(scheduler, signal.SIGCONT)
        assert complete(daemon.port)[0] == 200
        worker = daemon.worker()
        assert (worker["pid"], worker["restarts"]) == (first["pid"], 0)

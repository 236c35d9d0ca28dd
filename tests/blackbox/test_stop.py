"""Stops: of a worker, of a pool, of the daemon. Nothing is left of a tree, and the operator's will stays as it was."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from qvl.shim import proc

from tests.blackbox.harness import Daemon, args, ask, command, complete, merged, pool
from tests.support import wait_until

STUBBORN = merged(args(sim_children=3, sim_ignore_sigterm=True), pool(stop={"drain": "0s", "term": "1s"}))


def test_nothing_is_left_of_a_stubborn_tree(tmp_path: Path) -> None:
    with Daemon(tmp_path, STUBBORN) as daemon:
        daemon.start().ready()
        assert len(daemon.processes()) >= 1 + 1 + 3 + 3  # daemon, shim, engine with its two, strays
        daemon.client.act("stop", "chat-0", pool=False)
        worker = daemon.in_phase("stopped")
        assert daemon.process is not None
        assert list(daemon.processes()) == [daemon.process.pid]
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "requested"
        assert (worker["wanted"], worker["restarts"]) == ("down", 0)


def test_the_daemons_stop_takes_a_stubborn_tree_along(tmp_path: Path) -> None:
    with Daemon(tmp_path, STUBBORN) as daemon:
        daemon.start().ready()
        daemon.stop()
        assert daemon.processes() == {}


@pytest.mark.parametrize("phase", ["starting", "backoff", "failed"])
def test_a_stop_in_any_phase(phase: str, tmp_path: Path) -> None:
    flags = {"starting": args(sim_load_seconds=60), "backoff": args(sim_fail="unknown")}
    way = pool(restart={"backoff": "1m", "backoff_max": "1m"})
    with Daemon(tmp_path, flags.get(phase, args(sim_fail="environment")), way) as daemon:
        daemon.start().in_phase(phase)
        daemon.client.act("stop", "chat", pool=True)
        worker = daemon.in_phase("stopped")
        assert worker["wanted"] == "down"
        assert daemon.process is not None
        wait_until(lambda: list(daemon.processes()) == [daemon.process.pid if daemon.process else 0], 5, "only it")


@pytest.mark.parametrize("on_stop", ["stop", "leave"])
def test_on_stop_changes_nothing_of_what_is_wanted(on_stop: str, tmp_path: Path) -> None:
    with Daemon(tmp_path, {"supervisor": {"on_stop": on_stop}}, pool(gpus=2)) as daemon:
        daemon.start()
        before = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        daemon.client.act("stop", "chat-1", pool=False)
        daemon.in_phase("stopped", "chat-1")
        daemon.stop()
        serves = bool(daemon.processes())
        assert serves is (on_stop == "leave")
        if serves:
            assert complete(daemon.port)[0] == 200
        daemon.start()
        worker = daemon.ready()
        assert (worker["pid"] == before[0]) is serves
        assert (worker["wanted"], worker["restarts"]) == ("up", 0)
        other = daemon.worker("chat-1")
        assert (other["wanted"], other["phase"]) == ("down", "stopped")
        if serves:
            daemon.edit({"supervisor": {"on_stop": "stop"}})
            daemon.applied()


def test_requests_in_flight_are_finished_first(tmp_path: Path) -> None:
    answers: list[int] = []
    drains = pool(stop={"drain": "30s", "term": "5s"})
    with Daemon(tmp_path, args(sim_token_seconds=0.05), drains) as daemon:
        daemon.start().ready()
        client = threading.Thread(target=lambda: answers.append(complete(daemon.port, tokens=30)[0]))
        client.start()
        daemon.until(lambda w: (w["metrics"]["running"] or 0) > 0, "a request runs")
        daemon.client.act("stop", "chat-0", pool=False)
        assert daemon.in_phase("draining")["ready"] is False
        daemon.in_phase("stopped")
        client.join(10)
        assert answers == [200]


def test_the_drain_has_an_end(tmp_path: Path) -> None:
    def patient() -> None:
        with contextlib.suppress(OSError):
            complete(daemon.port, tokens=10_000)

    with Daemon(tmp_path, args(sim_token_seconds=0.1), pool(stop={"drain": "0.5s", "term": "5s"})) as daemon:
        daemon.start().ready()
        client = threading.Thread(target=patient)
        client.start()
        daemon.until(lambda w: (w["metrics"]["running"] or 0) > 0, "a request runs")
        asked = time.monotonic()
        daemon.client.act("stop", "chat-0", pool=False)
        daemon.in_phase("stopped")
        assert time.monotonic() - asked < 9
        client.join(10)


def test_figures_of_one_that_takes_its_time_to_end_are_of_now_or_not_there(tmp_path: Path) -> None:
    def patient() -> None:
        with contextlib.suppress(OSError):
            complete(daemon.port, tokens=10_000)

    slow = pool(stop={"drain": "0s", "term": "60s"})
    with Daemon(tmp_path, args(sim_token_seconds=0.1, sim_ignore_sigterm=True), slow) as daemon:
        pid = daemon.start().ready()["pid"]
        assert pid is not None
        daemon.until(lambda w: w["metrics"]["running"] == 0, "figures of an idle one")
        daemon.client.act("stop", "chat-0", pool=False)
        daemon.in_phase("stopping")
        client = threading.Thread(target=patient)
        client.start()
        daemon.until(lambda w: w["metrics"]["running"] == 1, "a request that came while it ends")
        os.kill(pid, signal.SIGSTOP)
        worker = daemon.until(lambda w: w["metrics"]["running"] is None, "that it tells nothing any more")
        assert worker["phase"] == "stopping"
        os.kill(pid, signal.SIGKILL)
        daemon.in_phase("stopped")
        client.join(10)


def test_a_second_signal_hurries(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_ignore_sigterm=True, sim_children=1), pool(stop={"term": "60s"})) as daemon:
        daemon.start().ready()
        assert daemon.process is not None
        daemon.process.terminate()
        wait_until(lambda: b'"phase":"stopping"' in _record(daemon), 10, "stopping")
        assert daemon.process.poll() is None
        daemon.process.terminate()
        assert daemon.process.wait(15) == 0
        assert daemon.processes() == {}


def test_a_second_signal_hurries_a_drain(tmp_path: Path) -> None:
    def patient() -> None:
        with contextlib.suppress(OSError):
            complete(daemon.port, tokens=10_000)

    slow = pool(stop={"drain": "60s", "term": "60s"})
    with Daemon(tmp_path, args(sim_token_seconds=0.1, sim_ignore_sigterm=True), slow) as daemon:
        daemon.start().ready()
        client = threading.Thread(target=patient)
        client.start()
        daemon.until(lambda w: (w["metrics"]["running"] or 0) > 0, "a request runs")
        assert daemon.process is not None
        daemon.process.terminate()
        wait_until(lambda: b'"phase":"draining"' in _record(daemon), 10, "draining")
        for _ in range(2):  # the drain, then the polite end
            daemon.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.process.wait(1)
        assert daemon.process.wait(10) == 0
        client.join(10)
        assert daemon.processes() == {}


def test_stop_and_start_cross(tmp_path: Path) -> None:
    """The last word counts, however quickly it follows."""
    with Daemon(tmp_path) as daemon:
        first = daemon.start().ready()
        for verb in ("stop", "start", "stop", "start", "restart"):
            daemon.client.act(verb, "chat-0", pool=False)
        worker = daemon.ready(not_pid=first["pid"])
        assert (worker["wanted"], worker["restarts"]) == ("up", 0)
        daemon.client.act("start", "chat-0", pool=False)  # a start of what runs changes nothing
        assert daemon.ready()["pid"] == worker["pid"]


def test_what_is_not_ours_is_not_touched(tmp_path: Path) -> None:
    """A stranger who took over the pid of a recorded worker lives on."""
    with Daemon(tmp_path, {"supervisor": {"on_stop": "leave"}}) as daemon:
        pid = daemon.start().ready()["pid"]
        daemon.kill()
        shim = daemon.shim_pid()
        os.kill(shim, signal.SIGKILL)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not daemon.processes(), 10, "all gone")
        stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        try:
            path = daemon.state / "workers" / "chat-0" / "record.json"
            document = json.loads(path.read_bytes())
            document["record"]["process"] |= {"pid": stranger.pid, "shim_pid": stranger.pid}
            path.write_text(json.dumps(document))
            daemon.start().ready(not_pid=stranger.pid)
            assert stranger.poll() is None
            daemon.edit({"supervisor": {"on_stop": "stop"}})
            daemon.applied()
            daemon.stop()
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()


def test_a_worker_says_who_it_is(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        worker = daemon.start().ready()
        assert ask(daemon.port, "GET", "/v1/models")[0] == 200
        assert worker["profile"] == "standard"


def _record(daemon: Daemon) -> bytes:
    return (daemon.state / "workers" / "chat-0" / "record.json").read_bytes()


def test_shared_memory_that_a_killed_tree_has_left_is_swept_and_no_other(tmp_path: Path) -> None:
    """A child's file too, and also where the shim was killed with the rest."""
    program = ": > /dev/shm/sgl_shm_mm_$$_blackbox; sh -c ': > /dev/shm/multi_tokenizer_args_$$; exec sleep 600' & wait"
    with subprocess.Popen(["true"]) as stranger:
        stranger.wait()
    theirs = Path(f"/dev/shm/sgl_shm_mm_{stranger.pid}_blackbox")
    theirs.touch()
    try:
        with Daemon(tmp_path, command(program)) as daemon:
            first = daemon.start().ready()
            child = next(found.pid for found in proc.descendants(first["pid"] or 0))
            left = [
                Path(f"/dev/shm/sgl_shm_mm_{first['pid']}_blackbox"),
                Path(f"/dev/shm/multi_tokenizer_args_{child}"),
            ]
            assert all(path.exists() for path in left)
            os.kill(first["pid"] or 0, signal.SIGKILL)
            second = daemon.ready(not_pid=first["pid"])
            assert not any(path.exists() for path in left)
            left = [Path(f"/dev/shm/sgl_shm_mm_{second['pid']}_blackbox")]
            assert left[0].exists()
            os.kill(daemon.shim_pid(), signal.SIGKILL)
            third = daemon.ready(not_pid=second["pid"])
            assert not left[0].exists()
            daemon.client.act("stop", "chat-0", pool=False)
            daemon.in_phase("stopped")
            assert not list(Path("/dev/shm").glob(f"*_{third['pid']}*"))
        assert theirs.exists()
    finally:
        theirs.unlink()

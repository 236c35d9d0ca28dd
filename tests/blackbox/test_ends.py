"""Ends that nobody asked for: what is told of them, and what follows. What a retry can't mend isn't retried."""

import datetime
import os
import signal
import time
from pathlib import Path

import pytest

from tests.blackbox.harness import Daemon, args, command, merged, pool
from tests.blackbox.test_start import EXIT, assert_shape
from tests.support import wait_until

NEVER = ("bad-arguments", "model-missing", "environment", "disk-full")
RETRIED = (
    "out-of-host-memory",
    "gpu-fault",
    "collective-fault",
    "engine-crash",
    "shm-full",
    "killed",
    "exited",
    "unknown",
)
SLOW_RETRY = pool(restart={"backoff": "1m", "backoff_max": "5m"})


def test_a_killed_worker_comes_back_by_itself(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        first = daemon.start().ready()
        assert first["pid"] is not None
        os.kill(first["pid"], signal.SIGKILL)
        second = daemon.ready(not_pid=first["pid"])
        assert (second["restarts"], second["reason"], second["next_start_at"]) == (1, None, None)
        end = second["last_exit"]
        assert end is not None
        assert_shape(end, EXIT)
        assert (end["cause"], end["signal"], end["code"]) == ("killed", 9, None)
        assert "9" in (end["evidence"] or "")
        exits = [event for event in daemon.events() if event["kind"] == "worker.exit"]
        assert [event["data"]["cause"] for event in exits] == ["killed"]


def test_a_scheduler_that_dies_takes_its_worker_along(tmp_path: Path) -> None:
    """The root process outlives its scheduler for a while; the whole tree is replaced."""
    with Daemon(tmp_path) as daemon:
        first = daemon.start().ready()
        scheduler = next(pid for pid, name in daemon.processes().items() if name.startswith("sglang::schedul"))
        os.kill(scheduler, signal.SIGKILL)
        second = daemon.ready(not_pid=first["pid"])
        assert second["restarts"] == 1
        assert second["last_exit"] is not None
        assert second["last_exit"]["cause"] in ("engine-crash", "out-of-host-memory", "killed")


@pytest.mark.parametrize("cause", NEVER)
def test_what_a_retry_cannot_mend_is_not_retried(cause: str, tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_fail=cause)) as daemon:
        worker = daemon.start().in_phase("failed")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == cause
        assert worker["reason"]
        assert worker["hint"]
        assert (worker["wanted"], worker["pid"], worker["next_start_at"]) == ("up", None, None)
        time.sleep(0.8)  # several backoffs of 0.1 s: long enough for a start that must not come
        assert daemon.spawns() == 1
        assert daemon.worker()["phase"] == "failed"


@pytest.mark.parametrize("cause", RETRIED)
def test_what_may_pass_is_tried_again_later(cause: str, tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_fail=cause), SLOW_RETRY) as daemon:
        worker = daemon.start().in_phase("backoff")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == cause
        assert worker["reason"]
        assert worker["restarts"] == 1
        assert worker["next_start_at"] is not None
        due = datetime.datetime.fromisoformat(worker["next_start_at"]) - datetime.datetime.now(datetime.UTC)
        assert 50 < due.total_seconds() < 67
        daemon.client.act("start", "chat-0", pool=False)  # someone who has no patience
        again = daemon.until(lambda w: w["phase"] == "backoff" and daemon.spawns() == 2, "a second try")
        assert again["restarts"] == 1


@pytest.mark.parametrize("cause", ["port-in-use", "out-of-gpu-memory"])
def test_what_needs_room_goes_through_the_gate_again(cause: str, tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_fail=cause), SLOW_RETRY) as daemon:
        worker = daemon.start().in_phase("backoff")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == cause


def test_a_model_that_does_not_fit_is_given_up(tmp_path: Path) -> None:
    """Twice out of memory on a card that was free: the third time would end alike."""
    with Daemon(tmp_path, args(sim_fail="out-of-gpu-memory")) as daemon:
        worker = daemon.start().in_phase("failed")
        assert daemon.spawns() == 2
        assert "out-of-gpu-memory" in (worker["reason"] or "")
        assert worker["hint"]


def test_a_pool_has_its_own_way_for_a_cause(tmp_path: Path) -> None:
    causes = {"killed": "never", "bad-arguments": "retry"}
    with Daemon(tmp_path, pool(restart={"causes": causes})) as daemon:
        worker = daemon.start().ready()
        assert worker["pid"] is not None
        os.kill(worker["pid"], signal.SIGKILL)
        worker = daemon.in_phase("failed")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "killed"
        daemon.edit(args(sim_fail="bad-arguments"), pool(restart={"max_restarts": 2}))
        worker = daemon.until(lambda w: w["phase"] == "failed" and "max_restarts" in (w["reason"] or ""), "given up")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "bad-arguments"


def test_a_gpu_can_be_set_aside(tmp_path: Path) -> None:
    causes = {"gpu-fault": "quarantine"}
    with Daemon(tmp_path, args(sim_fail="gpu-fault"), pool(restart={"causes": causes})) as daemon:
        daemon.start().in_phase("failed")
        wait_until(lambda: daemon.status["gpus"][0]["health"] == "quarantined", 10, "a card set aside")
        assert daemon.status["gpus"][1]["health"] == "ok"
        assert daemon.spawns() == 1


def test_the_budget_ends_it(tmp_path: Path) -> None:
    policy = {"backoff": "0.05s", "backoff_max": "0.05s", "max_restarts": 3}
    with Daemon(tmp_path, args(sim_fail="engine-crash"), pool(restart=policy)) as daemon:
        worker = daemon.start().in_phase("failed")
        assert "max_restarts = 3" in (worker["reason"] or "")
        assert daemon.spawns() == 4
        daemon.edit(args(sim_fail=None))
        worker = daemon.ready()
        assert worker["phase"] == "running"


def test_the_delay_doubles_to_its_limit(tmp_path: Path) -> None:
    policy = {"backoff": "0.2s", "backoff_max": "0.5s", "max_restarts": 4}
    with Daemon(tmp_path, args(sim_fail="engine-crash", sim_load_seconds=0.05), pool(restart=policy)) as daemon:
        daemon.start().in_phase("failed", timeout=30)
        moves = [(e["data"], e["at"]) for e in daemon.events() if e["kind"] == "worker.phase"]
        begun: dict[str, datetime.datetime] = {}
        waited = []
        for data, at in moves:
            now = datetime.datetime.fromisoformat(at)
            if data["from"] == "backoff":
                waited.append((now - begun["backoff"]).total_seconds())
            begun[data["to"]] = now
        assert len(waited) == 4
        for seconds, least in zip(waited, (0.2, 0.4, 0.5, 0.5), strict=True):
            assert least - 0.01 <= seconds < least * 1.1 + 0.3, waited


def test_calm_forgives(tmp_path: Path) -> None:
    policy = {"max_restarts": 1, "reset_after": "0.3s"}
    with Daemon(tmp_path, pool(restart=policy)) as daemon:
        worker = daemon.start().ready()
        for ended in (1, 2, 3):
            wait_until(lambda: daemon.record()["deadline"] is None, 10, "the calm has been noticed")
            pid = worker["pid"]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            worker = daemon.ready(not_pid=pid)
            assert worker["restarts"] == ended


@pytest.mark.parametrize(("code", "phase"), [(0, "stopped"), (3, "failed")])
def test_mode_on_failure(code: int, phase: str, tmp_path: Path) -> None:
    policy = {"mode": "on-failure", "max_restarts": 1}
    with Daemon(tmp_path, command(f"sleep 0.2; exit {code}"), pool(restart=policy)) as daemon:
        worker = daemon.start().in_phase(phase)
        assert worker["wanted"] == "up"
        assert worker["reason"]
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["code"] == code
        spawned = daemon.spawns()
        assert spawned == (1 if code == 0 else 2)
        daemon.kill()
        daemon.start()
        time.sleep(0.5)  # long enough for a start that must not come
        assert daemon.worker()["phase"] == phase
        assert daemon.spawns() == spawned


def test_an_engine_that_exits_0_has_failed_all_the_same(tmp_path: Path) -> None:
    """vLLM exits 0 after its engine died, so only a `command` engine's 0 can be final."""
    fails = merged(args(sim_exit_after=0.3, sim_exit_code=0), pool(restart={"mode": "on-failure"}))
    with Daemon(tmp_path, fails) as daemon:
        daemon.start()
        daemon.until(lambda w: w["restarts"] > 0, "counted as a failure")
        wait_until(lambda: daemon.spawns() > 1, 10, "a second start")


def test_mode_never(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(restart={"mode": "never"})) as daemon:
        worker = daemon.start().ready()
        assert worker["pid"] is not None
        os.kill(worker["pid"], signal.SIGKILL)
        worker = daemon.in_phase("failed")
        assert "never" in (worker["reason"] or "")
        daemon.client.act("start", "chat-0", pool=False)
        daemon.ready()

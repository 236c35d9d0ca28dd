"""`switch` is a transaction: it ends with the new profile serving, or with the old one and the reason."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from qvl.client.documents import SwitchDoc
from qvl.model.error import ErrorCode, QvlError

from tests.blackbox.harness import Daemon, Table, args, complete, pool
from tests.support import wait_until


def profile(name: str, **flags: object) -> Table:
    flags = {key.replace("_", "-"): value for key, value in flags.items()}
    return {"profiles": {name: {"extends": "standard", "args": flags}}}


def pids(daemon: Daemon) -> list[int | None]:
    return [worker["pid"] for worker in daemon.status["workers"]]


def outcome(daemon: Daemon, since: int) -> str:
    """How the switch after event `since` ended: its last event's sentence."""

    def ended() -> str | None:
        events = [e for e in daemon.events(since) if e["kind"] == "switch" and (e.get("data") or {}).get("outcome")]
        return str(events[-1]["message"]) if events else None

    return wait_until(ended, 20, "the end of the switch") or ""


GOOD = profile("eagle", max_running_requests=7)


def test_to_a_good_profile(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD, pool(gpus=2)) as daemon:
        daemon.start()
        before = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        content = daemon.config_file.read_bytes()
        accepted = daemon.client.switch("chat", "eagle")
        assert accepted["workers"] == ["chat-0", "chat-1"]
        assert "switched" in outcome(daemon, accepted["seq"])
        found = daemon.pool()
        assert (found["profile"], found["override"], found["switch"]) == ("eagle", "eagle", None)
        for index in range(2):
            worker = daemon.ready(f"chat-{index}", not_pid=before[index])
            assert (worker["profile"], worker["restarts"]) == ("eagle", 0)
            assert b"--max-running-requests\x007" in Path(f"/proc/{worker['pid']}/cmdline").read_bytes()
        assert daemon.config_file.read_bytes() == content
        now = pids(daemon)
        daemon.kill()
        daemon.start()
        daemon.ready("chat-1")
        assert (daemon.pool()["override"], pids(daemon)) == ("eagle", now)
        daemon.stop()
        daemon.start()
        assert daemon.ready()["profile"] == "eagle"
        daemon.ready("chat-1")
        accepted = daemon.client.switch("chat", None)
        outcome(daemon, accepted["seq"])
        found = daemon.pool()
        assert (found["profile"], found["override"]) == ("standard", None)
        assert daemon.ready()["profile"] == "standard"


def test_workers_change_one_by_one(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD, pool(gpus=2), args(sim_load_seconds=0.5)) as daemon:
        daemon.start()
        for index in range(2):
            daemon.ready(f"chat-{index}")
        fewest = [2]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                fewest.append(daemon.pool()["ready"])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            accepted = daemon.client.switch("chat", "eagle")
            under_way = wait_until(lambda: daemon.pool()["switch"], 10, "progress")
            assert under_way is not None
            assert (under_way["kind"], under_way["to"], under_way["total"]) == ("switch", "eagle", 2)
            outcome(daemon, accepted["seq"])
        finally:
            done.set()
            watcher.join()
        assert min(fewest) == 1


def seen_while(daemon: Daemon, over: Callable[[], object]) -> list[SwitchDoc]:
    """What status said of a transaction, each time it said something else, until `over`."""
    found: list[SwitchDoc] = []

    def look() -> object:
        switch = daemon.pool()["switch"]
        if switch is not None and (not found or found[-1] != switch):
            found.append(switch)
        return over()

    wait_until(look, 60, "the end of the switch")
    return found


def outcomes(daemon: Daemon, since: int) -> list[object]:
    return [
        e["data"]["outcome"]
        for e in daemon.events(since)
        if e["kind"] == "switch" and "outcome" in (e.get("data") or {})
    ]


def test_how_far_it_is_shows_in_status_and_events(tmp_path: Path) -> None:
    slow = {"sim_load_seconds": 1.0}
    with Daemon(tmp_path, profile("eagle", max_running_requests=7), pool(gpus=2), args(**slow)) as daemon:
        daemon.start()
        for index in range(2):
            daemon.ready(f"chat-{index}")
        seq = daemon.client.switch("chat", "eagle")["seq"]
        seen = seen_while(daemon, lambda: outcomes(daemon, seq))
        told = [switch["percent"] for switch in seen]
        assert told == sorted(told)
        assert len({one for one in told if 0 < one < 50}) >= 2, told  # while the first one starts
        assert max(told) <= 99
        assert {switch["why"] for switch in seen} == {None}
        events = [e for e in daemon.events(seq) if e["kind"] == "switch" and "step" in (e.get("data") or {})]
        assert [(e["worker"], e["data"]["step"], e["data"]["done"]) for e in events] == [
            ("chat-0", "restarting", 0),
            ("chat-0", "smoke test", 0),
            ("chat-1", "restarting", 1),
            ("chat-1", "smoke test", 1),
        ]
        shares = [e["data"]["percent"] for e in events]
        assert shares == sorted(shares)
        assert shares[0] == 0
        assert shares[2] == 50
        assert events[2]["message"] == "restarting (1 of 2 workers done, 50%)"


def test_the_way_back_is_counted_anew_and_says_why(tmp_path: Path) -> None:
    bad = profile("bad", sim_fail="out-of-gpu-memory")
    with Daemon(tmp_path, bad, args(sim_load_seconds=1.0)) as daemon:
        daemon.start().ready()
        seq = daemon.client.switch("chat", "bad")["seq"]
        seen = seen_while(daemon, lambda: outcomes(daemon, seq))
        back = [switch for switch in seen if switch["why"] is not None]
        there = [switch for switch in seen if switch["why"] is None]
        for way in (there, back):
            told = [switch["percent"] for switch in way]
            assert told == sorted(told)
        assert {switch["step"] for switch in back} == {"rolling back"}
        assert {(switch["worker"], switch["total"]) for switch in back} <= {(None, 1), ("chat-0", 1)}
        assert "out-of-gpu-memory" in str(back[0]["why"])
        first = next(e for e in daemon.events(seq) if (e.get("data") or {}).get("step") == "rolling back")
        assert first["message"].startswith("rolling back: chat-0 did not get ready: out-of-gpu-memory")
        assert (first["severity"], first["data"]["percent"], first["data"]["total"]) == ("warning", 0, 1)


FAILING = {
    "at its start": (profile("bad", sim_fail="bad-arguments"), "bad-arguments"),
    "while loading": (profile("bad", sim_fail="out-of-gpu-memory"), "out-of-gpu-memory"),
    "by a crash": (profile("bad", sim_fail="engine-crash"), "engine-crash"),
    "by a stall": (profile("bad", sim_stall_at="weights"), "start-stalled"),
}


@pytest.mark.parametrize("how", FAILING)
def test_to_one_that_fails(how: str, tmp_path: Path) -> None:
    bad, word = FAILING[how]
    with Daemon(tmp_path, bad, pool(gpus=2, health={"stall_timeout": "1s", "interval": "0.2s"})) as daemon:
        daemon.start()
        before = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        spawned = daemon.spawns()
        accepted = daemon.client.switch("chat", "bad")
        sentence = outcome(daemon, accepted["seq"])
        assert word in sentence
        assert "standard" in sentence
        worker = daemon.ready(not_pid=before[0])
        assert (worker["profile"], worker["wanted"]) == ("standard", "up")
        assert pids(daemon)[1] == before[1]
        found = daemon.pool()
        assert (found["profile"], found["override"], found["switch"]) == ("standard", None, None)
        assert daemon.spawns() == spawned + 2  # once with the new profile, once with the old
        assert complete(daemon.port)[0] == 200


def test_the_second_worker_decides_too(tmp_path: Path) -> None:
    """A key that only the second worker's place makes fail: both go back."""
    with Daemon(tmp_path, profile("eagle", max_running_requests=7), pool(gpus=2)) as daemon:
        daemon.start()
        before = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        accepted = daemon.client.switch("chat", "eagle")
        daemon.ready("chat-0", not_pid=before[0])
        worker = daemon.until(lambda w: w["phase"] == "starting" and w["pid"], "the second starts", "chat-1")
        assert worker["pid"] is not None

        os.kill(worker["pid"], signal.SIGKILL)
        assert "chat-1" in outcome(daemon, accepted["seq"])
        for index in range(2):
            assert daemon.ready(f"chat-{index}")["profile"] == "standard"
        assert daemon.pool()["override"] is None


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD) as daemon:
        daemon.start().ready()
        before = pids(daemon)
        plan = daemon.client.plan_switch("chat", "eagle")
        assert [(step["worker"], step["action"]) for step in plan["steps"]] == [("chat-0", "restart")]
        keys = {change["key"]: (change["from"], change["to"]) for change in plan["steps"][0]["keys"]}
        assert keys["args.max-running-requests"] == (None, 7)
        assert keys["profile"] == ("standard", "eagle")
        assert (pids(daemon), daemon.pool()["override"]) == (before, None)


def test_what_can_not_be_is_refused_at_once(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD) as daemon:
        daemon.start().ready()
        for name, wanted in (("chat", "eagel"), ("chta", "eagle")):
            with pytest.raises(QvlError) as info:
                daemon.client.switch(name, wanted)
            assert info.value.code is ErrorCode.NOT_FOUND
            assert info.value.hint
        with pytest.raises(QvlError) as info:
            daemon.client.cancel_switch("chat")
        assert info.value.code is ErrorCode.CONFLICT


def test_one_at_a_time(tmp_path: Path) -> None:
    slow = profile("slow", sim_load_seconds=30)
    with Daemon(tmp_path, slow, GOOD) as daemon:
        before = daemon.start().ready()["pid"]
        accepted = daemon.client.switch("chat", "slow")
        daemon.until(lambda w: w["phase"] == "starting", "under way")
        with pytest.raises(QvlError) as info:
            daemon.client.switch("chat", "eagle")
        assert info.value.code is ErrorCode.CONFLICT
        daemon.edit(pool(restart={"max_restarts": 17}))  # an edit waits for the switch
        time.sleep(0.6)
        assert daemon.worker()["max_restarts"] == 8
        daemon.client.cancel_switch("chat")
        assert "cancel" in outcome(daemon, accepted["seq"])
        worker = daemon.ready(not_pid=before)
        assert worker["profile"] == "standard"
        daemon.until(lambda w: w["max_restarts"] == 17, "the edit that waited")


def test_a_switch_that_the_daemon_does_not_survive(tmp_path: Path) -> None:
    """What wasn't committed never was: the new daemon runs what the last commit says."""
    with Daemon(tmp_path, profile("slow", sim_load_seconds=30)) as daemon:
        daemon.start().ready()
        seq = daemon.client.switch("chat", "slow")["seq"]
        daemon.until(lambda w: w["phase"] == "starting" and w["pid"], "under way")
        daemon.kill()
        daemon.start()
        worker = daemon.ready()
        assert worker["profile"] == "standard"
        assert daemon.pool()["override"] is None
        sentence = "went back to profile standard: the daemon ended before the switch to slow was through"
        assert outcome(daemon, seq) == sentence
        daemon.kill()
        daemon.start()
        daemon.ready()
        assert outcomes(daemon, seq) == ["rolled-back"]  # said once


def test_a_switch_to_what_runs_changes_nothing(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD) as daemon:
        daemon.start().ready()
        before = pids(daemon)
        accepted = daemon.client.switch("chat", "standard")
        outcome(daemon, accepted["seq"])
        assert pids(daemon) == before
        assert daemon.pool()["override"] is None


def test_a_switch_of_a_pool_that_is_down(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD, pool(autostart=False)) as daemon:
        daemon.start().in_phase("stopped")
        accepted = daemon.client.switch("chat", "eagle")
        outcome(daemon, accepted["seq"])
        worker = daemon.worker()
        assert (worker["phase"], worker["wanted"], worker["profile"]) == ("stopped", "down", "eagle")
        daemon.client.act("start", "chat", pool=True)
        assert daemon.ready()["profile"] == "eagle"


def test_a_switch_mends_what_had_failed(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_fail="bad-arguments"), profile("good", sim_fail=False)) as daemon:
        daemon.edit({"profiles": {"good": {"args": None, "unset": ["args.sim-fail"]}}})
        daemon.start().in_phase("failed")
        accepted = daemon.client.switch("chat", "good")
        assert "switched" in outcome(daemon, accepted["seq"])
        assert daemon.ready()["profile"] == "good"


def test_an_override_ends_with_an_edit_of_the_profile(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD, profile("third", max_running_requests=3)) as daemon:
        daemon.start().ready()
        outcome(daemon, daemon.client.switch("chat", "eagle")["seq"])
        daemon.edit(pool(restart={"max_restarts": 17}))  # of something else: it stays
        daemon.applied()
        assert daemon.pool()["override"] == "eagle"
        daemon.edit(pool(profile="third"))
        daemon.applied()
        assert daemon.pool()["override"] is None
        assert daemon.ready()["profile"] == "third"


def test_removing_the_overriding_profile_leads_back_to_the_files(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD) as daemon:
        daemon.start().ready()
        outcome(daemon, daemon.client.switch("chat", "eagle")["seq"])
        daemon.edit({"profiles": {"eagle": None}})
        daemon.applied()
        assert daemon.pool()["override"] is None
        assert daemon.ready()["profile"] == "standard"


def test_editing_the_overriding_profile_restarts_its_workers(tmp_path: Path) -> None:
    with Daemon(tmp_path, GOOD) as daemon:
        daemon.start().ready()
        outcome(daemon, daemon.client.switch("chat", "eagle")["seq"])
        before = pids(daemon)
        daemon.edit(args(sim_token_seconds=0.01), profile("eagle", sim_token_seconds=0.03))
        daemon.applied()
        assert daemon.pool()["override"] == "eagle"
        worker = daemon.ready(not_pid=before[0])
        assert b"--sim-token-seconds\x000.03" in Path(f"/proc/{worker['pid']}/cmdline").read_bytes()

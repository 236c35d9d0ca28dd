"""Saving the file: what changes does, what doesn't stays untouched, and what is wrong harms nobody."""

import json
import signal
import time
from pathlib import Path

import pytest
import tomli_w
from qvl.model.error import ErrorCode, QvlError
from qvl.shim import logread

from tests.blackbox.harness import Daemon, Table, args, command, complete, merged, pool
from tests.support import wait_until


def second_pool(port: int) -> Table:
    return {
        "profiles": {"other": {"extends": "standard"}},
        "pools": {"more": {"profile": "other", "gpus": [2], "port": port, "stop": {"drain": "0s", "term": "5s"}}},
    }


def pids(daemon: Daemon) -> dict[str, int | None]:
    return {worker["name"]: worker["pid"] for worker in daemon.status["workers"]}


def actions(plan: object) -> dict[str, str]:
    assert isinstance(plan, dict)
    return {step["worker"]: step["action"] for step in plan["steps"]}


def refused(daemon: Daemon) -> str:
    error: str = wait_until(lambda: daemon.file["error"], 10, "a refusal")
    return error


def test_an_argument_restarts_the_workers_of_its_pool_one_by_one(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(gpus=2)) as daemon:
        daemon.edit(second_pool(daemon.port + 4))
        daemon.start()
        for name in ("chat-0", "chat-1", "more-0"):
            daemon.ready(name)
        before = pids(daemon)
        daemon.edit(
            {
                "profiles": {
                    "standard": {"args": {"max-running-requests": 9}},
                    "other": {"unset": ["args.max-running-requests"]},
                }
            }
        )
        daemon.applied()
        after = pids(daemon)
        assert after["more-0"] == before["more-0"]
        assert after["chat-0"] != before["chat-0"]
        assert after["chat-1"] != before["chat-1"]
        assert [worker["restarts"] for worker in daemon.status["workers"]] == [0, 0, 0]
        moves = [(e["worker"], e["data"]["to"]) for e in daemon.events() if e["kind"] == "worker.phase"]
        back = max(at for at, move in enumerate(moves) if move == ("chat-0", "running"))
        assert moves.index(("chat-1", "stopping")) > back, "the second leaves only after the first is back"
        for port in (0, 1, 4):
            assert complete(daemon.port + port)[0] == 200


def test_a_policy_restarts_nobody(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        before = pids(daemon)
        daemon.edit(
            pool(
                restart={"backoff": "7s", "backoff_max": "1m", "max_restarts": 5},
                health={"failures": 9},
                stop={"term": "9s"},
                logs={"max_size": "1MB", "keep": 2},
            )
        )
        assert actions(daemon.client.plan()) in ({"chat-0": "reconfigure"}, {"chat-0": "keep"})
        daemon.applied()
        assert pids(daemon) == before
        assert daemon.worker()["max_restarts"] == 5
        assert daemon.worker()["restarts"] == 0


def test_a_new_log_policy_holds_at_once(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_log_rate=2000), pool(logs={"max_size": "50MB", "keep": 5})) as daemon:
        daemon.start().ready()
        before = pids(daemon)
        daemon.edit(pool(logs={"max_size": "64kB", "keep": 2}))
        daemon.applied()

        def sizes() -> list[int]:
            return [segment.size for segment in logread.segments(daemon.logs / "chat-0")]

        wait_until(lambda: len(sizes()) >= 3, 20, "short segments")
        wait_until(lambda: sum(sizes()) < 300_000, 10, "few of them")
        assert pids(daemon) == before


def test_a_pool_comes_and_goes(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        before = pids(daemon)["chat-0"]
        daemon.edit(second_pool(daemon.port + 4))
        daemon.ready("more-0")
        assert pids(daemon)["chat-0"] == before
        daemon.edit({"pools": {"more": None}})
        wait_until(lambda: daemon.file["pending"], 10, "the removal waits")
        assert daemon.worker("more-0")["ready"]
        assert complete(daemon.port + 4)[0] == 200
        plan = daemon.client.plan()
        assert actions(plan) == {"chat-0": "keep", "more-0": "stop"}
        assert plan["removes_pools"] == ["more"]
        daemon.client.apply(plan["id"])
        wait_until(lambda: set(pids(daemon)) == {"chat-0"}, 15, "the pool is gone")
        assert not daemon.file["pending"]
        assert pids(daemon)["chat-0"] == before
        assert [found["name"] for found in daemon.status["pools"]] == ["chat"]
        assert not (daemon.state / "workers" / "more-0").exists()
        assert (daemon.logs / "more-0").exists()


def test_a_pool_without_a_worker_up_goes_by_itself(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.edit(second_pool(daemon.port + 4))
        daemon.start().ready()
        daemon.ready("more-0")
        daemon.client.act("stop", "more", pool=True)
        daemon.in_phase("stopped", "more-0")
        daemon.edit({"pools": {"more": None}})
        wait_until(lambda: set(pids(daemon)) == {"chat-0"}, 15, "the pool is gone")
        daemon.edit(second_pool(daemon.port + 4))
        assert daemon.ready("more-0")["wanted"] == "up"  # removing a pool forgot what was wanted of it


def test_more_and_fewer_workers(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        before = daemon.start().ready()["pid"]
        daemon.edit(pool(gpus=3))
        daemon.ready("chat-2")
        daemon.ready("chat-1")
        assert pids(daemon)["chat-0"] == before
        daemon.edit(pool(gpus=1))
        wait_until(lambda: pids(daemon) == {"chat-0": before}, 15, "one worker is left")


def test_saves_as_editors_make_them(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()

        def policy(number: int) -> bytes:
            config = merged(daemon.config, pool(restart={"max_restarts": number}))
            return tomli_w.dumps(config).encode()

        def seen(number: int) -> None:
            daemon.until(lambda w: w["max_restarts"] == number, f"edit {number}", timeout=6)

        file = daemon.config_file
        file.write_bytes(policy(11))  # in place
        seen(11)
        (tmp_path / ".qvl.toml.swp").write_bytes(b"x")  # vim's, and its backup dance
        file.rename(tmp_path / "qvl.toml~")
        file.write_bytes(policy(12))
        (tmp_path / "qvl.toml~").unlink()
        seen(12)
        (tmp_path / "new").write_bytes(policy(13))  # replaced by rename
        (tmp_path / "new").replace(file)
        seen(13)
        with file.open("wb") as slow:  # half-written for a while
            content = policy(14)
            for at in range(0, len(content), 40):
                slow.write(content[at : at + 40])
                slow.flush()
                time.sleep(0.02)  # a slow writer is what this is about
        seen(14)
        (tmp_path / "a").mkdir()  # Kubernetes: a link to a link that is swapped
        (tmp_path / "a" / "qvl.toml").write_bytes(policy(15))
        file.unlink()
        file.symlink_to("data/qvl.toml")
        (tmp_path / "data").symlink_to("a")
        seen(15)
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "qvl.toml").write_bytes(policy(16))
        (tmp_path / "data.new").symlink_to("b")
        (tmp_path / "data.new").replace(tmp_path / "data")
        seen(16)
        assert daemon.worker()["restarts"] == 0


def test_an_edit_right_after_the_start_counts(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        for number in range(20, 26):
            daemon.kill()
            daemon.start()
            daemon.edit(pool(restart={"max_restarts": number}))
            daemon.until(lambda w, n=number: w["max_restarts"] == n, "the edit", timeout=6)  # type: ignore[misc]


def test_drop_ins(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        before = pids(daemon)
        folder = tmp_path / "qvl.d"
        folder.mkdir()
        (folder / "20-late.toml").write_text("[pools.chat.restart]\nmax_restarts = 20\n")
        daemon.until(lambda w: w["max_restarts"] == 20, "a drop-in")
        (folder / "10-early.toml").write_text("[pools.chat.restart]\nmax_restarts = 10\nwindow = '1m'\n")
        (folder / "30-not-ours.bak").write_text("[pools.chat.restart]\nmax_restarts = 30\n")
        daemon.applied()
        assert daemon.worker()["max_restarts"] == 20
        (folder / "20-late.toml").unlink()
        daemon.until(lambda w: w["max_restarts"] == 10, "the earlier one")
        (folder / "40-wrong.toml").write_text("[pools.chat]\nnonsense = 1\n")
        assert "40-wrong.toml:2" in refused(daemon)
        (folder / "40-wrong.toml").unlink()
        wait_until(lambda: daemon.file["error"] is None, 10, "mended")
        assert pids(daemon) == before


@pytest.mark.parametrize("auto_apply", [False, "safe"])
def test_auto_apply(auto_apply: object, tmp_path: Path) -> None:
    with Daemon(tmp_path, {"supervisor": {"auto_apply": auto_apply}}) as daemon:
        daemon.start().ready()
        before = pids(daemon)
        daemon.edit(pool(restart={"max_restarts": 21}))
        if auto_apply == "safe":
            daemon.until(lambda w: w["max_restarts"] == 21, "what interrupts nobody")
        else:
            wait_until(lambda: daemon.file["pending"], 10, "it waits")
            assert daemon.worker()["max_restarts"] == 8
        daemon.edit(args(max_running_requests=9))
        wait_until(lambda: daemon.file["pending"], 10, "it waits")
        plan = daemon.client.plan()
        assert actions(plan) == {"chat-0": "restart"}
        assert [change["key"] for change in plan["steps"][0]["keys"]] == ["args.max-running-requests"]
        assert pids(daemon) == before
        daemon.kill()  # what waits goes on waiting
        daemon.start()
        wait_until(lambda: daemon.file["pending"], 10, "it still waits")
        assert pids(daemon) == before
        daemon.client.apply(daemon.client.plan()["id"])
        daemon.ready(not_pid=before["chat-0"])
        daemon.applied()
        assert not daemon.file["pending"]
        assert daemon.worker()["max_restarts"] == 21


def test_a_plan_of_an_older_file_is_refused(tmp_path: Path) -> None:
    with Daemon(tmp_path, {"supervisor": {"auto_apply": False}}) as daemon:
        daemon.start().ready()
        daemon.edit(args(max_running_requests=9))
        plan = daemon.client.plan()
        daemon.edit(args(max_running_requests=10))
        with pytest.raises(QvlError) as info:
            daemon.client.apply(plan["id"])
        assert info.value.code is ErrorCode.STALE_PLAN
        with pytest.raises(QvlError) as info:
            daemon.client.apply("no-such-plan")
        assert info.value.code is ErrorCode.NOT_FOUND


def test_a_plan_is_what_the_contract_says(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        other = tmp_path / "other.toml"
        other.write_text(tomli_w.dumps(merged(daemon.config, args(sim_load_seconds=0.2), pool(gpus=2))))
        before, revision = pids(daemon), daemon.file["revision"]
        plan = json.loads(json.dumps(daemon.client.plan(str(other))))
        assert plan["version"] == 1
        assert list(plan["steps"][0])[:4] == ["worker", "action", "keys", "downtime_s"]
        assert actions(plan) == {"chat-0": "restart", "chat-1": "start"}
        assert plan["steps"][0]["keys"] == [{"key": "args.sim-load-seconds", "from": 0.1, "to": 0.2}]
        assert plan["steps"][0]["downtime_s"] > 0
        assert plan["revision"] != revision
        assert (pids(daemon), daemon.file["revision"]) == (before, revision)  # it changed nothing
        with pytest.raises(QvlError) as info:
            daemon.client.apply(plan["id"])
        assert info.value.code is ErrorCode.CONFLICT


def test_an_edit_that_does_not_get_ready_goes_back(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(gpus=2)) as daemon:
        daemon.start()
        before = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        applied = daemon.file["applied"]
        daemon.edit(args(sim_fail="bad-arguments"))
        error = refused(daemon)
        assert "chat-0" in error
        assert "bad-arguments" in error
        daemon.ready("chat-0", not_pid=before[0])
        assert pids(daemon)["chat-1"] == before[1]
        assert daemon.file["applied"] == applied
        assert daemon.file["revision"] != applied
        assert b"sim-fail" in daemon.config_file.read_bytes()  # the file is the user's
        spawned = daemon.spawns()
        for end in (daemon.kill, daemon.stop):
            end()
            daemon.start()
            daemon.ready("chat-0")
            daemon.ready("chat-1")
            assert daemon.file["error"] == error
            assert daemon.file["applied"] == applied
        assert daemon.spawns() <= spawned + 1  # of the stop, and none of the rejected configuration
        daemon.edit(args(sim_fail=None, max_running_requests=5))
        daemon.applied()
        assert daemon.file["error"] is None
        assert daemon.ready()["restarts"] == 0


def test_a_rejected_edit_is_tried_again_when_typed(tmp_path: Path) -> None:
    gate = tmp_path / "good"
    with Daemon(tmp_path, command(f"test -e {gate} || exit 1; exec sleep 600")) as daemon:
        gate.touch()
        before = daemon.start().ready()["pid"]
        gate.unlink()
        daemon.edit({"engines": {"own": {"env": {"EDITED": "1"}}}})
        refused(daemon)
        gate.touch()
        daemon.client.apply(daemon.client.plan()["id"])
        daemon.applied()
        assert daemon.file["error"] is None
        worker = daemon.ready(not_pid=before)
        assert b"EDITED=1" in Path(f"/proc/{worker['pid']}/environ").read_bytes()


def test_edits_follow_each_other(tmp_path: Path) -> None:
    """Ten saves in a row: the last one is what runs, whatever the ones before had begun."""
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        for number in range(1, 11):
            daemon.edit(args(max_running_requests=number))
            time.sleep(0.15)  # somebody who saves while an earlier save is under way
        daemon.applied()
        worker = daemon.ready()
        assert "--max-running-requests\0" + "10" in Path(f"/proc/{worker['pid']}/cmdline").read_text()
        assert worker["restarts"] == 0


def test_moving_workers_to_other_cards_and_ports(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.edit(second_pool(daemon.port + 4))
        daemon.start()
        daemon.ready("chat-0")
        daemon.ready("more-0")
        old = daemon.port
        daemon.edit(
            {"pools": {"chat": {"gpus": [2], "port": old + 4}, "more": {"gpus": [0], "port": old}}}
        )  # they swap places
        assert set(actions(daemon.client.plan()).values()) <= {"relayout", "keep"}
        daemon.applied()
        chat, more = daemon.ready("chat-0"), daemon.ready("more-0")
        assert (chat["gpus"], chat["port"]) == ([2], old + 4)
        assert (more["gpus"], more["port"]) == ([0], old)
        assert [w["restarts"] for w in (chat, more)] == [0, 0]


def test_a_look_at_the_file_while_it_is_being_applied_leaves_nothing_pending(tmp_path: Path) -> None:
    """A script moves a file into place and types `apply` at once; the save is noticed only then."""
    extra = {"pools": {"extra": {"profile": "standard", "gpus": [1]}}}
    with Daemon(tmp_path, extra) as daemon:
        daemon.edit(pool("extra", port=daemon.port + 4))
        daemon.start().ready("extra-0")
        first = daemon.ready()
        daemon.edit({"pools": {"extra": None}}, args(sim_load_seconds=3))
        daemon.client.apply(daemon.client.plan()["id"])
        daemon.until(lambda w: w["phase"] == "starting" and w["pid"] != first["pid"], "under way")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(daemon.status["workers"]) == 1, 15, "the pool is gone")
        daemon.applied()
        assert daemon.file["pending"] is False

"""What this host can't carry is said before anything is started for it, and mends itself once it can."""

import json
import os
from pathlib import Path
from typing import Any

from tests.blackbox.harness import Daemon, Table, args, pool
from tests.models import model, names, shard
from tests.support import wait_until

GIB = 1 << 30


def profile(path: Path, name: str = "standard", **more: Any) -> Table:
    return {"profiles": {name: {"model": str(path), **more}}}


def warnings(daemon: Daemon) -> list[Any]:
    """Of the live file, as `qvlctl plan --json` has them."""
    found: list[Any] = daemon.client.plan()["warnings"]
    return found


def events(daemon: Daemon, worker: str = "chat-0") -> list[Any]:
    return [e for e in daemon.events() if e["kind"] == "worker.warning" and e["worker"] == worker]


def test_a_shard_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    path = model(tmp_path / "model", 8 * GIB, 4, leave_out=(2, 3))
    with Daemon(tmp_path, profile(path)) as daemon:
        worker = daemon.start().in_phase("failed")
        assert names(4)[1] in (worker["reason"] or "")
        assert worker["last_exit"] is not None
        assert (worker["last_exit"]["cause"], worker["last_exit"]["code"]) == ("model-missing", None)
        assert "by itself" in (worker["hint"] or "")
        shard(path / names(4)[1], 2 * GIB)
        shard(path / names(4)[2], 2 * GIB)
        daemon.ready()


def test_a_shard_is_waited_for_until_it_is_whole(tmp_path: Path) -> None:
    """Copies grow: the file is there long before it is all there."""
    path = model(tmp_path / "model", 8 * GIB, 2)
    file = path / names(2)[1]
    whole = file.stat().st_size
    os.truncate(file, whole - 1)
    with Daemon(tmp_path, profile(path)) as daemon:
        worker = daemon.start().in_phase("failed")
        assert f"is cut short: {whole - 1:,} of {whole:,} bytes" in (worker["reason"] or "")
        begun = daemon.spawns()
        os.truncate(file, whole)
        daemon.ready()
        assert daemon.spawns() == begun + 1, "not once while it was cut short"


def test_what_is_missing_is_in_the_plan_and_touches_nothing_that_runs(tmp_path: Path) -> None:
    path = model(tmp_path / "model", 8 * GIB, 4)
    settings: Table = {"supervisor": {"auto_apply": False}}
    with Daemon(tmp_path, profile(path), settings) as daemon:
        before = daemon.start().ready()
        assert warnings(daemon) == []
        (path / names(4)[3]).unlink()
        assert warnings(daemon) == [], "nothing would be started"
        daemon.edit(args(sim_load_seconds=0.2))
        (warning,) = warnings(daemon)
        assert (warning["worker"], warning["waits"]) == ("chat-0", True)
        assert warning["message"] == f"model {path}: {names(4)[3]} is missing"
        assert daemon.worker()["pid"] == before["pid"]
        assert daemon.file["error"] is None


def test_a_profile_whose_model_is_not_whole_is_no_way_to_switch_to(tmp_path: Path) -> None:
    good, bad = model(tmp_path / "good", GIB), model(tmp_path / "bad", GIB, 2, leave_out=(1,))
    with Daemon(tmp_path, profile(good), profile(bad, "other", extends="standard")) as daemon:
        before = daemon.start().ready()
        (warning,) = daemon.client.plan_switch("chat", "other")["warnings"]
        assert names(2)[0] in warning["message"]
        daemon.client.switch("chat", "other")
        back = wait_until(lambda: [e for e in daemon.events() if e.get("severity") == "error"], 20, "it went back")
        assert names(2)[0] in back[0]["message"]
        assert (daemon.worker()["pid"], daemon.worker()["profile"]) == (before["pid"], "standard"), "nobody was stopped"
        wait_until(lambda: daemon.pool()["switch"] is None, 15, "it is over")
        daemon.edit({"pools": {"chat": {"profile": "other"}}})
        wait_until(lambda: "rejected" in (daemon.file["error"] or ""), 15, "so is an edit that comes to the same")
        assert daemon.worker()["pid"] == before["pid"]


def test_weights_that_no_card_holds_are_not_tried_forever(tmp_path: Path) -> None:
    path = model(tmp_path / "model", 200 * GIB, 2)
    with Daemon(tmp_path, profile(path)) as daemon:
        worker = daemon.start().in_phase("failed")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "out-of-gpu-memory"
        assert "the weights take 200.0 GiB of a GPU with 80.0 GiB" in (worker["last_exit"]["evidence"] or "")
        assert "tp-size = 4" in (worker["hint"] or "")
        assert not daemon.log(), "no engine was started for it"
        daemon.edit(args(tp_size=4), pool(gpus=4))
        daemon.ready()


def test_a_cache_that_is_too_small_is_a_warning_once_for_each_start(tmp_path: Path) -> None:
    path = model(tmp_path / "model", 16 * GIB)
    asked = args(mem_fraction_static=0.25, context_length=65536)
    with Daemon(tmp_path, profile(path), asked) as daemon:
        daemon.start().ready()
        (event,) = events(daemon)
        assert event["severity"] == "warning"
        assert "KV tokens fit beside 16.0 GiB of weights in 0.25 of 79.0 GiB" in event["message"]
        (told,) = event["data"]["warnings"]
        assert "raise mem-fraction-static to 0.32" in told["hint"]
        daemon.client.act("restart", "chat-0", pool=False)
        wait_until(lambda: len(events(daemon)) == 2, 15, "the next start")
        daemon.ready()
        daemon.edit(args(mem_fraction_static=0.32))
        daemon.applied()
        daemon.ready()
        assert len(events(daemon)) == 2


def test_who_is_on_a_card_is_in_the_plan(tmp_path: Path) -> None:
    settings: Table = {"supervisor": {"auto_apply": False}}
    with Daemon(tmp_path, settings) as daemon:
        hold = daemon.state / "simulated-gpus" / "gpu1.hold.json"
        hold.parent.mkdir(parents=True, mode=0o700)
        hold.write_text(json.dumps({"pid": os.getpid(), "memory": 30 * GIB, "command": "training"}))
        daemon.start().ready()
        daemon.edit(pool(gpus=[0, 1, 9]))
        first, second = warnings(daemon)
        assert "GPU 1 is held by pid" in first["message"]
        assert "training" in first["message"]
        assert "GPU 9" in second["message"]
        assert daemon.worker()["ready"]


INTERPRETER = """\
#!/bin/sh
[ "$1" = -m ] || exit 1  # who asks about SGLang learns nothing
exec sleep 600
"""


def test_a_mount_that_hangs_keeps_nobody(tmp_path: Path) -> None:
    """A pipe in the place of a file is waited for until somebody writes to it, which is never."""
    refs = tmp_path / "hub" / "models--own--model" / "refs"
    refs.mkdir(parents=True)
    os.mkfifo(refs / "main")
    python = tmp_path / "python"
    python.write_text(INTERPRETER)
    python.chmod(0o755)
    engine: Table = {
        "supervisor": {"auto_apply": False},
        "engines": {"real": {"kind": "sglang", "python": str(python), "env": {"HF_HOME": str(tmp_path)}}},
        "profiles": {"real": {"engine": "real", "model": "own/model"}},
    }
    with Daemon(tmp_path, engine) as daemon:
        daemon.start().ready()
        daemon.edit({"pools": {"chat": {"profile": "real"}}})
        (warning,) = warnings(daemon)
        assert "did not answer" in warning["message"]
        assert daemon.worker()["ready"]

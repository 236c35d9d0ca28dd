"""Edits that a running engine takes: no process is started for them, and what the engine refuses goes back."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.blackbox.harness import Daemon, Table, args, ask, complete, merged, pool
from tests.support import wait_until

RECEIVED = b"Receive: obj=GenerateReqInput("
LORA = args(enable_lora=True, max_lora_rank=8, lora_target_modules=["q_proj", "v_proj"], lora_paths=["base=org/base"])
"""An engine with room for adapters, and one of them."""
PAIR = pool(gpus=2)


def received(daemon: Daemon, name: str = "chat-0") -> int:
    """How many requests the engine has logged."""
    return daemon.log(name).count(RECEIVED)


def plan_of(daemon: Daemon) -> dict[str, tuple[str, dict[str, tuple[Any, Any]]]]:
    """Action and keys, with what they lead from and to, by worker; a plan of the file as it is now."""
    return {
        step["worker"]: (step["action"], {key["key"]: (key["from"], key["to"]) for key in step["keys"]})
        for step in daemon.client.plan()["steps"]
    }


def adapters(daemon: Daemon, index: int = 0, key: str | None = None) -> dict[str, str]:
    """What the engine has loaded, as it says itself."""
    status, models = ask(daemon.port + index, "GET", "/v1/models", key=key)
    assert status == 200
    return {card["id"]: card["root"] for card in models["data"] if card["parent"]}


def waiting(*changes: Table) -> Table:
    """Nothing is applied before somebody types it."""
    return merged({"supervisor": {"auto_apply": False}}, *changes)


def apply(daemon: Daemon) -> None:
    daemon.client.apply(daemon.client.plan()["id"])


def test_what_the_engine_takes_is_changed_in_the_process_that_runs(tmp_path: Path) -> None:
    with Daemon(tmp_path, waiting()) as daemon:
        before = daemon.start().ready()
        assert complete(daemon.port)[0] == 200
        assert received(daemon) == 0
        daemon.edit(args(log_requests=True, log_requests_level=1, log_level="DEBUG"))
        wait_until(lambda: daemon.file["pending"], 10, "the edit is noticed")
        assert plan_of(daemon) == {
            "chat-0": (
                "live",
                {
                    "args.log-level": (None, "DEBUG"),
                    "args.log-requests": (None, True),
                    "args.log-requests-level": (None, 1),
                },
            )
        }
        assert daemon.client.plan()["steps"][0]["downtime_s"] is None
        apply(daemon)
        daemon.applied()
        assert set(plan_of(daemon)) == {"chat-0"}
        assert plan_of(daemon)["chat-0"] == ("keep", {})
        assert complete(daemon.port)[0] == 200
        assert received(daemon) == 1
        after = daemon.worker()
        assert [after[key] for key in ("pid", "since", "restarts", "drift")] == [before["pid"], before["since"], 0, []]
        told = [event for event in daemon.events() if event["kind"] == "worker.live"]
        assert [event["worker"] for event in told] == ["chat-0"]
        assert 'log-level = "DEBUG"' in told[0]["message"]
        # Its next start has it from the command line, and nothing is left to tell.
        daemon.client.act("restart", "chat-0", pool=False)
        again = daemon.ready(not_pid=after["pid"])
        assert b"\0--log-requests-level\x001\0" in Path(f"/proc/{again['pid']}/cmdline").read_bytes()
        assert complete(daemon.port)[0] == 200
        assert received(daemon) == 2


def test_one_key_that_the_engine_does_not_take_brings_the_others_along(tmp_path: Path) -> None:
    with Daemon(tmp_path, waiting()) as daemon:
        before = daemon.start().ready()
        daemon.edit(args(log_requests=True, max_running_requests=7))
        assert plan_of(daemon)["chat-0"] == (
            "restart",
            {"args.log-requests": (None, True), "args.max-running-requests": (None, 7)},
        )
        apply(daemon)
        daemon.ready(not_pid=before["pid"])
        daemon.applied()


def test_safe_applies_it_since_it_interrupts_nobody(tmp_path: Path) -> None:
    with Daemon(tmp_path, {"supervisor": {"auto_apply": "safe"}}, PAIR) as daemon:
        daemon.start()
        pids = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        daemon.edit(args(log_requests=True), pool(logs={"keep": 3}))
        daemon.applied()
        assert [daemon.worker(f"chat-{index}")["pid"] for index in range(2)] == pids
        for index in range(2):
            assert complete(daemon.port + index)[0] == 200
            assert received(daemon, f"chat-{index}") == 1


def test_access_lines_go_on_at_the_level_of_the_start_and_that_is_told(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        before = daemon.start().ready()
        daemon.edit(args(log_level="warning"))
        daemon.applied()
        daemon.until(lambda w: w["drift"], "drift")
        assert daemon.worker()["drift"] == ["log-level of its web server (still info)"]
        seen = daemon.log().count(b'"POST /v1/chat/completions')
        assert complete(daemon.port)[0] == 200
        assert daemon.log().count(b'"POST /v1/chat/completions') == seen + 1
        daemon.edit(args(log_level=None))
        daemon.applied()
        daemon.until(lambda w: not w["drift"], "no drift")
        assert daemon.worker()["pid"] == before["pid"]


def test_an_adapter_is_loaded_into_the_engines_that_run(tmp_path: Path) -> None:
    with Daemon(tmp_path, LORA, PAIR) as daemon:
        daemon.start()
        pids = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        daemon.edit(args(lora_paths=["base=org/base", "sql=org/sql", '{"lora_name": "x", "lora_path": "org/x"}']))
        daemon.applied()
        for index in range(2):
            assert adapters(daemon, index) == {"base": "org/base", "sql": "org/sql", "x": "org/x"}
            assert daemon.worker(f"chat-{index}")["pid"] == pids[index]
        assert ask(daemon.port, "POST", "/generate", {"text": "hi", "lora_path": "sql"})[0] == 200


def test_what_an_engine_would_bring_back_by_itself_is_restarted_for(tmp_path: Path) -> None:
    """An adapter less, another path, or another in its place."""
    with Daemon(tmp_path, LORA, waiting()) as daemon:
        daemon.start().ready()
        for paths in (None, ["base=org/other"], ["sql=org/sql"]):
            daemon.edit(args(lora_paths=paths))
            assert plan_of(daemon)["chat-0"][0] == "restart"


def test_an_adapter_that_the_engine_refuses_takes_everything_back(tmp_path: Path) -> None:
    """The second worker refuses, since its sibling had room for it: by then the first has it already."""
    tight = tmp_path / "tight"
    tight.mkdir()
    (tight / "adapter_config.json").write_text(json.dumps({"r": 4, "target_modules": ["q_proj"]}))
    with Daemon(tmp_path, LORA, PAIR) as daemon:
        daemon.start()
        before = [daemon.ready(f"chat-{index}") for index in range(2)]
        # Behind our back, and under the name that is to come: the engine has a word for that.
        assert (
            ask(daemon.port + 1, "POST", "/load_lora_adapter", {"lora_name": "sql", "lora_path": str(tight)})[0] == 200
        )
        daemon.edit(args(lora_paths=["base=org/base", "sql=org/sql"], log_requests=True))
        wait_until(lambda: daemon.file["error"], 15, "the edit is rejected")
        assert "chat-1 did not take it: loading the LoRA adapter sql: Failed to load" in daemon.file["error"]
        assert "already loaded" in daemon.file["error"]
        assert daemon.file["applied"] != daemon.file["revision"]
        assert adapters(daemon, 0) == {"base": "org/base"}, "loaded, and unloaded again"
        assert adapters(daemon, 1) == {"base": "org/base", "sql": str(tight)}, "theirs is left alone"
        for index in range(2):
            after = daemon.worker(f"chat-{index}")
            assert (after["pid"], after["ready"]) == (before[index]["pid"], True)
            assert complete(daemon.port + index)[0] == 200
            assert received(daemon, f"chat-{index}") == 0
        assert daemon.record()["live"]["tried"] == []
        assert not daemon.record()["trial"]


def test_a_missing_adapter_is_rejected_in_the_engines_own_words(tmp_path: Path) -> None:
    with Daemon(tmp_path, LORA) as daemon:
        before = daemon.start().ready()
        daemon.edit(args(lora_paths=["base=org/base", f"gone={tmp_path}/nowhere"]))
        wait_until(lambda: daemon.file["error"], 15, "the edit is rejected")
        assert f"'{tmp_path}/nowhere'" in daemon.file["error"]
        assert "/load_lora_adapter answered 400" in daemon.file["error"]
        assert adapters(daemon) == {"base": "org/base"}
        assert daemon.worker()["pid"] == before["pid"]
        # And it is not tried again by itself, but when it is typed.
        (tmp_path / "nowhere").mkdir()
        apply(daemon)
        daemon.applied()
        assert set(adapters(daemon)) == {"base", "gone"}
        assert daemon.worker()["pid"] == before["pid"]


def test_a_worker_that_starts_meanwhile_is_changed_once_it_serves(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_load_seconds=1.5)) as daemon:
        daemon.start().in_phase("starting")
        daemon.edit(args(log_requests=True))
        daemon.applied()
        worker = daemon.ready()
        assert daemon.spawns() == 1
        wait_until(lambda: daemon.record()["launched"]["args"].get("log-requests"), 15, "the change")
        assert complete(daemon.port)[0] == 200
        assert received(daemon) == 1
        assert daemon.worker()["pid"] == worker["pid"]


def test_one_that_is_down_just_starts_with_it(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(autostart=False), waiting()) as daemon:
        daemon.start().in_phase("stopped")
        daemon.edit(args(log_requests=True))
        assert plan_of(daemon)["chat-0"][0] == "reconfigure"


def test_a_switch_to_a_profile_that_logs_otherwise_restarts_nobody(tmp_path: Path) -> None:
    chatty = {"profiles": {"chatty": {"extends": "standard", "args": {"log-requests": True}}}}
    with Daemon(tmp_path, chatty, PAIR) as daemon:
        daemon.start()
        pids = [daemon.ready(f"chat-{index}")["pid"] for index in range(2)]
        for profile in ("chatty", None):
            daemon.client.switch("chat", profile)
            wait_until(lambda: daemon.pool()["switch"] is None, 20, "the switch is over")
            name = profile or "standard"
            assert daemon.pool()["profile"] == name
            assert [daemon.worker(f"chat-{index}")["profile"] for index in range(2)] == [name, name]
            assert complete(daemon.port)[0] == 200
            assert received(daemon) == 3, "the smoke test, without and with an image, and ours; none of the way back"
        assert [daemon.worker(f"chat-{index}")["pid"] for index in range(2)] == pids


def test_it_takes_the_pools_key_and_an_unknown_admin_key_is_told(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text("sk-quite-unmistakable\n")
    with Daemon(tmp_path, pool(api_key_file=str(key))) as daemon:
        before = daemon.start().ready()
        daemon.edit(args(log_requests=True))
        daemon.applied()
        assert daemon.worker()["pid"] == before["pid"]
        # Behind our back: another key in the file than the engine was started with.
        key.write_text("sk-another\n")
        daemon.edit(args(log_requests=None))
        wait_until(lambda: daemon.file["error"], 15, "the edit is rejected")
        assert "/configure_logging wants a key that qvl does not know (401)" in daemon.file["error"]
        assert "sk-" not in daemon.file["error"]
        assert daemon.worker()["pid"] == before["pid"]
        key.write_text("sk-quite-unmistakable\n")


def test_one_that_ends_in_the_middle_is_on_trial(tmp_path: Path) -> None:
    """An engine that answers nothing any more, killed while the call waits: its end is the edit's, which goes back."""
    with Daemon(tmp_path, pool(restart={"mode": "never"})) as daemon:
        before = daemon.start().ready()
        assert before["pid"] is not None
        os.kill(before["pid"], signal.SIGSTOP)
        daemon.edit(args(log_requests=True))
        wait_until(lambda: daemon.record()["live"], 10, "the call is under way")
        os.kill(before["pid"], signal.SIGKILL)
        wait_until(lambda: daemon.file["error"], 20, "the edit is rejected")
        after = daemon.ready(not_pid=before["pid"], timeout=20)
        assert b"--log-requests" not in Path(f"/proc/{after['pid']}/cmdline").read_bytes()
        assert after["profile"] == "standard"

"""What the real SGLang takes without a restart; each test goes on from the last."""

import pytest

from tests.blackbox.harness import Daemon, args, ask
from tests.sglang.adapters import MODULES, adapter, model, unpinned
from tests.sglang.conftest import KEY
from tests.sglang.traffic import complete
from tests.support import wait_until

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(300)]

START = 120.0
"""Seconds that a start may take on a busy machine; some 20 on a quiet one."""

pid: int | None = None


def applied(daemon: Daemon) -> None:
    daemon.applied()
    assert daemon.file["error"] is None
    worker = daemon.worker()
    assert (worker["pid"], worker["ready"], worker["restarts"]) == (pid, True, 0)


def loaded(daemon: Daemon) -> dict[str, str]:
    models = ask(daemon.port, "GET", "/v1/models", key=KEY)[1]
    return {card["id"]: card["root"] for card in models["data"] if card["parent"]}


def test_how_it_logs_is_edited_while_it_serves(daemon: Daemon) -> None:
    global pid
    daemon.edit(
        {
            "engines": {"cpu": {"env": {"PYTHONPATH": unpinned(daemon.root / "site")}}},
            "profiles": {"standard": {"model": str(model(daemon.root / "text"))}, "broken": None},
        },
        args(load_format="auto", enable_lora=True, lora_backend="torch_native"),
        args(max_lora_rank=8, lora_target_modules=[*MODULES]),
    )
    daemon.start()
    pid = daemon.ready(timeout=START)["pid"]
    assert complete(daemon)["choices"]
    assert b"obj=GenerateReqInput(" not in daemon.log()
    daemon.edit(args(log_requests=True, log_requests_level=1, log_level="debug"))
    applied(daemon)
    assert daemon.worker()["drift"] == []
    assert complete(daemon)["choices"]
    wait_until(lambda: b"Finish: obj=GenerateReqInput(" in daemon.log(), 10, "the request in the log")
    assert b"log_requests_level=1, log_requests_format=None, log_level='debug'" in daemon.log()


def test_its_level_reaches_the_scheduler_and_not_the_access_lines(daemon: Daemon) -> None:
    daemon.edit(args(log_level="error", log_requests=None))
    applied(daemon)
    daemon.until(lambda w: w["drift"] == ["log-level of its web server (still info)"], "what is left behind")
    before = daemon.log()
    assert complete(daemon)["choices"]
    wait_until(lambda: daemon.log().count(b"POST /v1/chat") > before.count(b"POST /v1/chat"), 10, "its access line")
    after = daemon.log()[len(before) :]
    assert b"Prefill batch" not in after
    assert b"obj=GenerateReqInput(" not in after
    daemon.edit(args(log_level=None))
    applied(daemon)
    daemon.until(lambda w: not w["drift"], "nothing is left behind")
    assert complete(daemon)["choices"]
    wait_until(
        lambda: daemon.log().count(b"Prefill batch") > before.count(b"Prefill batch"), 10, "the scheduler's line"
    )


def test_an_adapter_is_loaded_and_a_wrong_one_takes_its_sibling_back(daemon: Daemon) -> None:
    sql, wide = adapter(daemon.root / "sql", 4), adapter(daemon.root / "wide", 16)
    daemon.edit(args(lora_paths=[f"sql={sql}"]))
    applied(daemon)
    assert loaded(daemon) == {"sql": str(sql)}
    prompt = {"text": "hello", "lora_path": "sql", "sampling_params": {"max_new_tokens": 2}}
    assert ask(daemon.port, "POST", "/generate", prompt, KEY)[0] == 200
    daemon.edit(args(lora_paths=[f"sql={sql}", f"also={sql}", f"wide={wide}"]))
    wait_until(lambda: daemon.file["error"], 30, "the edit is rejected")
    assert "loading the LoRA adapter wide: LoRA adapter wide with rank 16 is incompatible" in daemon.file["error"]
    assert loaded(daemon) == {"sql": str(sql)}
    assert daemon.worker()["pid"] == pid


def test_the_next_daemon_finds_what_was_changed(daemon: Daemon) -> None:
    daemon.kill()
    daemon.edit(args(lora_paths=[f"sql={daemon.root / 'sql'}"]))
    daemon.start()
    worker = daemon.until(lambda w: w["ready"], "the adopted worker")
    assert worker["pid"] == pid
    assert {step["action"] for step in daemon.client.plan()["steps"]} == {"keep"}
    assert worker["drift"] == []
    daemon.stop(timeout=60)

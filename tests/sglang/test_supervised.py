"""The real SGLang, from its start by the daemon to a stop that leaves nothing; each test goes on from the last."""

import json
import os
import signal
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blackbox.harness import Daemon, pool
from tests.sglang.conftest import KEY, Row
from tests.sglang.ending import Run, serving
from tests.sglang.traffic import complete
from tests.support import wait_until

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(300)]

START = 120.0
"""Seconds that a start may take on a busy machine; some 20 on a quiet one."""


def test_it_starts_with_progress_and_answers_text_and_an_image(daemon: Daemon) -> None:
    daemon.start()
    assert {"import", "warm-up"} <= daemon.steps_of_start(START)
    assert complete(daemon)["choices"][0]["finish_reason"] == "length"
    with_image = complete(daemon, image=True)
    assert with_image["usage"]["prompt_tokens"] > complete(daemon)["usage"]["prompt_tokens"]
    daemon.until(lambda w: w["metrics"]["tokens_per_s"] is not None, "figures of the engine")
    told = json.loads(daemon.client.raw(f"/v1/workers/{daemon.worker()['name']}"))
    capacity = told["capacity"]
    said = "".join(log.read_text() for log in daemon.logs.rglob("*.log"))
    assert f"max_total_num_tokens={capacity['kv_tokens']}, " in said
    assert f"max_running_requests={capacity['max_running']}, context_len={capacity['context_length']}, " in said
    assert capacity["free"] > 1 << 30
    assert told["start"]["ready"]
    names = [process["name"] for process in told["processes"]]
    assert {"sglang::scheduler", "sglang::detokenizer"} <= set(names)


def test_it_wants_the_key_and_nobody_else_sees_it(daemon: Daemon) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        complete(daemon, key="sk-wrong")
    assert "api_key='[redacted]'" in "".join(log.read_text() for log in daemon.logs.rglob("*.log"))
    seen = [path for folder in (daemon.logs, daemon.state) for path in folder.rglob("*") if path.is_file()]
    seen += [
        Path(f"/proc/{pid}/{name}") for pid in os.listdir("/proc") if pid.isdigit() for name in ("cmdline", "environ")
    ]
    for path in seen:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        assert KEY.encode() not in content, path
    assert KEY not in json.dumps(daemon.status)
    resolved = daemon.client.resolved(daemon.worker()["name"])
    assert KEY not in json.dumps(resolved)
    assert KEY.encode() not in daemon.client.raw(f"/v1/workers/{daemon.worker()['name']}")
    assert "api-key" in resolved["hidden"]
    values = {value["key"]: value for value in resolved["values"]}
    assert (values["attention-backend"]["given"], values["attention-backend"]["differs"]) == ("torch_native", False)
    assert all(values[key]["value"] for key in ("mem-fraction-static", "max-running-requests", "context-length"))
    assert resolved["version"] == "0.5.18"


def test_killed_with_its_scheduler_alive_it_is_back_by_itself(daemon: Daemon, tell: Callable[[Row], None]) -> None:
    run = serving(daemon)
    run.struck()
    run.tree.signal(None, signal.SIGKILL)
    run.over()
    tell(run.row("SIGKILL of the parent", run.serves_again()))
    assert run.exit is not None
    assert (run.exit["signal"], run.exit["cause"]) == (9, "killed")
    assert not run.left
    assert daemon.worker()["restarts"] == 1


def test_an_argument_edited_in_the_file_is_applied_live(daemon: Daemon) -> None:
    old = daemon.worker()["pid"]
    daemon.edit({"profiles": {"standard": {"args": {"max-running-requests": 7}}}})
    pid = daemon.ready_anew(old, START)
    assert b"--max-running-requests\0007\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    daemon.applied()


def test_a_flag_that_this_sglang_does_not_have_is_refused_while_it_serves(daemon: Daemon) -> None:
    old, good = daemon.worker()["pid"], daemon.config
    daemon.edit({"profiles": {"standard": {"args": {"mm-proj-url": "x"}}}})
    wait_until(lambda: daemon.file["error"], 10, "the refusal")
    assert "mm-proj-url" in daemon.file["error"]
    assert "0.5.18" in daemon.file["error"]
    assert (daemon.worker()["pid"], daemon.worker()["ready"]) == (old, True)
    daemon.config = good
    daemon.write(good)
    wait_until(lambda: daemon.file["error"] is None, 10, "the mended file is taken")
    assert daemon.worker()["pid"] == old


def test_its_profile_is_switched_and_a_bad_one_goes_back(daemon: Daemon) -> None:
    old = daemon.worker()["pid"]
    daemon.client.switch("chat", "wide")
    new = daemon.ready_anew(old, START)
    wait_until(lambda: daemon.pool()["switch"] is None, 60, "the switch is committed")
    assert (daemon.pool()["profile"], daemon.pool()["override"]) == ("wide", "wide")
    (warning,) = daemon.client.plan_switch("chat", "absent")["warnings"]
    assert "does not exist" in warning["message"]
    daemon.client.switch("chat", "absent")
    wait_until(lambda: daemon.pool()["switch"] is None, 60, "refused by what is known before")
    assert (daemon.worker()["pid"], daemon.worker()["ready"]) == (new, True)
    daemon.client.switch("chat", "broken")
    wait_until(lambda: daemon.pool()["switch"] is None and daemon.worker()["ready"], START, "back on the good profile")
    assert daemon.pool()["profile"] == "wide"
    assert daemon.worker()["pid"] != new
    assert complete(daemon, image=True)["choices"]


def test_a_killed_daemon_is_followed_by_one_that_adopts_it(daemon: Daemon) -> None:
    before = daemon.worker()
    daemon.kill()
    daemon.start()
    after = daemon.until(lambda w: w["ready"], "the adopted worker")
    assert [after[key] for key in ("pid", "restarts", "profile")] == [
        before[key] for key in ("pid", "restarts", "profile")
    ]


def test_stopped_it_leaves_nothing(daemon: Daemon, tell: Callable[[Row], None]) -> None:
    daemon.edit(pool(autostart=False))
    run = Run.of(daemon, daemon.worker())
    assert {child.name[:13] for child in run.tree.children()} >= {"sglang::sched", "sglang::detok"}
    run.struck()
    daemon.client.act("stop", "chat", pool=True)
    run.over()
    tell(run.row("`stop`, idle", f"stopped after {run.told:.1f}"))
    stopped = daemon.in_phase("stopped", timeout=60)
    assert (stopped["wanted"], stopped["pid"]) == ("down", None)
    assert run.exit is not None
    assert run.exit["cause"] == "requested"
    assert not run.left
    assert daemon.process is not None
    alone = {daemon.process.pid}
    wait_until(lambda: daemon.processes().keys() == alone, 5, "nothing is left but the daemon")
    daemon.stop()
    assert not daemon.processes()

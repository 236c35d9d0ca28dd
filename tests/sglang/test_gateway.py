"""Two real SGLang behind the real sglang-router: a rolling switch under load that no client of OpenAI's notices."""

import pytest

from benchmarks.openai_load import Load
from tests.blackbox.harness import Daemon
from tests.sglang.conftest import KEY
from tests.support import wait_until

pytestmark = [pytest.mark.sglang, pytest.mark.long, pytest.mark.timeout(400)]

START = 150.0
"""Seconds that two starts at once may take on a busy machine; some 40 on a quiet one."""


def routed(daemon: Daemon) -> list[str]:
    front = daemon.pool().get("gateway")
    return front["routed"] if front else []


def test_a_rolling_switch_fails_nobody(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.edit({"pools": {"chat": {"workers": 2, "gateway": "sglang-router", "stop": {"drain": "30s"}}}})
    daemon.start()
    wait_until(lambda: len(routed(daemon)) == 2, START, "both are behind the gateway")
    before = {worker["name"]: worker["pid"] for worker in daemon.status["workers"]}
    with Load(daemon.pool()["endpoint"] or "", clients=2, tokens=6, key=KEY) as load:
        wait_until(lambda: len(load.answers) >= 4, 60, "load")
        began = len(load.answers)
        daemon.client.switch("chat", "wide")
        wait_until(lambda: daemon.pool()["switch"] is None, 2 * START, "the end of the switch")
        during = load.answers[began:]
        after = len(load.answers)
        wait_until(lambda: len(load.answers) >= after + 4, 60, "load afterwards")
    assert daemon.pool()["profile"] == "wide", daemon.events()[-20:]
    now = {worker["name"]: worker["pid"] for worker in daemon.status["workers"]}
    assert all(now[name] not in (pid, None) for name, pid in before.items())
    assert len(during) > 10, "the switch was over before anybody could have noticed"
    with capsys.disabled():
        print(f"\n{len(during)} requests during the switch, {len(load.failures)} of {len(load.answers)} failed")
    assert load.failures == []

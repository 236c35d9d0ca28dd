"""The daemon as a service: what `systemctl` does to it, and what that does to its workers."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import wait_until
from tests.systemd.box import Box
from tests.systemd.service import NAME, Service

pytestmark = pytest.mark.systemd

PROGRAMS = Path(sys.prefix, "bin")
CONFIG = "/etc/qvl/qvl.toml"


def config(on_stop: str = "stop", pools: int = 1) -> str:
    """A configuration with one simulated worker in each pool."""
    head = f"""\
[supervisor]
gpus = "simulated:4"
on_stop = "{on_stop}"
[engines.sim]
kind = "simulated"
[profiles.standard]
engine = "sim"
model = "demo"
[profiles.standard.args]
sim-load-seconds = 0.2
"""
    return head + "".join(
        f'[pools.pool{index}]\nprofile = "standard"\ngpus = [{index}]\nport = {8000 + 100 * index}\n'
        for index in range(pools)
    )


class Daemon(Service):
    """The real daemon under the unit as shipped, but for where this checkout has it and for quicker restarts."""

    def __init__(self, box: Box, configuration: str, settings: str = "") -> None:
        super().__init__(box, [PROGRAMS / "qvl-supervisor"], f"RestartSec=500ms\n{settings}")
        box.put(configuration, CONFIG)

    def status(self) -> Any:
        """`qvlctl status --json`."""
        return json.loads(self.box.read(PROGRAMS / "qvlctl", "status", "--json"))

    def workers(self) -> dict[str, int]:
        """Workers that are ready, and their pids; none while the daemon can't be reached."""
        done = self.box.exec(PROGRAMS / "qvlctl", "status", "--json", check=False)
        if done.returncode != 0:
            return {}
        return {each["name"]: each["pid"] for each in json.loads(done.stdout)["workers"] if each["ready"]}

    def wait_for_workers(self, count: int = 1) -> dict[str, int]:
        """Their pids, once `count` are ready."""
        try:
            return wait_until(lambda: len(ready := self.workers()) == count and ready, 30, f"{count} ready") or {}
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal()}") from None

    def start(self) -> dict[str, int]:
        """Start it; the pids of its workers, once they are ready."""
        self.systemctl("start")
        return self.wait_for_workers()

    def serves(self, port: int = 8000) -> bool:
        """Whether a worker answers, asked directly."""
        program = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/v1/models', timeout=5)"
        return self.box.exec(sys.executable, "-I", "-S", "-c", program, check=False).returncode == 0


def assert_adopted(daemon: Daemon, before: dict[str, int]) -> None:
    """The workers are those of before, and the daemon knows that it never lost them."""
    assert daemon.wait_for_workers(len(before)) == before
    assert [worker["restarts"] for worker in daemon.status()["workers"]] == [0] * len(before)
    assert set(before.values()) <= daemon.processes()
    assert daemon.serves()


def test_active_means_that_the_socket_answers(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.systemctl("start")
    assert daemon.status()["supervisor"]["pid"] == daemon.main_pid
    assert box.read("stat", "-c", "%a %F", "/run/qvl/supervisor.sock", "/run/qvl/view.sock") == "660 socket\n660 socket"
    assert box.show(NAME, "WatchdogUSec") == {"WatchdogUSec": "30s"}


def test_the_status_line_has_counts_and_the_profile(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.start()
    wait_until(lambda: re.search(r"\b1\b.*standard|standard.*\b1\b", daemon.show("StatusText")), 10, "a status line")


def test_reload_reads_the_edit(box: Box) -> None:
    daemon = Daemon(box, config())
    before = daemon.start()
    box.put(config(pools=2), CONFIG)
    daemon.systemctl("reload")
    wait_until(lambda: daemon.state == "active", 10, "the reload has ended")
    assert daemon.wait_for_workers(2).items() > before.items()


def test_systemd_sees_the_reload(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.start()
    before = daemon.show("StateChangeTimestampMonotonic")
    daemon.signal("HUP")  # not `systemctl reload`, after which systemd says "reloading" of its own accord
    wait_until(lambda: daemon.show("StateChangeTimestampMonotonic") != before, 10, "the unit has changed its state")
    wait_until(lambda: daemon.state == "active", 10, "the reload has ended")


def test_a_refused_edit_ends_its_reload_too(box: Box) -> None:
    daemon = Daemon(box, config())
    before = daemon.start()
    box.put(config() + "nonsense = 1\n", CONFIG)
    daemon.systemctl("reload")
    wait_until(lambda: daemon.status()["supervisor"]["config"]["error"], 10, "the error is told")
    wait_until(lambda: daemon.state == "active", 10, "the reload has ended")
    assert_adopted(daemon, before)


def test_a_killed_daemon_comes_back_to_its_workers(box: Box) -> None:
    daemon = Daemon(box, config(pools=2))
    daemon.systemctl("start")
    before, pid = daemon.wait_for_workers(2), daemon.main_pid
    daemon.signal("KILL")
    assert daemon.serves()
    daemon.wait_for_another_main_pid(pid)
    assert_adopted(daemon, before)
    assert daemon.show("NRestarts") == "1"


def test_the_watchdog_replaces_a_hung_daemon(box: Box) -> None:
    daemon = Daemon(box, config(), "WatchdogSec=2s")
    before = daemon.start()
    pid = daemon.main_pid
    daemon.signal("STOP")
    assert daemon.serves()
    daemon.wait_for_another_main_pid(pid)
    assert_adopted(daemon, before)
    assert "Watchdog timeout" in daemon.journal()


@pytest.mark.parametrize("on_stop", ["stop", "leave"])
def test_restart_leaves_workers_serving(on_stop: str, box: Box) -> None:
    daemon = Daemon(box, config(on_stop))
    before = daemon.start()
    pid = daemon.main_pid
    daemon.systemctl("restart")
    assert daemon.main_pid != pid
    assert_adopted(daemon, before)


def test_stop_ends_every_process(box: Box) -> None:
    daemon = Daemon(box, config("stop"))
    daemon.start()
    daemon.systemctl("stop")
    assert daemon.processes() == set()
    assert not daemon.serves()
    assert box.show(NAME, "ActiveState", "Result", "ExecMainStatus") == {
        "ActiveState": "inactive",
        "Result": "success",
        "ExecMainStatus": "0",
    }


def test_stop_ends_children_that_left_and_ignore_it(box: Box) -> None:
    lines = "sim-children = 2\nsim-ignore-sigterm = true\n"
    stubborn = config("stop").replace("[pools", f"{lines}[pools", 1) + '[pools.pool0.stop]\ndrain = "0s"\nterm = "1s"\n'
    daemon = Daemon(box, stubborn)
    daemon.start()
    assert len(daemon.processes()) > 4
    daemon.systemctl("stop")
    assert daemon.processes() == set()


def test_stop_can_leave_workers_serving(box: Box) -> None:
    daemon = Daemon(box, config("leave"))
    before = daemon.start()
    daemon.systemctl("stop")
    assert daemon.state == "inactive"
    assert daemon.serves()
    assert set(before.values()) <= daemon.processes()
    daemon.systemctl("start")
    assert_adopted(daemon, before)


def test_a_wrong_configuration_is_not_retried(box: Box) -> None:
    daemon = Daemon(box, "[supervisor]\nnonsense = 1\n")
    box.exec("systemctl", "start", NAME, check=False)
    wait_until(lambda: daemon.state == "failed", 30, "systemd has given up")
    assert box.show(NAME, "ExecMainStatus", "NRestarts") == {"ExecMainStatus": "78", "NRestarts": "0"}
    assert "supervisor.nonsense" in daemon.journal()


def test_a_wrong_configuration_yields_to_the_last_good_one(box: Box) -> None:
    daemon = Daemon(box, config())
    before = daemon.start()
    box.put("[supervisor]\nnonsense = 1\n", CONFIG)
    daemon.systemctl("restart")
    assert_adopted(daemon, before)
    assert "nonsense" in daemon.status()["supervisor"]["config"]["error"]


def test_a_service_user_has_workers_of_its_own(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.become_service_user()
    before = daemon.start()
    (worker,) = before.values()
    assert box.read("stat", "-c", "%U", f"/proc/{worker}") == "qvl"
    assert box.read("stat", "-c", "%G", "/run/qvl/supervisor.sock", "/run/qvl/view.sock") == "qvl\nqvl-view"
    daemon.systemctl("restart")
    assert_adopted(daemon, before)
    daemon.systemctl("stop")
    assert daemon.processes() == set()

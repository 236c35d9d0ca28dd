"""The shipped unit with a demo in the daemon's place: what systemd does, apart from what our daemon does.

Also the proof of qvl.daemon.systemd_job: what a daemon learns in its SIGTERM, from inside the unit's sandbox.
"""

import re
import sys
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.systemd.box import Box
from tests.systemd.conftest import require
from tests.systemd.notify_demo import LOADING
from tests.systemd.service import NAME, Service

pytestmark = pytest.mark.systemd

DEMO: list[str | Path] = [sys.executable, Path(__file__).with_name("notify_demo.py")]


@pytest.fixture
def service(box: Box) -> Service:
    """The unit, not started."""
    return Service(box, DEMO, "WatchdogSec=1s\nRestartSec=100ms")


def worker_of(service: Service) -> int:
    """The pid of the demo's worker."""
    (worker,) = service.processes() - {service.main_pid}
    return worker


def answers(service: Service) -> list[tuple[str, str]]:
    """What the demo has learned in its SIGTERMs: the job, and whether that is a restart."""
    return re.findall(r"asked: job=(\S+) restart=(\S+)", service.journal())


def test_start_waits_for_ready(service: Service) -> None:
    service.box.exec("mkdir", "/run/qvl")
    service.box.exec("touch", str(LOADING))
    service.systemctl("start", "--no-block")
    wait_until(lambda: service.main_pid, what="the demo runs")
    assert service.state == "activating"
    service.box.exec("rm", str(LOADING))
    wait_until(lambda: service.state == "active", what="the demo is ready")
    assert service.show("StatusText") == "1 of 1 ready · demo"


def test_reload_ends_when_the_service_is_ready_again(service: Service) -> None:
    service.systemctl("start")
    service.systemctl("reload")
    wait_until(lambda: service.show("StatusText") == "reloaded", what="the demo has reloaded")
    wait_until(lambda: service.state == "active", what="the reload is over")


def test_systemd_follows_a_reload_that_it_did_not_ask_for(service: Service) -> None:
    service.systemctl("start")
    before = service.show("StateChangeTimestampMonotonic")
    service.signal("HUP")
    wait_until(lambda: service.show("StatusText") == "reloaded", what="the demo has reloaded")
    assert service.state == "active"
    assert service.show("StateChangeTimestampMonotonic") != before  # to `reloading` and back


def test_a_killed_service_comes_back_and_its_worker_never_left(service: Service) -> None:
    service.systemctl("start")
    worker = worker_of(service)
    before = service.main_pid
    service.signal("KILL")
    service.wait_for_another_main_pid(before)
    assert worker_of(service) == worker
    assert service.show("NRestarts") == "1"


@pytest.mark.parametrize("hang", ["USR1", "STOP"])
def test_the_watchdog_replaces_a_hung_service_and_its_worker_never_left(hang: str, service: Service) -> None:
    service.systemctl("start")
    worker = worker_of(service)
    before = service.main_pid
    service.signal(hang)
    service.wait_for_another_main_pid(before)
    assert worker_of(service) == worker
    assert "Watchdog timeout" in service.journal()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["restart"], ("'restart'", "True")),
        (["try-restart"], ("'restart'", "True")),
        (["stop"], ("'stop'", "False")),
    ],
    ids=lambda value: value[0],
)
def test_a_service_learns_why_it_is_stopped(command: list[str], answer: tuple[str, str], service: Service) -> None:
    service.systemctl("start")
    worker = worker_of(service)
    service.systemctl(*command)
    assert answers(service) == [answer]
    assert worker in service.processes()


def test_a_start_typed_during_the_stop_brings_it_back(service: Service) -> None:
    service.drop_in("slow", "[Service]\nExecStop=/bin/sh -c 'until [ -e /run/qvl/go ]; do sleep 0.02; done'")
    service.systemctl("start")
    service.systemctl("stop", "--no-block")
    wait_until(lambda: service.state == "deactivating", what="the stop has begun")
    service.systemctl("start", "--no-block")
    service.box.exec("touch", "/run/qvl/go")
    wait_until(lambda: answers(service), what="the demo was stopped")
    assert answers(service) == [("'start'", "True")]
    wait_until(lambda: service.state == "active", what="the demo is back")


HELD = """\
[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sleep infinity
TimeoutStopSec=infinity
"""
"""A service whose stop doesn't end, so that a shutdown waits for it and the journal can still be read."""


def test_a_shutdown_is_a_stop(fresh_box: Box) -> None:
    service = Service(fresh_box, DEMO)
    service.box.put(HELD, "/etc/systemd/system/held.service")
    service.box.exec("systemctl", "start", "held.service")
    service.systemctl("start")
    service.box.exec("systemctl", "--no-block", "poweroff")
    wait_until(lambda: answers(service), what="the demo was stopped")
    assert answers(service) == [("'stop'", "False")]


def test_a_kill_by_hand_has_no_job(service: Service) -> None:
    service.systemctl("start")
    before = service.main_pid
    service.signal("TERM")
    service.wait_for_another_main_pid(before)
    assert answers(service) == [("''", "None")]


def test_a_service_user_learns_it_too(service: Service) -> None:
    require(Path("/usr/bin/dbus-daemon").exists(), "asking as another user than root takes dbus-daemon")
    service.become_service_user()
    service.systemctl("start")
    worker = worker_of(service)
    service.systemctl("restart")
    assert worker_of(service) == worker
    service.systemctl("stop")
    assert answers(service) == [("'restart'", "True"), ("'stop'", "False")]
    uid = service.box.read("id", "-u", "qvl")
    assert re.findall(r"uid=(\d+)", service.journal()) == [uid, uid]


def test_start_is_given_up_after_a_while(box: Box) -> None:
    service = Service(box, ["/bin/false"], "RestartSec=0")
    box.exec("systemctl", "start", NAME, check=False)
    wait_until(lambda: service.state == "failed", what="systemd has given up")
    assert service.show("NRestarts") == "20"


def test_a_refused_configuration_is_not_retried(box: Box) -> None:
    service = Service(box, ["/bin/sh -c 'exit 78'"])
    box.exec("systemctl", "start", NAME, check=False)
    wait_until(lambda: service.state == "failed", what="systemd has given up")
    assert box.show(NAME, "ExecMainStatus", "NRestarts") == {"ExecMainStatus": "78", "NRestarts": "0"}

"""The daemon as a service: what `systemctl` does to it, and what that does to its workers."""

import json
import re
from pathlib import Path

import pytest
from qvl.daemon.notify import MANAGER_VARIABLES

from tests.support import wait_until
from tests.systemd.box import Box
from tests.systemd.conftest import boot
from tests.systemd.daemon import CONFIG, SOCKET, Daemon, assert_adopted, assert_all_ended, config
from tests.systemd.service import NAME

pytestmark = pytest.mark.systemd

# --- start ---


def test_active_means_that_the_socket_answers(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.systemctl("start")
    assert daemon.status()["supervisor"]["pid"] == daemon.main_pid
    assert box.read("stat", "-c", "%a %F", SOCKET, "/run/qvl/view.sock") == "660 socket\n660 socket"
    assert box.show(NAME, "WatchdogUSec") == {"WatchdogUSec": "30s"}
    assert json.loads(daemon.qvlctl("status", "--json").stdout)["version"] == 1


def test_the_status_line_has_counts_and_the_profile(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.start()
    wait_until(lambda: "1/1 ready" in (text := daemon.show("StatusText")) and "standard" in text, what="a status line")


def test_a_wrong_configuration_is_not_retried(box: Box) -> None:
    daemon = Daemon(box, "[supervisor]\nnonsense = 1\n")
    box.exec("systemctl", "start", NAME, check=False)
    wait_until(lambda: daemon.state == "failed", 30, "systemd has given up")
    assert box.show(NAME, "ExecMainStatus", "NRestarts") == {"ExecMainStatus": "78", "NRestarts": "0"}
    assert f"{CONFIG}:2: supervisor.nonsense" in daemon.journal("--priority=err")


def test_a_wrong_configuration_yields_to_the_last_good_one(box: Box) -> None:
    daemon = Daemon(box, config())
    before = daemon.start()
    box.put("[supervisor]\nnonsense = 1\n", CONFIG)
    daemon.systemctl("restart")
    assert_adopted(daemon, before)
    assert "nonsense" in str(daemon.status()["supervisor"]["config"]["error"])


# --- reload ---


def test_reload_reads_the_edit(box: Box) -> None:
    daemon = Daemon(box, config())
    before = daemon.start()
    box.put(config(pools=2), CONFIG)
    daemon.systemctl("reload")
    wait_until(lambda: daemon.state == "active", what="the reload has ended")
    assert daemon.wait_for_workers(2).items() > before.items()


def test_systemd_sees_the_reload(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.start()
    before = daemon.show("StateChangeTimestampMonotonic")
    daemon.signal("HUP")  # not `systemctl reload`, after which systemd says "reloading" of its own accord
    wait_until(lambda: daemon.show("StateChangeTimestampMonotonic") != before, what="the unit has changed its state")
    wait_until(lambda: daemon.state == "active", what="the reload has ended")


def test_a_refused_edit_ends_its_reload_too(box: Box) -> None:
    daemon = Daemon(box, config())
    before = daemon.start()
    box.put(config() + "nonsense = 1\n", CONFIG)
    daemon.systemctl("reload")
    wait_until(lambda: daemon.status()["supervisor"]["config"]["error"], what="the error is told")
    wait_until(lambda: daemon.state == "active", what="the reload has ended")
    assert_adopted(daemon, before)


# --- the daemon ends, its workers don't ---


def test_a_killed_daemon_comes_back_to_its_workers(box: Box) -> None:
    daemon = Daemon(box, config(pools=2))
    before, pid = daemon.start(workers=2), daemon.main_pid
    daemon.signal("KILL")
    assert daemon.serves()
    daemon.wait_for_another_main_pid(pid)
    assert_adopted(daemon, before)
    assert daemon.show("NRestarts") == "1"


def test_the_watchdog_replaces_a_hung_daemon(box: Box) -> None:
    daemon = Daemon(box, config(), "WatchdogSec=3s")
    before, pid = daemon.start(), daemon.main_pid
    daemon.signal("STOP")
    assert daemon.serves()
    daemon.wait_for_another_main_pid(pid)
    assert_adopted(daemon, before)
    assert "Watchdog timeout" in daemon.journal()


@pytest.mark.parametrize("on_stop", ["stop", "leave"])
def test_restart_leaves_workers_serving(on_stop: str, box: Box) -> None:
    daemon = Daemon(box, config(on_stop))
    before, pid = daemon.start(), daemon.main_pid
    daemon.systemctl("restart")
    assert daemon.main_pid != pid
    assert_adopted(daemon, before)


def test_stop_can_leave_workers_serving(box: Box) -> None:
    daemon = Daemon(box, config("leave"))
    before = daemon.start()
    daemon.systemctl("stop")
    assert daemon.state == "inactive"
    assert daemon.serves()
    assert set(before.values()) <= daemon.processes()
    daemon.systemctl("start")
    assert_adopted(daemon, before)


def test_a_daemon_that_replaces_its_code_stays_the_same_service(box: Box) -> None:
    daemon = Daemon(box, config())
    before, pid, since = daemon.start(), daemon.main_pid, daemon.show("ActiveEnterTimestampMonotonic")
    daemon.qvlctl("daemon", "restart")
    assert_adopted(daemon, before)
    assert daemon.status()["supervisor"]["pid"] == daemon.main_pid == pid
    assert box.show(NAME, "NRestarts", "ActiveEnterTimestampMonotonic", "ActiveState") == {
        "NRestarts": "0",
        "ActiveEnterTimestampMonotonic": since,
        "ActiveState": "active",
    }
    # Its successor speaks to systemd too.
    fed = daemon.show("WatchdogTimestampMonotonic")
    wait_until(lambda: daemon.show("WatchdogTimestampMonotonic") != fed, what="the watchdog is fed")
    wait_until(lambda: "1/1 ready" in daemon.show("StatusText"), what="the status line is kept")


# --- the workers end, too ---


def test_stop_ends_every_process(box: Box) -> None:
    daemon = Daemon(box, config("stop"))
    daemon.start()
    daemon.systemctl("stop")
    assert_all_ended(daemon)


def test_stop_ends_children_that_left_and_ignore_it(box: Box) -> None:
    stubborn = 'stop = { drain = "0s", term = "500ms" }'
    daemon = Daemon(box, config("stop", args="sim-children = 2\nsim-ignore-sigterm = true", pool=stubborn))
    daemon.start()
    assert len(daemon.processes()) > 4
    daemon.systemctl("stop")
    assert_all_ended(daemon)


def test_stop_waits_for_requests_for_longer_than_systemd_would(box: Box) -> None:
    slow = config("stop", args="sim-token-seconds = 0.1", pool='stop = { drain = "60s", term = "60s" }')
    daemon = Daemon(box, slow, "TimeoutStopSec=1s")
    daemon.start()
    body = json.dumps({"model": "demo", "prompt": "count", "max_tokens": 40, "stream": True, "ignore_eos": True})
    request = ["curl", "-sfN", "-o", "/run/qvl/answer", "-d", body, "-H", "Content-Type: application/json"]
    box.exec("systemd-run", "--unit=client", "--remain-after-exit", *request, "http://127.0.0.1:8000/v1/completions")
    wait_until(lambda: box.exec("test", "-s", "/run/qvl/answer", check=False).returncode == 0, what="a first token")
    daemon.systemctl("stop", "--no-block")
    wait_until(lambda: daemon.show("StatusText") == "stopping, 1 of 1 workers left", what="the status line tells")
    wait_until(lambda: daemon.state != "deactivating", 30, "it has stopped")
    assert_all_ended(daemon)
    assert b"[DONE]" in box.get("/run/qvl/answer")


@pytest.mark.parametrize("when", ["at once", "without handlers"])
def test_a_stop_typed_while_the_daemon_replaces_its_code_is_not_lost(when: str, box: Box) -> None:
    daemon = Daemon(box, config("stop"))
    daemon.start()
    daemon.qvlctl("daemon", "restart", "--no-wait")
    if when == "without handlers":
        # The last thing that the old code does. The new one has its imports to do, and SIGTERM would end it.
        wait_until(lambda: not box.outside(SOCKET).exists(), what="the socket is gone")
    daemon.systemctl("stop")
    assert_all_ended(daemon)


@pytest.mark.parametrize("end", ["power_off", "stop"])
def test_a_boot_brings_back_what_was_wanted(end: str, tmp_path: Path) -> None:
    with boot(tmp_path / "box", kept=["/var/lib/qvl", "/var/log/qvl"]) as box:
        daemon = Daemon(box, config(pools=2))
        daemon.start(workers=2)
        daemon.qvlctl("stop", "pool1")
        getattr(box, end)()  # in order, or as if the power failed
        box.start()
        daemon = Daemon(box, config(pools=2))
        daemon.start()
        assert {each["name"]: (each["wanted"], each["phase"]) for each in daemon.status()["workers"]} == {
            "pool0-0": ("up", "running"),
            "pool1-0": ("down", "stopped"),
        }
        assert daemon.serves()


# --- what belongs to whom ---


def test_workers_inherit_nothing_that_was_meant_for_the_daemon(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.start()
    theirs = daemon.processes() - {daemon.main_pid}
    assert theirs
    for pid in theirs:
        names = {entry.partition(b"=")[0].decode() for entry in box.get(f"/proc/{pid}/environ").split(b"\0")}
        assert names & MANAGER_VARIABLES == set(), box.read("cat", f"/proc/{pid}/cmdline")
    daemons = box.get(f"/proc/{daemon.main_pid}/environ")
    assert b"NOTIFY_SOCKET=" in daemons


def test_what_workers_write_is_not_in_the_journal(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.start()
    written = box.read("sh", "-c", "cat /var/log/qvl/pool0-0/*").splitlines()
    assert len(written) > 10
    journal = daemon.journal()
    assert [line for line in written if line.strip() and line in journal] == []


def test_the_journal_knows_errors_from_news(box: Box) -> None:
    daemon = Daemon(box, config(args='sim-fail = "bad-arguments"'))
    daemon.systemctl("start")
    wait_until(lambda: daemon.worker("pool0-0")["phase"] == "failed", 30, "the worker is given up")
    errors = daemon.journal("--priority=err")
    assert re.search(r"→ failed.*worker=pool0-0", errors)
    assert "started with pid" in daemon.journal()
    assert "started with pid" not in errors


def test_a_service_user_has_workers_of_its_own(box: Box) -> None:
    daemon = Daemon(box, config())
    daemon.become_service_user()
    before = daemon.start()
    (worker,) = before.values()
    assert box.read("stat", "-c", "%U", f"/proc/{worker}", f"/proc/{daemon.main_pid}") == "qvl\nqvl"
    assert box.read("stat", "-c", "%a %U:%G", SOCKET, "/run/qvl/view.sock") == "660 qvl:qvl\n660 qvl:qvl-view"
    assert box.read("stat", "-c", "%U", "/run/qvl", "/var/lib/qvl", "/var/log/qvl/pool0-0") == "qvl\nqvl\nqvl"
    daemon.systemctl("restart")
    assert_adopted(daemon, before)
    daemon.systemctl("stop")
    assert_all_ended(daemon)

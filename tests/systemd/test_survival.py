"""Four workers under load, through all that may happen to the daemon of a host. One story: the tests follow one another
in one box, with the same workers from the first to the last.
"""

import time
from collections.abc import Iterator

import pytest

from tests.support import wait_until
from tests.systemd.conftest import Tell, boot
from tests.systemd.daemon import CONFIG, config
from tests.systemd.installed import InstalledDaemon
from tests.systemd.service import NAME
from tests.systemd.survival import HISTORY, Fleet, write_history

pytestmark = pytest.mark.systemd

POOLS = 4
PORTS = [8000, 8100, 8200, 8300]
ARGS = "sim-token-seconds = 0.02\nsim-log-rate = 400"
POOL = 'logs = { max_size = "100KB", keep = 1000 }'
"""So that logs are rotated all the time, and nothing of them is given up."""
RELOADS = 20
QUESTIONS = 50

_KILL_THRICE = """
main() { systemctl show --property=MainPID --value "$1"; }
successor() { until pid=$(main "$1") && [ "$pid" != 0 ] && [ "$pid" != "$last" ]; do :; done; last=$pid; }
last=$(main "$1")
kill -9 "$last"
successor "$1"                                                   # it has done nothing yet
kill -9 "$pid"
successor "$1"
until [ "$(cat /var/lib/qvl/daemon.lock)" = "$pid" ]; do :; done  # it begins
kill -9 "$pid"
successor "$1"
lines=$(wc -l <"$2")
until tail -n "+$((lines + 1))" "$2" | grep -q adopted; do :; done  # it is at it
kill -9 "$pid"
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("survival")
    with boot(folder / "box") as box:
        write_history(box, folder)
        daemon = InstalledDaemon(box, config("stop", POOLS, ARGS, POOL))
        # For the first daemon alone: one that replaces its code on a busy machine needs longer to be back.
        daemon.drop_in("impatient", "[Service]\nWatchdogSec=5s")
        fleet = Fleet(daemon, PORTS)
        daemon.drop_in("impatient", "[Service]")
        yield fleet
        fleet.watch.end()


def test_the_watchdog(fleet: Fleet, tell: Tell) -> None:
    with fleet.step("hung, ended by the watchdog", tell) as step:
        fleet.daemon.signal("STOP")
        fleet.watch.wait_for_another(step.before)
        assert "Watchdog timeout" in fleet.daemon.journal()


def test_a_kill(fleet: Fleet, tell: Tell) -> None:
    with fleet.step("kill -9", tell) as step:
        fleet.daemon.signal("KILL")
        fleet.watch.wait_for_another(step.before)


def test_kills_while_it_comes_back(fleet: Fleet, tell: Tell) -> None:
    with fleet.step("kill -9, and of 3 successors", tell, successors=4):
        fleet.daemon.box.exec("sh", "-ec", _KILL_THRICE, "kill", NAME, HISTORY)
        fleet.wait_for_the_main_process()


def test_a_restart(fleet: Fleet, tell: Tell) -> None:
    with fleet.step("systemctl restart", tell) as step:
        fleet.daemon.systemctl("restart")
        fleet.wait_for_the_main_process()
        assert fleet.watch.daemon.pid != step.before.pid


def test_new_code(fleet: Fleet, tell: Tell) -> None:
    with fleet.step("qvlctl daemon restart", tell) as step:
        fleet.daemon.qvlctl("daemon", "restart")
        assert fleet.watch.wait_for_another(step.before).pid == step.before.pid


@pytest.mark.parametrize(
    ("version", "command"),
    [("1.1.0", ["qvlctl", "daemon", "restart"]), ("1.2.0", ["systemctl", "restart"])],
    ids=["in place", "by systemd"],
)
def test_an_upgrade(version: str, command: list[str], fleet: Fleet, tell: Tell) -> None:
    with fleet.step(f"upgrade, {' '.join(command)}", tell) as step:
        before = fleet.daemon.status()["supervisor"]["version"]
        fleet.daemon.install(version)
        assert fleet.daemon.status()["supervisor"]["version"] == before != version
        getattr(fleet.daemon, command[0])(*command[1:])
        fleet.watch.wait_for_another(step.before)
        fleet.wait_for_the_main_process()
        assert fleet.daemon.status()["supervisor"]["version"] == version


def test_a_storm_of_reloads(fleet: Fleet, tell: Tell) -> None:
    daemon = fleet.daemon
    with fleet.step(f"{RELOADS} reloads, half of them at once", tell, successors=0) as step:
        script = f"for i in $(seq {RELOADS // 2}); do systemctl reload $0; done; for i in $(seq {RELOADS // 2}); do"
        daemon.box.exec("sh", "-ec", f"{script} systemctl reload $0 & done; wait", NAME)
        wait_until(lambda: daemon.state == "active", 30, "the reloads are over")
        assert daemon.main_pid == step.before.pid
        assert daemon.status()["supervisor"]["config"]["error"] is None


def test_a_new_systemd(fleet: Fleet, tell: Tell) -> None:
    """As after an upgrade of its package. It takes over what it had, control groups that aren't its own included."""
    with fleet.step("systemctl daemon-reexec", tell, successors=0) as step:
        fed = fleet.daemon.show("WatchdogTimestampMonotonic")
        fleet.daemon.box.exec("systemctl", "daemon-reexec")
        wait_until(lambda: fleet.daemon.show("WatchdogTimestampMonotonic") > fed, 40, "the watchdog is fed")
        assert fleet.daemon.main_pid == step.before.pid
        assert fleet.daemon.state == "active"


def test_clients_that_read_nothing(fleet: Fleet, tell: Tell) -> None:
    """They are there in every other test, too. Here nothing else happens to the daemon but an edit, which a client that
    reads is told of at once and without a gap."""
    daemon = fleet.daemon
    with fleet.step("nothing but stuck clients", tell, successors=0) as step:
        before = daemon.status()["supervisor"]["config"]["applied"]
        frames = daemon.client.events(since=fleet.last_event(), tick=0.1)
        heard = [next(frames)]
        daemon.box.put(config("leave", POOLS, ARGS, POOL), CONFIG)

        def applied() -> bool:
            frame = next(frames)
            heard.append(frame)
            return frame is not None and frame.get("kind") == "apply"

        wait_until(applied, 30, "the edit is told")
        assert {frame["type"] for frame in heard if frame is not None} == {"snapshot", "event"}
        assert daemon.status()["supervisor"]["config"]["applied"] != before
        asked = time.monotonic()
        for _ in range(QUESTIONS):
            daemon.status()
        step.figures["status takes"] = f"{(time.monotonic() - asked) / QUESTIONS * 1000:.1f} ms"


def test_a_stop_that_leaves_them_and_a_start(fleet: Fleet, tell: Tell) -> None:
    with fleet.step("systemctl stop, on_stop = leave, and start", tell):
        fleet.daemon.systemctl("stop")
        assert fleet.daemon.state == "inactive"
        fleet.load.wait_for_new_answers(time.monotonic())
        fleet.daemon.systemctl("start")
        fleet.wait_for_the_main_process()


def test_the_sum(fleet: Fleet, tell: Tell) -> None:
    """Over all of it, each request was answered, each has left one line, and no line was lost between two steps."""
    figures, astray = fleet.finish()
    tell(figures)
    assert (figures["failed"], figures["lost"], figures["doubled"]) == ("0", "0", "0")
    assert astray == []

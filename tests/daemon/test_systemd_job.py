"""Reading a control group and a job list. tests/systemd asks a real systemd."""

import os

import pytest
from qvl.daemon.systemd_job import Unit, find_job, own_unit, stop_is_restart, unit_of


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("/system.slice/qvl-supervisor.service", Unit("qvl-supervisor.service", user=False)),
        ("/system.slice/qvl-supervisor.service/supervisor", Unit("qvl-supervisor.service", user=False)),
        ("/system.slice/system-qvl.slice/qvl@a\\x2db.service", Unit("qvl@a\\x2db.service", user=False)),
        ("/machine.slice/_cpu.service", Unit("cpu.service", user=False)),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/qvl-supervisor.service/supervisor",
            Unit("qvl-supervisor.service", user=True),
        ),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", None),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/tmux-spawn-1.scope", None),
        ("/user.slice/user-1000.slice/user@1000.service", None),
        ("/user.slice/user-0.slice/session-3.scope", None),
        ("/system.slice/docker-0123.scope", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_unit_of_a_control_group(cgroup: str, unit: Unit | None) -> None:
    assert unit_of(cgroup) == unit


JOBS = """\
 90 qvl-supervisor.service restart running
165 other.service          stop    waiting
166 qvl\\x2dtest.service    stop    running
"""


@pytest.mark.parametrize(
    ("unit", "job"),
    [
        ("qvl-supervisor.service", "restart"),
        ("other.service", "stop"),
        ("qvl\\x2dtest.service", "stop"),
        ("supervisor.service", ""),
        ("restart", ""),
    ],
)
def test_the_job_of_a_unit(unit: str, job: str) -> None:
    assert find_job(JOBS, unit) == job


def test_an_empty_listing_has_no_job() -> None:
    assert find_job("", "qvl-supervisor.service") == ""
    assert find_job("No jobs running.\n", "qvl-supervisor.service") == ""


def test_a_child_of_a_service_is_not_the_service() -> None:
    assert own_unit({"SYSTEMD_EXEC_PID": str(os.getppid())}) is None


def test_a_process_that_systemd_did_not_start_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getppid()))
    assert stop_is_restart() is None

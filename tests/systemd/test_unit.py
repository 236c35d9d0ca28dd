"""What is written in the unit, as systemd understands it, and what its sandbox lets through. No daemon needed."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.systemd.box import Box
from tests.systemd.service import FOLDER, INSTALLED, NAME, Service

pytestmark = pytest.mark.systemd

PROBE = [sys.executable, str(Path(__file__).with_name("sandbox_probe.py")), "/var/lib/qvl/answers.json"]
ONESHOT = "Type=oneshot\nRestart=no\nWatchdogSec=0"

NEEDED = {
    "generate code",
    "make a control group",
    "list network interfaces",
    "open a port below 1024",
    "see other processes",
    "read a home",
    "write shared memory",
    "write /tmp",
    "write a model cache",
    "write ~",
    "write state",
    "write logs",
    "write sockets",
}
"""What workers and the daemon do; all else that the probe tries is refused."""


def test_systemd_finds_nothing_to_say_about_it(box: Box) -> None:
    box.put("#!/bin/sh\n", "/opt/qvl/bin/qvl-supervisor", 0o755)
    box.put(FOLDER / NAME, INSTALLED)
    said = box.exec("systemd-analyze", "verify", "--man=no", INSTALLED)
    assert (said.stdout + said.stderr).decode() == ""


def test_systemd_reads_it_as_meant(box: Box) -> None:
    box.put(FOLDER / NAME, INSTALLED)
    meant = {
        "Type": "notify",
        "NotifyAccess": "main",
        "KillMode": "process",
        "Delegate": "yes",
        "OOMPolicy": "continue",
        "RuntimeDirectory": "qvl",
        "RuntimeDirectoryPreserve": "yes",
        "StateDirectory": "qvl",
        "LogsDirectory": "qvl",
        "ConfigurationDirectory": "qvl",
        "Restart": "always",
        "RestartPreventExitStatus": "78",
        "TimeoutAbortUSec": "10s",
        "TimeoutStopUSec": "3min",
        "StartLimitIntervalUSec": "5min",
        "StartLimitBurst": "20",
        "LimitNOFILE": "1048576",
        "LimitMEMLOCK": "infinity",
        "LimitSTACKSoft": "67108864",
        "LimitSTACK": "infinity",
        "TasksMax": "infinity",
        "DevicePolicy": "auto",
    }
    assert box.show(NAME, *meant) == meant


@pytest.mark.parametrize(("user", "exposure"), [("root", 5.2), ("qvl", 3.8)])
def test_its_exposure_does_not_grow_unseen(user: str, exposure: float, box: Box) -> None:
    service = Service(box, ["/bin/true"])
    if user == "qvl":
        service.become_service_user()
    # Each version of systemd weighs a little differently; these are 252's, and room for one option.
    report = box.exec("systemd-analyze", "security", NAME, check=False).stdout.decode()
    found = re.search(r"exposure level for \S+: ([0-9.]+)", report)
    assert found, report
    assert float(found[1]) <= exposure + 0.3, report


@pytest.mark.parametrize("user", ["root", "qvl"])
def test_the_sandbox_lets_through_what_workers_need(user: str, fresh_box: Box) -> None:
    box = fresh_box  # the probe leaves files all over the place
    service = Service(box, PROBE, ONESHOT)
    box.exec("mkdir", "-p", "/opt/nvme/hf")
    needed = set(NEEDED)
    if user == "qvl":
        service.become_service_user()
        box.exec("chown", "qvl:", "/opt/nvme/hf")
        box.exec("chmod", "711", "/root")
        needed -= {"open a port below 1024", "see other processes", "read a home"}
    service.systemctl("start")
    answers = json.loads(box.get(PROBE[-1]))
    assert {name for name, outcome in answers.items() if outcome == "ok"} == needed, answers

"""The box itself: what it shows, what it hides, and that nothing of it is left."""

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.systemd.box import Box
from tests.systemd.conftest import CHECKOUT, boot

pytestmark = pytest.mark.systemd


LASTING = ["systemd-run", "--property=KillMode=none", "setsid", "sh", "-c", "while :; do sleep 1; done"]
"""Starts a process that the stop of its unit wouldn't end; a mark for it to be found by follows."""


def processes_with(mark: str) -> list[str]:
    """Ids of the machine's processes that have `mark` as their last argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().endswith(f"\0{mark}\0".encode()):
                found.append(path.parent.name)
        except OSError:  # gone meanwhile
            continue
    return found


def fail_within(box: Box) -> None:
    with contextlib.ExitStack() as stack:
        stack.push(box)  # started already; only its exit is wanted
        raise ZeroDivisionError


def control_groups(holder: int) -> list[Path]:
    """The box's control groups on the machine, wherever that has them mounted."""
    return list(Path("/sys/fs/cgroup").glob(f"**/qvl-box-{holder}"))


def test_it_shows_the_checkout_and_changes_nothing(fresh_box: Box) -> None:
    name = f"written-{uuid.uuid4().hex}"
    assert fresh_box.get(str(Path(__file__))) == Path(__file__).read_bytes()
    fresh_box.put("inside", f"/opt/{name}")
    assert fresh_box.get(f"/opt/{name}") == b"inside"
    fresh_box.exec("touch", CHECKOUT / name, check=False)  # refused, or lost, depending on the machine's mounts
    fresh_box.exec("rm", "-rf", "/etc/passwd")
    assert not Path("/opt", name).exists()
    assert not (CHECKOUT / name).exists()
    assert Path("/etc/passwd").exists()


def test_it_is_a_machine_of_its_own(box: Box) -> None:
    assert box.read("cat", "/proc/1/comm") == "systemd"
    assert box.read("hostname") == "qvl-box"
    assert box.read("cat", "/proc/self/mountinfo").count("/old") == 0
    assert box.exec("sh", "-c", "echo 1 >/proc/sys/kernel/panic", check=False).returncode != 0
    assert box.read("systemctl", "--failed", "--no-legend") == ""


def test_it_runs_the_interpreter_of_the_tests(box: Box) -> None:
    assert box.read(Path(sys.executable), "-c", "import qvl, sys; print(sys.prefix)") == sys.prefix


def test_a_failing_command_says_what_it_printed(box: Box) -> None:
    with pytest.raises(AssertionError, match=r"(?s)exit 3.*so it goes"):
        box.exec("sh", "-c", "echo so it goes >&2; exit 3")
    assert box.exec("false", check=False).returncode == 1


@pytest.mark.parametrize("end", ["stop", "power_off", "failing test"])
def test_nothing_of_it_is_left(end: str, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    with boot(tmp_path / "box") as box:
        assert control_groups(box.holder)
        box.exec(*LASTING, mark)
        wait_until(lambda: processes_with(mark), what="the process shows on the machine")
        if end == "failing test":
            with pytest.raises(ZeroDivisionError):
                fail_within(box)
        else:
            getattr(box, end)()
        assert processes_with(mark) == []
        assert not box.running
        assert control_groups(box.holder) == []
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
        assert [path.name for path in (tmp_path / "box").rglob("*")] == ["root", "cgroup", "console.log"]


@pytest.mark.parametrize("end", ["stop", "power_off"])
def test_a_boot_finds_what_the_last_one_kept(end: str, tmp_path: Path) -> None:
    with boot(tmp_path / "box", kept=["/var/lib/kept"]) as box:
        first = box.get("/proc/sys/kernel/random/boot_id")
        box.put("here", "/var/lib/kept/file")
        box.put("here", "/var/lib/file")
        getattr(box, end)()
        box.start()
        assert box.get("/var/lib/kept/file") == b"here"
        assert box.exec("test", "-e", "/var/lib/file", check=False).returncode != 0
        assert box.get("/proc/sys/kernel/random/boot_id") != first


def test_it_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    box, mark = boot(tmp_path / "box"), uuid.uuid4().hex
    program = (
        "import sys; from pathlib import Path; from tests.systemd.box import Box\n"
        "box = Box(Path(sys.argv[1])); box.start(); box.exec(*sys.argv[2:]); print(box.holder, flush=True)\n"
        "sys.stdin.read()"
    )
    asking = subprocess.Popen(
        [sys.executable, "-c", program, box.folder, *LASTING, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert asking.stdout is not None
    holder = int(asking.stdout.readline())
    wait_until(lambda: processes_with(mark), what="the process shows on the machine")
    asking.kill()
    asking.communicate()
    wait_until(lambda: not processes_with(mark), what="the box of the killed process has ended")
    wait_until(lambda: not control_groups(holder), what="its control groups are gone")

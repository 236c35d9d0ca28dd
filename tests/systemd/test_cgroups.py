"""A worker's tree in a control group of its own, below the service's: what is in it, what outlives whom in it, and that
nothing of it stays. And that all is as promised where there are no such groups, since systemd doesn't delegate any.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.systemd.box import Box
from tests.systemd.conftest import require
from tests.systemd.daemon import Daemon, assert_adopted, assert_all_ended, config
from tests.systemd.service import GROUP

pytestmark = pytest.mark.systemd

WORKER = "pool0-0"
IMPATIENT = 'stop = { drain = "0s", term = "500ms" }'
"""With an engine that takes its time, or ignores SIGTERM."""
STRAYS = "sim-children = 2"
"""Children with sessions of their own that have lost their parent and are deaf to SIGTERM."""
QUICK = 'restart = { backoff = "200ms" }'
OF_A_TREE = 5
"""Processes of a simulated worker with its two strays: the root, a scheduler, a detokenizer."""

WAYS = ["as shipped", "no delegation", "a user of its own"]


CONTAINER = """
import os, sys, time

def write(path, text):
    with open(path, "w") as file:
        file.write(text)

with open("/proc/self/cgroup") as file:
    own = "/sys/fs/cgroup" + file.read().rpartition("::")[2].strip()
os.makedirs(own + "/container/payload", exist_ok=True)
there, here = os.pipe()
if os.fork() == 0:
    write(own + "/container/payload/cgroup.procs", "0")
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "3600"], {})  # closes the pipe
    os._exit(0)
os.close(here)
os.wait()
os.read(there, 1)
if sys.argv[1:] == ["paused"]:
    write(own + "/container/cgroup.freeze", "1")
time.sleep(3600)
"""
"""An engine as the runtime of a container is one. Its payload has lost its parent, its session and its environment:
that it is the worker's shows by its control group alone."""


def command(*words: str) -> str:
    """A configuration with one worker, whose engine is a command that serves nothing."""
    return f"""\
[supervisor]
gpus = "none"
[engines.own]
kind = "command"
command = {json.dumps(words)}
ready = "started"
[profiles.own]
engine = "own"
[pools.pool0]
profile = "own"
gpus = "none"
workers = 1
port = 8000
{IMPATIENT}
{QUICK}
"""


class Request:
    """A streaming request to the worker, under way."""

    def __init__(self, box: Box, tokens: int) -> None:
        self._box = box
        body = {"model": "demo", "prompt": "count", "max_tokens": tokens, "stream": True, "ignore_eos": True}
        words = ["curl", "-sfN", "-o", "/run/answer", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
        box.exec("rm", "-f", "/run/answer")
        box.exec("systemd-run", "--unit=client", "--collect", *words, "http://127.0.0.1:8000/v1/completions")
        wait_until(lambda: box.exec("test", "-s", "/run/answer", check=False).returncode == 0, 30, "a first token")

    def answer(self) -> bytes:
        """All of it, once it has ended."""
        wait_until(lambda: self._box.show("client.service", "ActiveState")["ActiveState"] == "inactive", 30, "its end")
        return self._box.get("/run/answer")


def start(box: Box, way: str, configuration: str, workers: int = 1) -> tuple[Daemon, dict[str, int | None]]:
    """The daemon with its workers ready, and their pids."""
    daemon = Daemon(box, configuration)
    if way == "no delegation":
        daemon.drop_in("no-delegation", "[Service]\nDelegate=no")
    elif way == "a user of its own":
        require(Path("/usr/bin/dbus-daemon").exists(), "asking systemd as another user than root takes dbus-daemon")
        daemon.become_service_user()
    return daemon, daemon.start(workers)


def groups(box: Box) -> dict[str, set[int]]:
    """The processes of each group from the service's own (``.``) on down, empty groups too; {} without a service."""
    script = (
        'cd "$1" 2>/dev/null || exit 0; find . -type d -printf "%p:\\n" -o -name cgroup.procs -exec grep -H "" {} +'
    )
    found: dict[str, set[int]] = {}
    for line in box.read("sh", "-c", script, "groups", GROUP).splitlines():
        path, _, pid = line.rpartition(":")
        members = found.setdefault(path.removesuffix("/cgroup.procs").removeprefix("./"), set())
        members |= {int(pid)} if pid else set()
    return found


def shim(box: Box, worker: str = WORKER) -> int:
    """The pid of a worker's shim."""
    pid: int = json.loads(box.get(f"/var/lib/qvl/workers/{worker}/shim.json"))["shim_pid"]
    return pid


def lives(box: Box, pids: Iterable[int]) -> list[str]:
    """Those of `pids` that live, with their names."""
    return box.exec("ps", "-o", "pid=,comm=", "-p", ",".join(map(str, pids)), check=False).stdout.decode().splitlines()


def tree_of(daemon: Daemon, worker: str = WORKER) -> set[int]:
    """The pids of a worker's tree, the shim apart: by their environment, which says nothing of control groups."""
    script = 'grep -lzsx "QVL_RUN=$(tr "\\0" "\\n" </proc/$1/environ | sed -n "s/^QVL_RUN=//p")" /proc/[0-9]*/environ'
    paths = daemon.box.exec("sh", "-c", script, "tree", str(daemon.worker(worker)["pid"]), check=False).stdout.decode()
    return {int(pid) for pid in re.findall(r"/proc/(\d+)/", paths)}


def wait_for_another_run(daemon: Daemon, before: int | None, worker: str = WORKER) -> None:
    """Until a worker is ready again with another process than `before`."""
    with daemon.explained():
        wait_until(lambda: daemon.workers().get(worker) not in (None, before), 40, f"{worker} is ready anew")


# --- what lies where ---


def test_each_worker_has_a_group_and_nobody_else_is_in_it(box: Box) -> None:
    daemon, workers = start(box, "as shipped", config(pools=2, args=STRAYS), 2)
    found = groups(box)
    assert found.keys() == {".", "workers", "workers/pool0-0", "workers/pool1-0"}
    assert found["."] == {daemon.main_pid, shim(box, "pool0-0"), shim(box, "pool1-0")}
    assert found["workers"] == set()
    for name, pid in workers.items():
        tree = found[f"workers/{name}"]
        assert pid in tree
        assert len(tree) == OF_A_TREE, lives(box, tree)
        assert tree == tree_of(daemon, name)
        sessions = set(box.read("ps", "-o", "sid=", "-p", ",".join(map(str, tree))).split())
        assert len(sessions) == 3  # the strays have left the root's


def test_systemctl_status_shows_whose_a_process_is(box: Box) -> None:
    daemon, _ = start(box, "as shipped", config(args=STRAYS))
    said = box.read("systemctl", "status", "--no-pager", "--full", "qvl-supervisor.service")
    groups_shown, _, log = said.partition("CGroup:")[2].partition("\n\n")
    assert log
    of_the_service, _, of_the_worker = groups_shown.partition(f"─{WORKER}\n")
    assert [int(pid) for pid in re.findall(r"─(\d+) ", of_the_service)] == [daemon.main_pid, shim(box)]
    assert {int(pid) for pid in re.findall(r"─ *(\d+) ", of_the_worker)} == groups(box)[f"workers/{WORKER}"]


# --- who outlives whom ---


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_daemon_finds_its_workers_where_they_were(way: str, box: Box) -> None:
    daemon, before = start(box, way, config(args=STRAYS))
    tree, found, pid = tree_of(daemon), groups(box), daemon.main_pid
    assert len(tree) == OF_A_TREE
    assert found.get(f"workers/{WORKER}") == (None if way == "no delegation" else tree)
    daemon.signal("KILL")
    successor = daemon.wait_for_another_main_pid(pid)
    assert_adopted(daemon, before)
    assert groups(box) == found | {".": found["."] - {pid} | {successor}}


@pytest.mark.parametrize(
    ("way", "deaf"),
    [("as shipped", False), ("as shipped", True), ("no delegation", False), ("no delegation", True), (WAYS[2], False)],
)
def test_a_worker_whose_shim_is_killed_is_ended_and_started_anew(way: str, deaf: bool, box: Box) -> None:
    args, pool = (f"{STRAYS}\nsim-ignore-sigterm = true", IMPATIENT) if deaf else (STRAYS, "")
    daemon, before = start(box, way, config(args=args, pool=f"{pool}\n{QUICK}"))
    old = tree_of(daemon)
    assert len(old) == OF_A_TREE
    box.exec("kill", "-KILL", str(shim(box)))
    wait_for_another_run(daemon, before[WORKER])
    assert lives(box, old) == []
    worker = daemon.worker(WORKER)
    assert worker["restarts"] == 1
    assert worker["last_exit"] is not None
    assert (worker["last_exit"]["cause"], worker["last_exit"]["code"]) == ("killed", None)
    assert daemon.processes() == {daemon.main_pid, shim(box)} | tree_of(daemon)
    assert groups(box).get(f"workers/{WORKER}") == (None if way == "no delegation" else tree_of(daemon))


def test_a_shim_that_was_killed_with_the_daemon_is_missed_by_the_next_one(box: Box) -> None:
    daemon, before = start(box, "as shipped", config(args=STRAYS, pool=QUICK))
    old = tree_of(daemon)
    box.exec("kill", "-KILL", str(daemon.main_pid), str(shim(box)))
    wait_for_another_run(daemon, before[WORKER])
    assert lives(box, old) == []
    assert daemon.processes() == {daemon.main_pid, shim(box)} | tree_of(daemon)


def test_a_worker_whose_shim_is_killed_answers_who_has_asked(box: Box) -> None:
    daemon, before = start(box, "as shipped", config(args="sim-token-seconds = 0.1", pool=QUICK))
    request = Request(box, tokens=30)
    box.exec("kill", "-KILL", str(shim(box)))
    wait_for_another_run(daemon, before[WORKER])
    assert b"[DONE]" in request.answer()


# --- what stays ---


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_stopped_worker_stays(way: str, box: Box) -> None:
    daemon, before = start(box, way, config(args=STRAYS, pool=IMPATIENT))
    old = tree_of(daemon)
    assert len(old) == OF_A_TREE
    daemon.qvlctl("stop", WORKER)
    assert lives(box, old) == []
    assert {path for path in groups(box) if path.startswith("workers/")} == set()
    daemon.qvlctl("start", WORKER)
    wait_for_another_run(daemon, before[WORKER])
    daemon.systemctl("stop")
    assert_all_ended(daemon)
    assert groups(box) == {}


def test_a_start_that_comes_to_nothing_leaves_no_group(box: Box) -> None:
    box.put("#!/no/such/interpreter\n", "/opt/engine", 0o755)
    daemon = Daemon(box, command("/opt/engine"))
    daemon.systemctl("start")
    with daemon.explained():
        wait_until(lambda: daemon.worker(WORKER)["phase"] == "failed", 30, "the worker is given up")
    assert {path for path in groups(box) if path.startswith("workers/")} == set()


def test_who_was_put_into_the_group_ends_with_the_worker(box: Box) -> None:
    """The next run has the same group, and must not find anybody in it."""
    daemon, _ = start(box, "as shipped", config(pool=IMPATIENT))
    box.exec("systemd-run", "--unit=guest", "--collect", "sleep", "3600")
    guest = box.show("guest.service", "MainPID")["MainPID"]
    box.exec("sh", "-ec", f'echo {guest} >"$0/cgroup.procs"', f"{GROUP}/workers/{WORKER}")
    assert int(guest) in groups(box)[f"workers/{WORKER}"]
    daemon.qvlctl("stop", WORKER)
    assert lives(box, {int(guest)}) == []
    assert groups(box) == {".": {daemon.main_pid}, "workers": set()}


# --- engines that make groups of their own ---


@pytest.mark.parametrize("state", ["running", "paused"])
@pytest.mark.parametrize("shim_is", ["there", "killed", "killed with the engine"])
def test_a_container_is_ended_and_its_groups_removed(shim_is: str, state: str, box: Box) -> None:
    box.put(CONTAINER, "/opt/container.py")
    daemon = Daemon(box, command(sys.executable, "/opt/container.py", state))
    before = daemon.start()
    inside = f"workers/{WORKER}/container/payload"
    (payload,) = groups(box)[inside]
    if shim_is != "there":
        # The engine first: without its shim it may be gone before the second signal.
        also = [str(before[WORKER])] if shim_is == "killed with the engine" else []
        box.exec("kill", "-KILL", *also, str(shim(box)))
        wait_for_another_run(daemon, before[WORKER])
        assert lives(box, {payload}) == []
        assert len(groups(box)[inside]) == 1
        (payload,) = groups(box)[inside]
    daemon.qvlctl("stop", WORKER)
    assert lives(box, {payload}) == []
    assert groups(box) == {".": {daemon.main_pid}, "workers": set()}


def test_a_container_is_ended_with_the_service(box: Box) -> None:
    box.put(CONTAINER, "/opt/container.py")
    daemon = Daemon(box, command(sys.executable, "/opt/container.py", "paused"))
    daemon.start()
    daemon.systemctl("stop")
    assert_all_ended(daemon)
    assert groups(box) == {}


# --- what an administrator does ---


def test_what_the_daemon_has_left_can_be_killed_by_systemctl(box: Box) -> None:
    daemon, _ = start(box, "as shipped", config("leave", args=STRAYS))
    tree = tree_of(daemon)
    daemon.systemctl("stop")
    assert tree < daemon.processes()
    daemon.systemctl("kill", "--signal=KILL")
    wait_until(lambda: not daemon.processes(), what="nothing is left of the service")
    assert lives(box, tree) == []


def test_delegation_may_end_and_come_back_under_living_workers(box: Box) -> None:
    daemon, before = start(box, "as shipped", config(args=STRAYS, pool=f"{IMPATIENT}\n{QUICK}"))
    old = tree_of(daemon)
    daemon.drop_in("delegation", "[Service]\nDelegate=no")
    daemon.systemctl("restart")
    assert_adopted(daemon, before)
    assert groups(box)[f"workers/{WORKER}"] == old
    box.exec("kill", "-KILL", str(shim(box)))  # it is still found in the group that it has
    wait_for_another_run(daemon, before[WORKER])
    assert lives(box, old) == []
    assert groups(box)["."] == daemon.processes()
    daemon.drop_in("delegation", "[Service]\nDelegate=yes")
    daemon.systemctl("restart")
    daemon.wait_for_workers()
    daemon.qvlctl("restart", WORKER)
    assert groups(box)[f"workers/{WORKER}"] == tree_of(daemon)

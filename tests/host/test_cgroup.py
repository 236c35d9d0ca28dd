"""Control groups: directories made here for the counters, and the kernel's own word for where a process is."""

import os
import subprocess
from pathlib import Path

import pytest
from qvl.host.cgroup import oom_kills, own_cgroup

EVENTS = "low 0\nhigh 7\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"


def account(group: Path, kills: object) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.events").write_text(EVENTS.format(kills))


# ---- how many were killed


def test_a_group_that_accounts_for_memory_is_asked_itself(tmp_path: Path) -> None:
    account(tmp_path, 9)
    account(tmp_path / "workers" / "chat-0", 2)
    assert oom_kills(tmp_path / "workers" / "chat-0") == 2


def test_the_nearest_group_around_it_answers_where_it_does_not(tmp_path: Path) -> None:
    account(tmp_path, 9)
    account(tmp_path / "service", 4)
    (tmp_path / "service" / "workers" / "chat-0").mkdir(parents=True)
    assert oom_kills(tmp_path / "service" / "workers" / "chat-0") == 4


def test_a_group_that_is_gone_is_answered_for_by_those_around_it(tmp_path: Path) -> None:
    account(tmp_path, 1)
    assert oom_kills(tmp_path / "gone" / "long ago") == 1


@pytest.mark.parametrize("content", ["", "low 0\nhigh 0\n", "oom_kill\n", "oom_kill many\n"])
def test_a_counter_that_is_missing_or_no_number_says_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text(content)
    assert oom_kills(tmp_path) is None


def test_no_group_says_nothing(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) is None


# ---- where a process is


def kernel(root: Path, groups: str, mounts: str) -> Path:
    """A /proc with one process, which is also the one that reads."""
    for name in ("self", "42"):
        (root / name).mkdir()
        (root / name / "cgroup").write_text(groups)
        (root / name / "mountinfo").write_text(mounts)
    return root


UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)


@pytest.mark.parametrize(
    ("groups", "mounts", "path"),
    [
        ("0::/system.slice/qvl.service\n", UNIFIED, "/sys/fs/cgroup/system.slice/qvl.service"),
        ("0::/\n", UNIFIED, "/sys/fs/cgroup"),
        ("4:memory:/old\n1:name=systemd:/a\n0::/b\n", HYBRID, "/sys/fs/cgroup/unified/b"),
        # A container without a cgroup namespace: its part of the tree is mounted, its paths are the host's.
        ("0::/docker/abc/x\n", UNIFIED.replace(" / /sys", " /docker/abc /sys"), "/sys/fs/cgroup/x"),
        ("0::/docker/other\n", UNIFIED.replace(" / /sys", " /docker/abc /sys"), None),
        ("0::/x\n", UNIFIED.replace("/sys/fs/cgroup", r"/mnt/a\040b"), "/mnt/a b/x"),
        # Outside of our namespace, or mounted by somebody outside of it.
        ("0::/../other\n", UNIFIED, None),
        ("0::/x\n", UNIFIED.replace(" / /sys", " /../.. /sys"), None),
        ("0::/x\n", UNIFIED.replace(" / /sys/fs/cgroup", " /../.. /mnt/theirs") + UNIFIED, "/sys/fs/cgroup/x"),
        # Version 1 alone.
        ("4:memory:/old\n", HYBRID.rpartition("41 ")[0], None),
        ("4:memory:/old\n", UNIFIED, None),
    ],
)
def test_a_group_is_found_below_its_mount(groups: str, mounts: str, path: str | None, tmp_path: Path) -> None:
    proc = kernel(tmp_path, groups, mounts)
    expected = None if path is None else Path(path)
    assert own_cgroup(proc=proc) == expected
    assert own_cgroup(42, proc=proc) == expected


def test_a_process_that_is_gone_is_in_no_group(tmp_path: Path) -> None:
    assert own_cgroup(43, proc=kernel(tmp_path, "0::/\n", UNIFIED)) is None


def test_the_kernel_lists_us_in_our_group() -> None:
    group = own_cgroup()
    if group is None:
        pytest.skip("no control groups of version 2 to be seen here")
    assert str(os.getpid()) in (group / "cgroup.procs").read_text().split()
    assert own_cgroup(os.getpid()) == group
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert own_cgroup(child.pid) == group
        finally:
            child.kill()

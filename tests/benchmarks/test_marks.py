"""The worst tree, and how its processes are found, watched and ended: by real ones, which nothing supervises."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.shim import proc

from benchmarks import marks
from benchmarks.lab import Beacon, BenchmarkError, free_ports, program_line
from benchmarks.tree import ROLES
from tests.support import wait_until

HOLD = "import os, sys, time; os.open(sys.argv[1], os.O_RDWR); print(flush=True); time.sleep(600)"
"""Holds a FIFO as a measurement does, until it is killed."""


class Tree:
    """One tree, complete."""

    def __init__(self, folder: Path, lifeline: Path) -> None:
        self.mark = secrets.token_hex(8)
        self.beacon = Beacon(folder / self.mark)
        line = program_line(("tree.py", self.mark, str(lifeline)), self.beacon, str(free_ports(1)))
        self.root = subprocess.Popen(line)
        self.beacon.wait(bool, "a tree", 30)

    def members(self) -> dict[str, marks.Member]:
        return {member.role: member for member in marks.members(self.mark)}

    def signal(self, role: str, sig: int) -> None:
        member = self.members()[role]
        assert proc.send_signal(member.pid, member.start, sig)

    def close(self) -> None:
        marks.end(self.mark)
        self.root.wait()
        self.beacon.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="qvl-b-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def tree(folder: Path) -> Iterator[Tree]:
    with marks.Lifeline(folder / "lifeline") as lifeline:
        tree = Tree(folder, lifeline.path)
        try:
            yield tree
        finally:
            tree.close()


def test_all_are_found_wherever_they_went(tree: Tree) -> None:
    members = tree.members()
    assert set(members) == {"root", *ROLES}
    assert len(marks.members(tree.mark)) == 7
    root = members["root"].pid
    assert root == tree.root.pid
    alone = {role for role, member in members.items() if os.getsid(member.pid) != os.getsid(root)}
    assert alone == {"setsid", "daemon"}
    parents = {role: process.ppid for role, member in members.items() if (process := proc.read(member.pid))}
    assert {role for role, parent in parents.items() if parent == root} == {"child", "setsid", "deaf", "forker"}


def test_each_takes_sigterm_in_its_own_way(tree: Tree) -> None:
    forker = tree.members()["forker"].pid
    tree.signal("root", signal.SIGTERM)
    assert tree.root.wait() == -signal.SIGTERM
    assert set(tree.members()) == set(ROLES)
    for role in ROLES:
        tree.signal(role, signal.SIGTERM)
    wait_until(lambda: set(tree.members()) == {"deaf", "forker"}, what="the others have ended")
    wait_until(lambda: tree.members()["forker"].pid != forker, what="the forker has ended")
    tree.signal("forker", signal.SIGTERM)
    wait_until(lambda: set(tree.members()) == {"deaf"}, what="what it forked has ended")


def test_the_last_end_is_seen_and_that_of_a_newborn_too(tree: Tree) -> None:
    forker = tree.members()["forker"].pid
    with marks.Watch(tree.mark) as watch:
        for role in ("root", "child", "setsid", "daemon", "deaf", "orphan"):
            tree.signal(role, signal.SIGKILL)
        tree.signal("forker", signal.SIGTERM)
        wait_until(lambda: [m.pid for m in marks.members(tree.mark)] not in ([], [forker]), what="there is a newborn")
        wait_until(lambda: len(marks.members(tree.mark)) == 1, what="the newborn is alone")
        alone_at = time.monotonic()
        tree.signal("forker", signal.SIGTERM)
        gone_at = wait_until(lambda: watch.gone_at, what="the last end is seen")
    assert gone_at is not None
    assert gone_at > alone_at
    assert tree.members() == {}


def test_what_has_no_mark_is_not_touched(tree: Tree, folder: Path) -> None:
    other = Tree(folder, folder / "lifeline")
    try:
        marks.end(tree.mark)
        assert tree.members() == {}
        assert len(other.members()) == 7
    finally:
        other.close()


def test_what_still_holds_the_lifeline_is_ended_and_told_of(folder: Path) -> None:
    lifeline = marks.Lifeline(folder / "lifeline")
    tree = Tree(folder, lifeline.path)
    try:
        assert {pid for pid, _ in lifeline.holders()} == {member.pid for member in tree.members().values()}
        with pytest.raises(BenchmarkError, match="7 processes"), lifeline:
            pass
        wait_until(lambda: not tree.members(), what="the tree is gone")
    finally:
        tree.close()


def test_a_tree_ends_by_itself_when_the_measurement_is_killed(folder: Path) -> None:
    lifeline = folder / "lifeline"
    os.mkfifo(lifeline)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lifeline)], stdout=subprocess.PIPE) as measurement:
        assert measurement.stdout is not None
        measurement.stdout.readline()
        tree = Tree(folder, lifeline)
        try:
            assert len(tree.members()) == 7
            measurement.kill()
            wait_until(lambda: not tree.members(), what="the tree is gone")
        finally:
            measurement.kill()
            tree.close()

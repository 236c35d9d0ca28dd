"""Each measurement runs with parameters so small that its figures mean nothing, and leaves nothing behind.

The peers take part where an earlier run of the benchmarks has installed them: a test does not install anything.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qvl.shim import proc

from benchmarks import tree
from benchmarks.__main__ import MEASUREMENTS
from benchmarks.holders import KILL_MODES
from benchmarks.peers import CACHE, CIRCUS, QVL, SUPERVISORD, SYSTEMD, is_installed
from benchmarks.report import Row, Section, markdown, revised, text
from tests.support import wait_until
from tests.systemd.box import missing_prerequisite
from tests.systemd.conftest import require

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SIDES = [QVL, SUPERVISORD, CIRCUS] if is_installed(CACHE) else [QVL]
QVL_ALONE = {"shim", "tui"}
Figures = dict[str, dict[str, list[float]]]
"""Of each figure the samples of each side."""


def processes_below(root: Path) -> list[str]:
    """The command lines of processes that have to do with `root`, by argument, environment or working directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                told = line + (entry / "environ").read_bytes() + os.fsencode(os.readlink(entry / "cwd"))
            except OSError:
                continue
            if os.fsencode(root) in told:
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # gone meanwhile
        return b""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Short: supervisord binds its socket there, and pytest's own directories use up a socket's 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="qvl-b-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def measured(name: str, scratch: Path, sides: list[str]) -> Figures:
    """Run one measurement, and see that it told what it found and cleaned up."""
    figures = scratch / "figures.json"
    document = scratch / "benchmarks.md"
    only = [word for side in sides for word in ("--only", side)]
    files = ["--json", str(figures), "--markdown", str(document), "--scratch", str(scratch)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--tiny", *only, *files],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(figures.read_text())["figures"]
    assert all(row["sides"][QVL]["samples"] for row in rows if row["measurement"] == name and QVL in row["sides"])
    assert all(row["figure"] in done.stdout and row["figure"] in document.read_text() for row in rows)
    assert {path.name for path in scratch.iterdir()} == {figures.name, document.name}
    assert processes_below(scratch) == []
    return {row["figure"]: {side: found["samples"] for side, found in row["sides"].items()} for row in rows}


@pytest.mark.parametrize("name", [name for name in MEASUREMENTS if name != tree.NAME])
def test_measurement_runs_and_cleans_up(name: str, scratch: Path) -> None:
    figures = measured(name, scratch, SIDES)
    sides = {side for row in figures.values() for side in row}
    assert sides == ({QVL} if name in QVL_ALONE else set(SIDES))


def test_tree_is_ended_whole(scratch: Path) -> None:
    figures = measured(tree.NAME, scratch, SIDES)
    variants = {f"{SUPERVISORD}, group", f"{CIRCUS}, children"} if len(SIDES) > 1 else set()
    assert {side for row in figures.values() for side in row} == {*SIDES, *variants}
    ours = [row[QVL] for figure, row in figures.items() if not figure.endswith(" after")]
    assert ours == [[0], [0], [0], [1], [1], [1]]
    if variants:  # that what must be found is found: supervisord ends one process, knows of none after its death
        theirs = [row[SUPERVISORD] for figure, row in figures.items() if not figure.endswith(" after")]
        assert theirs == [[6], [6], [6], [1], [0], [2]]


@pytest.mark.systemd
def test_tree_of_a_systemd_in_its_box(scratch: Path) -> None:
    missing = missing_prerequisite()
    require(missing is None, missing or "")
    figures = measured(tree.NAME, scratch, [QVL, SYSTEMD])
    assert {side for row in figures.values() for side in row} == {QVL, *KILL_MODES}
    alive = figures["stop: alive when it says stopped"]
    assert alive == {QVL: [0], SYSTEMD: [0], f"{SYSTEMD}, mixed": [0], f"{SYSTEMD}, process": [6]}


def test_unknown_name_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "respwan"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith("no measurement respwan; respawn is the nearest\n")


def eight_logs(scratch: Path) -> bool:
    return len(list(scratch.glob("*/*/log/*/current.log"))) == 8


def a_tree(scratch: Path) -> bool:
    return sum("programs/tree.py" in line for line in processes_below(scratch)) >= 7


@pytest.mark.parametrize(("name", "under_way"), [("idle", eight_logs), (tree.NAME, a_tree)])
def test_asked_to_end_it_leaves_nothing(name: str, under_way: Callable[[Path], bool], scratch: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", name, "--quick", "--only", QVL, "--scratch", str(scratch)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        wait_until(lambda: under_way(scratch), 60, f"{name} is under way")
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert list(scratch.iterdir()) == []
    assert processes_below(scratch) == []


@pytest.mark.systemd
def test_asked_to_end_while_a_box_is_asked_it_ends_at_once(scratch: Path) -> None:
    missing = missing_prerequisite()
    require(missing is None, missing or "")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", tree.NAME, "--quick", "--only", SYSTEMD, "--scratch", str(scratch)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def is_asked() -> bool:
        return any(command_line(child.pid).startswith(b"systemctl\0stop\0") for child in proc.descendants(process.pid))

    with process:
        wait_until(is_asked, 60, "a stop that takes five seconds")
        process.terminate()
        assert process.wait(25) == 128 + signal.SIGTERM
    assert list(scratch.iterdir()) == []
    assert processes_below(scratch) == []


def test_ratio_is_above_one_where_qvl_is_better() -> None:
    quicker = Row("start", "s", {QVL: [1, 2, 3], SUPERVISORD: [4], CIRCUS: [1]})
    assert (quicker.ratio(SUPERVISORD), quicker.ratio(CIRCUS)) == (2, 0.5)
    faster = Row("flood", "MB/s", {QVL: [100], SUPERVISORD: [50], CIRCUS: []}, "more")
    assert (faster.ratio(SUPERVISORD), faster.ratio(CIRCUS)) == (2, None)
    assert Row("lost", "lines", {QVL: [0], SUPERVISORD: [7]}).ratio(SUPERVISORD) is None


def test_a_section_has_columns_of_its_own() -> None:
    usual = Section("start", "Start", [Row("start", "s", {QVL: [1], SUPERVISORD: [2]})])
    other = Section("end", "End", [Row("left", "of 7", {QVL: [0], SYSTEMD: [6]})], (), (QVL, SYSTEMD), ())
    about = dict.fromkeys(("cores", "architecture", "memory_gib", "linux", "python", SUPERVISORD, CIRCUS), "")
    document = markdown(about, [usual, other])
    assert "| figure | qvl | supervisord | circus | vs supervisord | vs circus |" in document
    assert "| start, s | 1 | 2 | – | 2× | – |" in document
    assert "| figure | qvl | systemd |\n|---|---:|---:|\n| left, of 7 | 0 | 6 |" in document
    again = Section("end", "End", [Row("left", "of 7", {QVL: [1], SYSTEMD: [6]})], (), (QVL, SYSTEMD), ())
    assert revised(document, [again]) == document.replace("| left, of 7 | 0 | 6 |", "| left, of 7 | 1 | 6 |")
    assert revised(markdown(about, [usual]), [other]) == document
    assert [line.split() for line in text([usual, other]).splitlines() if line.startswith(("figure", "left"))] == [
        ["figure", "qvl", "supervisord", "circus", "vs", "supervisord", "vs", "circus"],
        ["figure", "qvl", "systemd"],
        ["left,", "of", "7", "0", "6"],
    ]

"""Each measurement runs with parameters so small that its figures mean nothing, and leaves nothing behind.

The peers take part where an earlier run of the benchmarks has installed them: a test does not install anything.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import MEASUREMENTS
from benchmarks.peers import CACHE, CIRCUS, QVL, SUPERVISORD, is_installed
from benchmarks.report import Row
from tests.support import wait_until

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SIDES = [QVL, SUPERVISORD, CIRCUS] if is_installed(CACHE) else [QVL]
QVL_ALONE = {"shim"}


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


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Short: supervisord binds its socket there, and pytest's own directories use up a socket's 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="qvl-b-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_measurement_runs_and_cleans_up(name: str, scratch: Path) -> None:
    figures = scratch / "figures.json"
    document = scratch / "benchmarks.md"
    only = [word for side in SIDES for word in ("--only", side)]
    files = ["--json", str(figures), "--markdown", str(document), "--scratch", str(scratch)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--tiny", *only, *files],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(figures.read_text())["figures"]
    measured = {side for row in rows for side in row["sides"]}
    assert measured == ({QVL} if name in QVL_ALONE else set(SIDES))
    assert all(row["sides"][QVL]["samples"] for row in rows if row["measurement"] == name and QVL in row["sides"])
    assert all(row["figure"] in done.stdout and row["figure"] in document.read_text() for row in rows)
    assert {path.name for path in scratch.iterdir()} == {figures.name, document.name}
    assert processes_below(scratch) == []


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


def test_asked_to_end_it_leaves_nothing(scratch: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "idle", "--quick", "--only", QVL, "--scratch", str(scratch)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        wait_until(lambda: len(list(scratch.glob("*/*/log/*/current.log"))) == 8, 60, "eight workers with a log")
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert list(scratch.iterdir()) == []
    assert processes_below(scratch) == []


def test_ratio_is_above_one_where_qvl_is_better() -> None:
    quicker = Row("start", "s", {QVL: [1, 2, 3], SUPERVISORD: [4], CIRCUS: [1]})
    assert (quicker.ratio(SUPERVISORD), quicker.ratio(CIRCUS)) == (2, 0.5)
    faster = Row("flood", "MB/s", {QVL: [100], SUPERVISORD: [50], CIRCUS: []}, "more")
    assert (faster.ratio(SUPERVISORD), faster.ratio(CIRCUS)) == (2, None)
    assert Row("lost", "lines", {QVL: [0], SUPERVISORD: [7]}).ratio(SUPERVISORD) is None

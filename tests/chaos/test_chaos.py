"""A short campaign with a fixed seed, and a round that is sabotaged: what it breaks has to be found."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.draw import Draw
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.lab import Lab

ROOT = Path(__file__).parents[2]
SEED = 363


@pytest.mark.timeout(180)
def test_faults_at_random() -> None:
    command = [sys.executable, "-m", "tests.chaos", f"--seed={SEED}", "--minutes=0.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}" in done.stdout
    assert re.search(r"^rounds: [1-9]", done.stdout, re.MULTILINE), done.stdout
    assert "violations: 0" in done.stdout


class DoubledLine(Fault):
    """Writes a line into a log that the worker has not written."""

    def play(self) -> None:
        with (self.fleet.logs / "chat-0" / "current.log").open("ab") as log:
            log.write(b"[2026-01-01 00:00:00] Simulated chatter, line 0\n")


class Stray(Fault):
    """A process with the mark of the run that is in no tree."""

    def __init__(self, fleet: Fleet, draw: Draw) -> None:
        super().__init__(fleet, draw)
        self.process: subprocess.Popen[bytes] | None = None

    def play(self) -> None:
        name, _, value = self.fleet.mark.partition("=")
        self.process = subprocess.Popen(["sleep", "600"], env={**os.environ, name: value})


class KillUntold(Fault):
    """Ends a worker, and does not say so."""

    def play(self) -> None:
        root = self.fleet.trees()["chat-1"].root
        assert root is not None
        os.kill(root.pid, 9)


@pytest.mark.timeout(180)
def test_a_sabotaged_round_is_found(tmp_path: Path) -> None:
    nothing = Draw("none", 0.0, "chat-0", 0.0, 0)
    lab = Lab(tmp_path, None)
    try:
        assert lab.begin().breaches == []
        outcome = lab.play([DoubledLine(lab.fleet, nothing)])
        assert {number for number, _ in outcome.breaches} == {4}
        assert any("chat-0, run 1: line 0 where" in sentence for _, sentence in outcome.breaches)

        outcome = lab.play([KillUntold(lab.fleet, nothing)])
        assert (5, "chat-1 ended by killed; nobody touched it") in outcome.breaches
        assert {number for number, _ in outcome.breaches} <= {5, 7}

        stray = Stray(lab.fleet, nothing)
        lab.well = 2
        outcome = lab.play([stray])
        assert stray.process is not None
        assert not outcome.well
        assert [number for number, _ in outcome.breaches] == [2]
        assert f"pid {stray.process.pid} (sleep) belongs to nobody" in outcome.breaches[0][1]

        assert [number for number, _ in lab.end()] == [2]
        stray.process.kill()
        stray.process.wait()
    finally:
        lab.close()

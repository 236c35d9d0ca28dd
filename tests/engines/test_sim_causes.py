"""What the simulated engine is told to fail of is what its log and exit are read as: by a real process."""

import os
import signal
from pathlib import Path

import pytest
from qvl.core.classify import Finding, classify
from qvl.model.worker import Cause
from qvl.simulator.failures import FAILURES, MISUSE, written

from tests.simulator.harness import Engine


def found(engine: Engine, *, was_ready: bool) -> Finding:
    """Wait for the end and read it as the daemon does."""
    status = engine.exit_code()
    code, number = (status, None) if status >= 0 else (None, -status)
    return classify(code, number, engine.log.replace("\r", "\n").split("\n"), was_ready=was_ready)


@pytest.mark.parametrize("cause", [*sorted(FAILURES), "port-in-use"])
def test_a_start_that_fails_on_command_fails_of_that(tmp_path: Path, cause: str) -> None:
    with Engine(tmp_path, "--sim-fail", cause) as engine:
        finding = found(engine, was_ready=False)
    assert finding.cause is Cause(cause), finding
    assert finding.evidence


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with Engine(tmp_path).ready() as first, Engine(other, port=first.port) as second:
        finding = found(second, was_ready=False)
    assert finding.cause is Cause.PORT_IN_USE
    assert str(first.port) in (finding.evidence or "")


@pytest.mark.parametrize(
    ("flags", "cause"),
    [
        (("--sim-exit-after", "0.01", "--sim-exit-code", "0"), Cause.EXITED),
        (("--sim-exit-after", "0.01", "--sim-exit-code", "7"), Cause.UNKNOWN),
    ],
)
def test_an_engine_that_ends_by_itself(tmp_path: Path, flags: tuple[str, ...], cause: Cause) -> None:
    with Engine(tmp_path, *flags) as engine:
        assert found(engine, was_ready=True).cause is cause


def test_a_stranger_ends_it(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        engine.process.send_signal(signal.SIGTERM)
        finding = found(engine, was_ready=True)
    assert finding.cause is Cause.KILLED
    assert (finding.evidence or "").startswith("SIGTERM received.")


def test_its_scheduler_is_killed(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        scheduler = next(pid for pid, name in engine.processes().items() if name == "sglang::schedul")
        os.kill(scheduler, signal.SIGKILL)
        finding = found(engine, was_ready=True)
    assert finding.cause is Cause.KILLED
    assert "crashed with exit code -9" in (finding.evidence or "")


@pytest.mark.parametrize("misuse", sorted(MISUSE))
def test_every_misuse_of_parking_is_a_crash_with_its_words(misuse: str) -> None:
    """The words alone: how each comes about is the simulator's own test."""
    lines = [f"[2026-11-21 20:46:55] {text}" if stamped else text for stamped, text in written(MISUSE[misuse], child=7)]
    finding = classify(None, 9, lines, was_ready=True)
    assert finding.cause is (Cause.OUT_OF_GPU_MEMORY if misuse == "resume-occupied" else Cause.ENGINE_CRASH)
    assert "hit an exception" not in (finding.evidence or "")

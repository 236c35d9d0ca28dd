"""A process that replaces its code: what becomes of signals that come meanwhile. The daemon itself: tests/systemd."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import os, signal, sys
from pathlib import Path
from qvl.daemon.succession import hold_signals, replace_ourselves, take_signals

first, when = Path(sys.argv[1]), sys.argv[2]
if not first.exists():
    first.write_text(str(os.getpid()))
    hold_signals()
    if when == "meanwhile":
        os.kill(os.getpid(), signal.SIGTERM)
    replace_ourselves(told_to_stop=when == "before")
got = []
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: got.append(signal.Signals(number).name))
before = list(got)
take_signals()
print(first.read_text() == str(os.getpid()), before, got)
"""


@pytest.mark.parametrize(("when", "got"), [("never", "[]"), ("meanwhile", "['SIGTERM']"), ("before", "['SIGTERM']")])
@pytest.mark.parametrize("installed", [True, False])
def test_a_signal_waits_for_the_successor(when: str, got: str, installed: bool, tmp_path: Path) -> None:
    script = tmp_path / "program"
    script.write_text(f"#!{sys.executable}\n{PROGRAM}" if installed else PROGRAM)
    os.chmod(script, 0o755 if installed else 0o644)
    command = [*([] if installed else [sys.executable]), str(script), str(tmp_path / "first"), when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"True [] {got}\n"

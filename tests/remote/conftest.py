"""One sshd and one daemon for the tests of a module: what they do to each other is what is tested."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.harness import Daemon
from tests.cli.run import Ran, home, lonely
from tests.remote.sshd import QVLCTL, Sshd, needed

__all__ = ["home", "lonely"]


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    needed()
    with Sshd() as running:
        yield running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon")) as running:
        running.start()
        running.ready()
        yield running
        running.stop()


def qvlctl(sshd: Sshd, *words: str | Path, config: Path | None = None) -> Ran:
    """qvlctl as a program, whose ssh finds this sshd."""
    command = [QVLCTL, *words]
    ran = subprocess.run(
        command, env=sshd.environment(config), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)

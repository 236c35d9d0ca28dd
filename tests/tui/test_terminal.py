"""The interface in a real terminal, on real daemons: what is drawn, what keys do, and what is left when it ends."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.harness import Daemon
from tests.support import wait_until
from tests.tui.tmux import Modes, Tmux

pytestmark = pytest.mark.terminal

QVLCTL = Path(sys.prefix, "bin", "qvlctl")
READY_ROW = re.compile(r"(?P<worker>\S+) +● ready +(?P<running>\S+) +(?P<queued>\S+) +(?P<rate>\S+) ")
OURS = Modes(alternate_screen=True, cursor=False, mouse=True)
THEIRS = Modes(alternate_screen=False, cursor=True, mouse=False)


@pytest.fixture(autouse=True)
def _tmux() -> None:
    if shutil.which("tmux") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("tmux is not installed: apt-get install tmux")
        pytest.skip("tmux is not installed: apt-get install tmux")


class Demo:
    """A place for temporary files of one demo alone, which its processes have in their environment: so they are found
    whatever their names are."""

    def __init__(self) -> None:
        self.tmp = Path(tempfile.mkdtemp(prefix="qvl-t-", dir="/tmp"))
        self.notes = self.tmp / "notes"
        self.notes.mkdir()
        self.home = self.tmp / "t"
        self.home.mkdir()

    def script(self) -> str:
        """Runs it, with the terminal's settings before and after and the exit status in `notes`."""
        words = ("env", f"TMPDIR={self.home}", str(QVLCTL), "up", "--demo")
        return f"cd {self.notes}; stty -a >before; {shlex.join(words)}; echo $? >status; stty -a >after; >over"

    def note(self, name: str) -> str:
        return (self.notes / name).read_text().strip()

    def processes(self) -> dict[int, str]:
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            proc = Path("/proc", entry)
            with contextlib.suppress(OSError):
                marked = str(self.home).encode() in (proc / "environ").read_bytes()
                inside = os.readlink(proc / "cwd").startswith(f"{self.home}/")
                zombie = (proc / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
                if (marked or inside) and not zombie:
                    found[int(entry)] = (proc / "cmdline").read_text(errors="replace").replace("\0", " ")
        return found


@pytest.fixture
def demo() -> Iterator[Demo]:
    made = Demo()
    yield made
    with contextlib.suppress(AssertionError):  # hung up, it ends by itself
        wait_until(lambda: not made.processes(), 15)
    for pid in made.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(made.tmp, ignore_errors=True)


def rates(terminal: Tmux) -> list[str]:
    """The tok/s of each row that is ready."""
    return [figures["rate"] for row in terminal.capture() if (figures := READY_ROW.search(row))]


def test_the_demo_from_its_start_to_an_end_that_leaves_nothing(demo: Demo) -> None:
    with Tmux(demo.script()) as terminal:
        screen = terminal.wait(r"4/4 ready +● live", timeout=40)
        workers = [row["worker"] for row in READY_ROW.finditer(screen)]
        assert workers == ["qwen3-vl-0", "qwen3-vl-1", "qwen3-vl-2", "qwen3-32b-0"]
        wait_until(lambda: set(rates(terminal)) - {"0", "—"}, 20, "figures above 0")
        before = rates(terminal)
        wait_until(lambda: rates(terminal) != before, 20, "figures that move")
        assert terminal.modes() == OURS
        assert len(demo.processes()) >= 1 + 1 + 4 + 4, "qvlctl, the daemon, and a shim and an engine for each worker"

        terminal.keys("?")
        terminal.wait(r"╭─ keys ─")
        terminal.keys("Escape")
        terminal.wait(r"─events─")

        for key, head, body in (
            ("Enter", r"‹ +qwen3-vl-0 +● ready +worker", r"KV cache +[\d.]+ GiB · [\d,]+ tokens"),
            ("l", r"‹ +qwen3-vl-0 +● ready +logs", r"following\n(?s:.*)(ready to roll!|POST /v1/chat|Decode batch)"),
            ("4", r"‹ +qwen3-vl-0 +● ready +metrics", r"throughput +[\d,]+ tok/s"),
            ("5", r"‹ +qwen3-vl +switch", r"runs standard, as the file says"),
            ("6", r"‹ +\S+ +2 profiles +config", r"gpus = \"simulated:4\""),
        ):
            terminal.keys(key)
            terminal.wait(head)
            terminal.wait(body)
        terminal.keys("Escape")
        terminal.wait(r"─events─")

        terminal.keys("S")
        terminal.wait(r"╭─ stop qwen3-vl-0\? ─")
        terminal.keys("n")
        terminal.wait(r"─events─")
        assert "stop" not in " ".join(row for row in terminal.capture() if "asked" in row)

        terminal.keys("q")
        terminal.wait(r"╭─ quit, and end the daemon\? ─")
        assert not (demo.notes / "over").exists()
        terminal.keys("y")
        wait_until((demo.notes / "over").exists, 30, "the end of the demo")

        assert demo.note("status") == "0"
        assert demo.note("after") == demo.note("before")
        assert "echo" in demo.note("after").split()
        assert terminal.modes() == THEIRS
        assert "Traceback" not in "\n".join(terminal.capture())
    wait_until(lambda: not demo.processes(), 5, "no process of the demo")
    assert list(demo.home.iterdir()) == []


def test_it_outlives_its_daemon_and_finds_the_next_one(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start()
        daemon.ready()
        command = shlex.join(map(str, (QVLCTL, "--socket", daemon.socket, "tui")))
        with Tmux(f"{command}; echo exit status $?") as terminal:
            terminal.wait(r"1/1 ready +● live")
            terminal.wait(r"chat-0 +● ready")

            daemon.kill()
            terminal.wait(r"reconnecting for \d+ s · ")
            age = re.search(r"✕ (\d+) s old", terminal.wait(r"✕ \d+ s old"))
            assert age is not None
            older = "|".join(str(int(age[1]) + more) for more in range(1, 20))
            terminal.wait(rf"✕ (?:{older}) s old")
            terminal.wait(r"chat-0 +● ready")

            daemon.start()
            terminal.wait(r"1/1 ready +● live", timeout=20)
            assert "reconnecting" not in "\n".join(terminal.capture())

            terminal.keys("q")
            terminal.wait(r"exit status 0")
            assert terminal.modes() == THEIRS
        assert daemon.worker()["ready"], "whoever looks away stops nothing"
        daemon.stop()

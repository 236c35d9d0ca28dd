"""Output without end or measure, and disks without room: the daemon answers, workers are never blocked."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from qvl.shim import logread

from tests.blackbox.harness import Daemon, args, command, complete, pool
from tests.support import wait_until

SMALL = pool(logs={"max_size": "1MB", "keep": 3})
PYTHON = sys.executable


def size_of_log(daemon: Daemon) -> int:
    return sum(segment.size for segment in logread.segments(daemon.logs / "chat-0"))


def assert_responsive(daemon: Daemon, seconds: float = 1.5) -> None:
    """Each of a second's questions is answered soon; the machine is shared, so soon is generous."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        daemon.client.status()
        assert time.monotonic() - began < 1.0


def test_a_flood_is_bounded_and_disturbs_nobody(tmp_path: Path) -> None:
    with Daemon(tmp_path, command("exec yes this line comes rather often"), SMALL) as daemon:
        daemon.start().ready()
        wait_until(lambda: (e := logread.end(daemon.logs / "chat-0")) > 12_000_000 and e, 30, "12 MB of output")
        assert_responsive(daemon)
        assert size_of_log(daemon) <= 1_000_000 * (3 + 1) + 300_000
        daemon.client.act("stop", "chat-0", pool=False)
        daemon.in_phase("stopped")
        assert daemon.status["supervisor"]["lost_log_bytes"] == 0


def test_a_flood_during_a_start_hides_no_step(tmp_path: Path) -> None:
    chatty = args(sim_log_rate=20000, sim_load_seconds=0.5)
    with Daemon(tmp_path, chatty, SMALL) as daemon:
        daemon.start().ready()
        assert_responsive(daemon)
        assert complete(daemon.port)[0] == 200
        assert daemon.worker()["restarts"] == 0


def test_a_line_without_an_end(tmp_path: Path) -> None:
    """100 MB, then a word, then the end that the cause is read from."""
    program = (
        f"exec {PYTHON} -I -S -c \"import os, time; b = b'x' * (1 << 20)\n"
        "for _ in range(100): os.write(1, b)\n"
        "time.sleep(0.2); os.write(2, b'\\nRuntimeError: that was long\\n'); os._exit(1)\""
    )
    with Daemon(tmp_path, command(program), SMALL, pool(restart={"max_restarts": 0})) as daemon:
        daemon.start()
        worker = daemon.in_phase("failed", timeout=60)
        assert_responsive(daemon, 0.2)
        assert size_of_log(daemon) <= 2_000_000 * (3 + 1) + 300_000  # a segment waits for a line's end, within reason
        assert worker["last_exit"] is not None
        assert "that was long" in (worker["last_exit"]["evidence"] or "")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """The log keeps them as they are, and what is told of them is text."""
    talk = r"printf 'caf\351 \377\376 \033[31mred\033[0m \000 nul\n'; printf 'RuntimeError: \377 bad \303\n' >&2"
    with Daemon(tmp_path, command(f"{talk}; exit 1"), pool(restart={"max_restarts": 0})) as daemon:
        worker = daemon.start().in_phase("failed")
        assert b"caf\xe9 \xff\xfe \x1b[31mred\x1b[0m \x00 nul\n" in daemon.log()
        assert daemon.client.raw("/v1/workers/chat-0/log").count(b"caf\xe9") == 1
        assert worker["last_exit"] is not None
        assert "bad" in (worker["last_exit"]["evidence"] or "")
        assert daemon.events()


def test_bars_that_redraw_themselves(tmp_path: Path) -> None:
    bars = 'i=0; while [ $i -lt 3000 ]; do printf "\\r%d%%|####|" $i; i=$((i+1)); done; echo; exec sleep 600'
    with Daemon(tmp_path, command(bars)) as daemon:
        daemon.start().ready()
        wait_until(lambda: b"2999%" in daemon.log(), 10, "the last of them")


def test_many_workers_flood_at_once(tmp_path: Path) -> None:
    with Daemon(tmp_path, command("exec yes"), SMALL, pool(gpus=4)) as daemon:
        daemon.start()
        for index in range(4):
            daemon.ready(f"chat-{index}", timeout=30)
        assert_responsive(daemon)
        daemon.client.act("stop", "all", pool=True)
        for index in range(4):
            daemon.in_phase("stopped", f"chat-{index}")


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")

INSIDE = """\
import os, sys, subprocess
for place, size in zip(sys.argv[1].split(), sys.argv[2].split()):
    os.makedirs(place, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0750", "tmpfs", place], check=True)
os.execv(sys.argv[3], sys.argv[3:])
"""


class SmallDisk(Daemon):
    """Its daemon has a mount namespace of its own, where `small` are disks of these sizes."""

    small: dict[str, str]

    def __enter__(self) -> "SmallDisk":
        return self

    def spawn(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        name, _, value = self.mark.partition("=")
        places = " ".join(str(self.root / place) for place in self.small)
        with self.journal.open("ab") as journal:
            self.process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--propagation", "private", sys.executable, "-c", INSIDE),
                    *(places, " ".join(self.small.values())),
                    *(str(Path(sys.prefix, "bin", "qvl-supervisor")), *self.arguments()),
                ],
                env={"PATH": os.environ["PATH"], "HOME": str(self.root), name: value},
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
                start_new_session=True,
            )
        return self.process

    def inside(self, path: Path) -> Path:
        """A path as the daemon sees it."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{path}")


@needs_root
def test_a_full_disk_costs_output_only(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path, args(sim_log_rate=4000), pool(logs={"max_size": "50MB"}))
    disk.small = {"logs": "1m"}
    with disk as daemon:
        pid = daemon.start().ready()["pid"]
        wait_until(lambda: daemon.status["supervisor"]["lost_log_bytes"] > 0, 30, "a loss that is told")
        assert_responsive(daemon, 0.5)
        assert complete(daemon.port)[0] == 200  # a blocked worker would not answer
        assert daemon.worker()["pid"] == pid
        lost = daemon.status["supervisor"]["lost_log_bytes"]
        wait_until(lambda: daemon.status["supervisor"]["lost_log_bytes"] > lost, 10, "it is counted on")
        daemon.client.act("restart", "chat-0", pool=False)
        assert daemon.ready(not_pid=pid)["restarts"] == 0


@needs_root
def test_a_full_state_directory_stops_nobody(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path)
    disk.small = {"state": "4m"}
    with disk as daemon:
        daemon.start()
        first = daemon.ready()
        filler = daemon.inside(daemon.state) / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        assert first["pid"] is not None
        assert_responsive(daemon, 0.3)
        os.kill(first["pid"], signal.SIGKILL)
        daemon.until(lambda w: w["restarts"] >= 1, "noticed")
        assert complete_or_wait(daemon, first["pid"])
        daemon.client.act("stop", "chat-0", pool=False)
        daemon.in_phase("stopped")
        filler.unlink()
        daemon.client.act("start", "chat-0", pool=False)
        pid = daemon.ready()["pid"]
        record = daemon.inside(daemon.state) / "workers" / "chat-0" / "record.json"
        wait_until(lambda: f'"pid":{pid}'.encode() in record.read_bytes(), 10, "state is on disk again")


def complete_or_wait(daemon: Daemon, old: int) -> bool:
    """Back without a disk, or waiting for one by a name that says so."""
    worker = daemon.until(
        lambda w: (w["ready"] and w["pid"] != old) or re.search("space|written", w["reason"] or ""), "back, or why not"
    )
    return bool(worker["ready"] or worker["reason"])

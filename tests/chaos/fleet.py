"""The fleet under test: eight simulated workers in two pools, and one that prints numbers.

It is the daemon of the black-box tests, with short policies, on a small disk of its own where one may be mounted.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from qvl.model.error import QvlError
from qvl.shim import proc

from tests.blackbox.harness import Daemon, Table, _claim_ports, merged
from tests.chaos.draw import CHAT, COUNTER, DRAFT, EXTRA, SIMULATED
from tests.support import wait_until

DISK_SIZE = "48m"
"""More than all logs and the state together; less than it takes long to fill."""

POLICY: Table = {
    "restart": {"backoff": "0.1s", "backoff_max": "1s", "reset_after": "1s", "max_restarts": 10_000},
    "health": {"interval": "0.2s", "deep_interval": "1s", "timeout": "1s", "failures": 3, "stall_timeout": "20s"},
    "stop": {"drain": "2s", "term": "5s"},
    "logs": {"max_size": "4KB", "keep": 150},
}

COUNTING = """
import os, sys, time
# How far it is, where the small disk can't keep it from being written.
note = os.open(os.path.join(sys.argv[1], str(os.getpid())), os.O_WRONLY | os.O_CREAT)
n = 0
while True:
    n += 1
    os.write(1, b"line %d of %d.\\n" % (n, os.getpid()))
    os.pwrite(note, b"%d" % n, 0)
    time.sleep(0.02)
"""
"""Every line is one write of less than PIPE_BUF, so that no death of this program can tear one."""


class Tree(NamedTuple):
    """What lives of one worker: its shim, its root and what the root forked."""

    shim: proc.Process
    root: proc.Process | None
    children: tuple[proc.Process, ...]


class Fleet(Daemon):
    """`disk`: where a small disk is mounted, None for none."""

    def __init__(self, root: Path, disk: Path | None) -> None:
        super().__init__(root)
        self._more_ports, more = _claim_ports()
        self.disk = disk
        if disk is not None:
            self.state, self.logs = disk / "state", disk / "logs"
        self.serving = threading.Event()
        """Whether the daemon is there, and takes signals."""
        self.counts = root / "counts"
        self.counts.mkdir()
        self.ports = {name: self.port + index for index, name in enumerate(SIMULATED)}
        self.ports |= {COUNTER: more, EXTRA: more + 1}
        numbered = [sys.executable, "-I", "-S", "-c", COUNTING, str(self.counts)]
        simulated = {"sim-load-seconds": 0.1, "sim-log-rate": 10, "sim-token-seconds": 0.02}
        self.config = {
            "supervisor": {"gpus": f"simulated:{len(SIMULATED) + 1}"},
            "engines": {
                "sim": {"kind": "simulated"},
                "counting": {"kind": "command", "command": numbered, "ready": "started"},
            },
            "profiles": {
                "standard": {"engine": "sim", "model": "Qwen/Qwen3-VL-8B-Instruct", "args": simulated},
                # What it forks away leaves its session and is deaf to SIGTERM.
                "small": {"extends": "standard", "args": {"sim-children": 1, "sim-log-rate": 0}},
                "count": {"engine": "counting"},
            },
            "pools": {
                "chat": {"profile": "standard", "gpus": [0, 1, 2, 3, 4], "port": self.ports[CHAT[0]], **POLICY},
                "draft": {"profile": "small", "gpus": [5, 6, 7], "port": self.ports[DRAFT[0]], **POLICY},
                "count": {"profile": "count", "gpus": "none", "workers": 1, "port": more, **POLICY},
            },
        }
        self.write(self.config)

    def close(self) -> None:
        """End whatever is left; ports and sockets with it."""
        self._end_what_is_left()
        for claim in (self._ports, self._more_ports):
            claim.close()
        shutil.rmtree(self._run, ignore_errors=True)

    def begin(self) -> None:
        """Start the daemon. A frozen copy of the code may be put under test by PYTHONPATH."""
        self.start(env={name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ})
        self.serving.set()

    def crash(self) -> None:
        """SIGKILL for the daemon."""
        self.serving.clear()
        self.kill()

    # ---- the daemon

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def insist(self, act: Callable[[], object], done: Callable[[], object], what: str, timeout: float = 30) -> None:
        """Ask until it is so: the daemon may be gone just now, or die before it wrote the wish down."""

        def attempt() -> object:
            with contextlib.suppress(QvlError, StopIteration):
                if done():
                    return True
                act()
            time.sleep(0.1)  # the pace of asking, not a wait for the outcome
            return False

        wait_until(attempt, timeout, what)

    def look(self) -> Mapping[str, Any] | None:
        """The status, None while nobody answers."""
        with contextlib.suppress(QvlError):
            return self.status
        return None

    def worker_or_none(self, name: str) -> Mapping[str, Any] | None:
        status = self.look()
        return next((worker for worker in status["workers"] if worker["name"] == name), None) if status else None

    def usage(self) -> tuple[int, int]:
        """Open descriptors and resident KiB of the daemon."""
        descriptors = len(os.listdir(f"/proc/{self.pid}/fd"))
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return descriptors, next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def change(self, *changes: Mapping[str, Any]) -> None:
        """As `edit`, for a configuration that goes on holding."""
        self.config = merged(self.config, *changes)
        self.write(self.config)

    # ---- its processes

    def trees(self) -> dict[str, Tree]:
        """The living trees by worker: a shim stays in its bundle, its root leads a process group."""
        found: dict[str, Tree] = {}
        table = {process.pid: process for process in _all()}
        for shim in table.values():
            name = self.worker_of_shim(shim)
            if name is None:
                continue
            children = [process for process in table.values() if process.ppid == shim.pid]
            root = next((p for p in children if p.group == p.pid and p.state not in proc.DEAD_STATES), None)
            forked = tuple(p for p in table.values() if root is not None and p.ppid == root.pid)
            found[name] = Tree(shim, root, forked)
        return found

    def zombies(self) -> list[str]:
        """Children of the daemon whose end nobody takes."""
        return [
            f"pid {process.pid} ({process.comm}) is a zombie of the daemon"
            for process in _all()
            if process.ppid == self.pid and process.state == "Z"
        ]

    def worker_of_shim(self, process: proc.Process) -> str | None:
        """Whose shim this is; None for any other process."""
        if process.comm != "qvl-shim" or process.state in proc.DEAD_STATES:
            return None
        try:
            cwd = os.readlink(f"/proc/{process.pid}/cwd")
        except OSError:
            return None
        workers = f"{self.state}/workers/"
        return cwd.removeprefix(workers).removesuffix(" (deleted)") if cwd.startswith(workers) else None

    # ---- its disk

    def mount(self) -> None:
        """Put the small disk in place. Only in a mount namespace of our own, so that it goes with us."""
        if self.disk is not None:
            self.disk.mkdir(exist_ok=True)
            size = f"size={DISK_SIZE},mode=0750"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.disk)], check=True)

    def unmount(self) -> None:
        if self.disk is not None:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=False)


def _all() -> list[proc.Process]:
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [process for process in map(proc.read, pids) if process is not None]

"""Supervisors that hold one tree each: a daemon on this machine, or a unit of a systemd in its box."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from qvl.shim import proc

from benchmarks import marks
from benchmarks.lab import PROGRAMS, START_TIMEOUT, Beacon, BenchmarkError, Lab, Running, Word, program_line, python
from benchmarks.peers import SYSTEMD, Side
from tests.systemd.box import Box, missing_prerequisite
from tests.systemd.box_init import SYSTEMD as SYSTEMD_PROGRAM

COMMAND_TIMEOUT = 90.0
KILL_MODES = {SYSTEMD: "control-group", f"{SYSTEMD}, mixed": "mixed", f"{SYSTEMD}, process": "process"}
BOX_PORT = 10240
"""The first of the box's own ports, which nobody else has."""
CHECKOUT = Path(__file__).resolve().parent.parent


class Holder(Protocol):
    """One supervisor with one worker of programs/tree.py."""

    name: str
    mark: str
    beacon: Beacon

    def wait_up(self) -> Word:
        """Wait until its first tree is complete; what the root of that has said."""

    def stop(self) -> None:
        """Ask for a stop of the worker in the supervisor's own way; returns when it says that it is stopped."""

    def pids(self) -> set[int] | None:
        """The worker's processes that the supervisor knows of, as its own pid namespace counts; None: no answer."""

    def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor, and start it again."""

    def answer(self) -> int | None:
        """What the worker answers over HTTP: the number of the root that serves."""


class Daemon:
    """On this machine."""

    def __init__(self, running: Running, mark: str) -> None:
        self.name, self.mark, self.beacon = running.side.name, mark, running.beacon
        self._running = running
        self._port = running.fleet.first_port
        self._control = running.installation.control(self._port)

    def wait_up(self) -> Word:
        self._running.wait_up()
        return self.beacon.heard()[0]

    def stop(self) -> None:
        done = _run(self._control.stop)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()
            raise BenchmarkError(f"{self.name} refused to stop: {said or done.returncode}")

    def pids(self) -> set[int] | None:
        done = _run(self._control.look)
        with contextlib.suppress(ValueError):  # a sentence on what is wrong, where JSON was to come
            if done.returncode == 0:
                return self._control.pids(done.stdout)
        return None

    def kill_supervisor(self) -> None:
        self._running.daemon.kill()
        self._running.daemon.wait()
        self._running.start()

    def answer(self) -> int | None:
        done = _run(_ask(self._port))
        return int(done.stdout) if done.returncode == 0 else None


class Unit:
    """A service of the box's systemd. Its words come from another pid namespace: their pids are the box's."""

    def __init__(self, box: Box, name: str, mark: str, beacon: Beacon, port: int) -> None:
        self.name, self.mark, self.beacon = name, mark, beacon
        self.unit = f"{mark}.service"
        self._box, self._port = box, port

    def start(self, line: tuple[str, ...], stop_seconds: int) -> None:
        unit = (
            f"[Service]\nType=exec\nExecStart={' '.join(line)}\nKillMode={KILL_MODES[self.name]}\n"
            f"TimeoutStopSec={stop_seconds}\nRestart=always\n"
        )
        try:
            self._box.put(unit, f"/etc/systemd/system/{self.unit}")
        except AssertionError as error:
            raise BenchmarkError(f"{self.name}: {error}") from None
        self._exec("systemctl", "daemon-reload")
        self._exec("systemctl", "start", self.unit)

    def wait_up(self) -> Word:
        return self.beacon.wait(bool, f"a tree of {self.name}", START_TIMEOUT)[0]

    def stop(self) -> None:
        self._exec("systemctl", "stop", self.unit)

    def pids(self) -> set[int] | None:
        return {int(self._exec("systemctl", "show", "--property=MainPID", "--value", self.unit).stdout)} - {0}

    def kill_supervisor(self) -> None:
        """As far as it goes: the kernel lets no process of its namespace kill PID 1. So it executes itself anew."""
        self._exec("kill", "-KILL", "1")
        self._exec("systemctl", "daemon-reexec")

    def answer(self) -> int | None:
        done = self._exec(*_ask(self._port), check=False)
        return int(done.stdout) if done.returncode == 0 else None

    def end(self) -> None:
        """At once, and so that nothing starts anew."""
        self._exec("systemctl", "stop", "--no-block", self.unit)
        marks.end(self.mark)

    def _exec(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        try:
            return self._box.exec(*command, check=check, timeout=COMMAND_TIMEOUT)
        except (AssertionError, subprocess.TimeoutExpired) as error:  # a box speaks in those, being a test's
            raise BenchmarkError(f"{self.name}: {error}") from None


class Systemds:
    """A box, and a way to have a unit of each mode in it."""

    def __init__(self, box: Box, pipes: Path) -> None:
        self._box = box
        self._pipes = pipes
        self._port = BOX_PORT

    @contextlib.contextmanager
    def unit(self, name: str, mark: str, lifeline: Path, stop_seconds: int) -> Iterator[Holder]:
        self._port += 1
        beacon = Beacon(self._pipes / mark)
        unit = Unit(self._box, name, mark, beacon, self._port)
        try:
            unit.start(program_line(("tree.py", mark, str(lifeline)), beacon, str(self._port)), stop_seconds)
            yield unit
        finally:
            try:
                unit.end()
            finally:
                beacon.close()


@contextlib.contextmanager
def systemds(lab: Lab, pipes: Path) -> Iterator[Systemds]:
    """A booted box that sees `pipes`; BenchmarkError, with the reason, where it can't boot."""
    if missing := missing_prerequisite():
        raise BenchmarkError(missing)
    folder = lab.home() / "box"  # not below what the box sees: it would see its own mounts
    box = Box(folder, visible=[pipes, CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)])
    try:
        with _strays_reaped():
            box.start()
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        raise BenchmarkError(str(error).strip().splitlines()[0]) from None
    try:
        yield Systemds(box, pipes)
    finally:
        with _strays_reaped():
            box.stop()


@contextlib.contextmanager
def _strays_reaped() -> Iterator[None]:
    """Meanwhile take the statuses of processes of a box that are our children.

    One that was entered into a box becomes the lab's, a subreaper's, when its nsenter is killed, as on an interrupt. A
    pid namespace ends only when each of its processes is reaped (pid_namespaces(7)): a stop would wait for ever.
    """
    over = threading.Event()

    def reap() -> None:
        while not over.wait(0.02):
            for child in proc.descendants(os.getpid()):
                if child.ppid == os.getpid() and child.state == "Z" and _is_of_a_box(child.pid):
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(child.pid, os.WNOHANG)

    thread = threading.Thread(target=reap, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _is_of_a_box(pid: int) -> bool:
    """Whether it has a pid in a namespace below ours too; then no Popen waits for it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return len(line.split()) > 2
    return False


@contextlib.contextmanager
def daemon(lab: Lab, side: Side, mark: str, lifeline: Path, stop_seconds: int, *, eager: bool) -> Iterator[Holder]:
    """A supervisor of this machine with one tree."""
    program = ("tree.py", mark, str(lifeline))
    try:
        with lab.running(side, program, eager=eager, stop_seconds=stop_seconds) as running:
            yield Daemon(running, mark)
    finally:
        marks.end(mark)  # the supervisor has ended: it starts nothing anew


def systemd_version() -> str | None:
    """Of this machine's package, which a box boots; None without one."""
    if not Path(SYSTEMD_PROGRAM).exists():
        return None
    return _run((SYSTEMD_PROGRAM, "--version")).stdout.split()[1]


def _ask(port: int) -> tuple[str, ...]:
    return (python(), "-I", "-S", str(PROGRAMS / "ask.py"), str(port))


def _run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(str(error)) from None

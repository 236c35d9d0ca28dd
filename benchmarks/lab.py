"""Runs supervisors for a measurement, and sees to it that nothing of them stays.

The lab is a subreaper: what a killed supervisor leaves behind becomes its child, so "everything below us" is all that a
measurement ever started, and nothing else is ever signalled.
"""

import contextlib
import ctypes
import os
import random
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from qvl.shim import proc

from benchmarks.peers import PORT, UNLIMITED, Fleet, Side

PROGRAMS = Path(__file__).parent / "programs"
START_TIMEOUT = 90.0
RESPAWN_TIMEOUT = 30.0
FIRST_PORT = 10240
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


class BenchmarkError(Exception):
    """A supervisor did not do what was asked of it in time. The message is a sentence."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a worker said, and when it was heard (CLOCK_MONOTONIC)."""

    at: float
    word: str
    port: int
    pid: int
    start: int | None
    number: int


class Beacon:
    """A FIFO that workers of one fleet write to. Waiting on it needs no polling, so it takes nothing from the cores."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path, 0o600)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # also for writing: no reader's end, and a way to wake it
        self._heard: list[Word] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        rest = b""
        while True:
            data = os.read(self._fd, 65536)
            now = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            with self._news:
                for line in lines:
                    if line == b"over":
                        return
                    word, port, pid, number = line.decode("ascii").split()
                    self._heard.append(Word(now, word, int(port), int(pid), proc.start_time(int(pid)), int(number)))
                self._news.notify_all()

    def heard(self, word: str = "up") -> list[Word]:
        with self._news:
            return [said for said in self._heard if said.word == word]

    def wait(self, predicate: Callable[[list[Word]], bool], what: str, timeout: float, word: str = "up") -> list[Word]:
        """Wait until what was heard satisfies `predicate`; BenchmarkError after `timeout` seconds."""

        def heard() -> list[Word]:
            return [said for said in self._heard if said.word == word]

        with self._news:
            if not self._news.wait_for(lambda: predicate(heard()), timeout):
                raise BenchmarkError(f"{what}: not within {timeout:g} s")
            return heard()

    def close(self) -> None:
        os.write(self._fd, b"over\n")
        self._thread.join()
        os.close(self._fd)


class Running:
    """One supervisor with its fleet."""

    def __init__(self, home: Path, side: Side, fleet: Fleet, beacon: Beacon) -> None:
        self.side = side
        self.fleet = fleet
        self.beacon = beacon
        self.installation = side.install(home, fleet)
        self._home = home
        self.daemon = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the daemon, for the first time or again."""
        self.started_at = time.monotonic()
        with open(self._home / "daemon.log", "ab") as output:
            self.daemon = subprocess.Popen(
                self.installation.daemon,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._home,
                start_new_session=True,
            )
        return self.daemon

    def wait_up(self) -> float:
        """Wait until every worker of the fleet has said so; when the last of them did."""
        ports = set(self.fleet.ports)
        what = f"{len(ports)} workers of {self.side.name}"
        heard = self._hear(lambda words: ports <= {w.port for w in words}, what, START_TIMEOUT)
        first = {word.port: word.at for word in reversed(heard)}
        return max(first.values())

    def successor(self, old: Word) -> Word:
        """Wait for the process that follows `old` on its port."""

        def follows(word: Word) -> bool:
            return word.port == old.port and word.at > old.at

        what = f"a new worker {old.port} of {self.side.name}"
        return next(filter(follows, self._hear(lambda words: any(map(follows, words)), what, RESPAWN_TIMEOUT)))

    def _hear(self, predicate: Callable[[list[Word]], bool], what: str, timeout: float) -> list[Word]:
        """Wait as `Beacon.wait` does, but not for a daemon that has ended."""
        until = time.monotonic() + timeout
        while True:
            try:
                return self.beacon.wait(predicate, what, min(max(until - time.monotonic(), 0.0), 1.0))
            except BenchmarkError:
                if (code := self.daemon.poll()) is not None:
                    raise BenchmarkError(f"{self.side.name} exited with {code}: {self.last_words()}") from None
                if time.monotonic() >= until:
                    raise BenchmarkError(f"{what}: not within {timeout:g} s: {self.last_words()}") from None

    def worker(self, port: int) -> Word:
        """The latest process of this port."""
        return [word for word in self.beacon.heard() if word.port == port][-1]

    def kill_worker(self, port: int) -> Word:
        """kill -9 the worker on this port; who it was."""
        word = self.worker(port)
        if word.start is None or not proc.send_signal(word.pid, word.start, signal.SIGKILL):
            raise BenchmarkError(
                f"worker {port} of {self.side.name} was gone before it was killed: {self.last_words()}"
            )
        return word

    def living(self) -> list[Word]:
        """Every process that announced itself and still lives."""
        return [w for w in self.beacon.heard() if w.start is not None and proc.is_alive(w.pid, w.start)]

    def machinery(self) -> list[int]:
        """The pids that supervise: the daemon, and whatever is below it that is no worker."""
        workers = {word.pid for word in self.beacon.heard()}
        below = proc.descendants(self.daemon.pid)
        return [self.daemon.pid, *(p.pid for p in below if p.pid not in workers and p.ppid not in workers)]

    def log_size(self, port: int) -> int:
        size = 0
        for path in self.installation.logs(port):
            with contextlib.suppress(FileNotFoundError):  # rotated between the listing and the look
                size += path.stat().st_size
        return size

    def last_words(self) -> str:
        lines = (self._home / "daemon.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    def end(self) -> None:
        """At once: the daemon first, so that it starts nothing anew, then the workers; shims end by themselves."""
        self.daemon.kill()
        self.daemon.wait()
        for word in self.living():
            assert word.start is not None
            proc.send_signal(word.pid, word.start, signal.SIGKILL)


class Lab:
    """`with Lab() as lab:` gives a scratch directory; on leaving everything below this process is ended."""

    def __init__(self, scratch: Path, *, boxes: bool = False, others: bool = False) -> None:
        self._scratch_in = scratch
        """Unix sockets lie in it, and their addresses have 107 bytes: a short path."""
        self.boxes = boxes
        """Whether a measurement may boot a systemd, which takes root."""
        self.others = others
        """Whether programs that are no supervisors take part, where they are installed."""

    def __enter__(self) -> "Lab":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), *[ctypes.c_ulong(0)] * 3) != 0:
            raise OSError(ctypes.get_errno(), "cannot become a subreaper")
        self._scratch = tempfile.TemporaryDirectory(prefix="qvl-bench-", dir=self._scratch_in)
        self.root = Path(self._scratch.name)
        self._homes = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_all()
        self._scratch.cleanup()

    def home(self) -> Path:
        self._homes += 1
        path = self.root / str(self._homes)
        path.mkdir()
        return path

    @contextlib.contextmanager
    def running(
        self,
        side: Side,
        program: tuple[str, ...],
        *,
        workers: int = 1,
        eager: bool = False,
        log_size: int | None = None,
        log_keep: int = 5,
        stop_seconds: int | None = None,
    ) -> Iterator[Running]:
        """A supervisor whose workers run `program`, a file of `programs/` that gets beacon, port and its arguments."""
        home = self.home()
        beacon = Beacon(home / "beacon")
        command = program_line(program, beacon, PORT)
        limit = UNLIMITED if log_size is None else log_size
        fleet = Fleet(command, free_ports(workers), workers, eager, limit, log_keep, stop_seconds)
        try:
            running = Running(home, side, fleet, beacon)
            try:
                yield running
            finally:
                running.end()
        finally:
            beacon.close()

    def end_all(self) -> None:
        """Kill and reap until nothing is below us."""
        until = time.monotonic() + 15
        while left := [p for p in proc.descendants(os.getpid()) if p.state not in proc.DEAD_STATES]:
            for process in left:
                proc.send_signal(process.pid, process.start, signal.SIGKILL)
            self.reap()
            if time.monotonic() > until:
                raise BenchmarkError(f"processes outlive SIGKILL: {', '.join(str(p.pid) for p in left)}")
            time.sleep(0.02)
        self.reap()

    def reap(self) -> None:
        """Take the statuses of what was left to us. Only where no Popen is waited for."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody has, nor will be given by the kernel for a connection (ip(7))."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        first = random.randrange(FIRST_PORT, max(given, FIRST_PORT + 2 * count) - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(_bound(port))
            except OSError:
                continue
            return first
    raise BenchmarkError(f"no {count} free ports in a row")


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound


def program_line(program: tuple[str, ...], beacon: Beacon, port: str) -> tuple[str, ...]:
    """The command line of a file of `programs/`, which gets beacon, port and its arguments."""
    script, *arguments = program
    interpreter = ("/bin/sh",) if script.endswith(".sh") else (python(), "-I", "-S")
    return (*interpreter, str(PROGRAMS / script), str(beacon.path), port, *arguments)


def python() -> str:
    """The interpreter below the virtual environment: workers need the standard library only."""
    return os.path.realpath("/proc/self/exe")


def answers(port: int, timeout: float = 10) -> float:
    """Ask over HTTP until the answer is 200; when it was."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                if b" 200 " in connection.recv(4096):
                    return time.monotonic()
        except OSError:
            select.select([], [], [], 0.001)
    raise BenchmarkError(f"nothing serves on port {port} within {timeout:g} s")

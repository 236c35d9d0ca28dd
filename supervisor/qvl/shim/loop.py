"""The shim at work: parent of one worker for as long as anything of that worker lives.

One loop drains the worker's output into the log, takes exit statuses, answers the control socket, and ends what a dead
root left behind. It needs no daemon for any of it, and nothing that a client, a disk or the worker does can stop it.

It refuses to decide: no restarts, no health checks, no timeouts beyond ending a tree whose root is gone. Its memory is
budgeted at 12 MiB, since a host has one shim per worker.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import signal as signals
import time

from qvl.shim import proc, wire
from qvl.shim.keeper import Keeper
from qvl.shim.logfile import FILE_MODE, LogFile
from qvl.shim.order import Order
from qvl.shim.output import Output, Stream
from qvl.shim.poll import Poller
from qvl.shim.server import RequestError, Server
from qvl.shim.spawn import spawn
from qvl.shim.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.shim.wire import Json

PIPE_SIZE = 1024 * 1024
READ_SIZE = 64 * 1024
SMALL_READ = 4096
GATHER = 0.001
"""Seconds that small pieces get to come together."""
RUNS_KEPT = 50
LOST_PERIOD = 1.0
"""Seconds between two pushes about lost output."""
FAREWELL = 1.0
"""Seconds that a client which reads slowly gets to hear the last words."""


class Shim:
    """Everything that one worker needs of its parent. The current directory is the bundle."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._poller = Poller()
        self._server = Server(self._poller, self._state, self._handle)
        self._log = LogFile(order.log_dir, order.max_size, order.keep)
        self._output = Output(self._log)
        self._streams: dict[int, Stream] = {}
        self._small = False
        self._read_at = 0.0
        self._keeper = Keeper()
        self._lost_told = 0
        self._lost_at = 0.0
        self._gone = False
        self._leave_by = 0.0
        self._runs_path = os.path.join(order.log_dir, wire.RUNS_NAME)
        self._shim_start = proc.start_time(os.getpid())
        self._tree = Tree(0)
        self._pid_start: int | None = None
        self._record: Json = {}

    def start(self, umask: int) -> Json:
        """Start the worker; return what the daemon is answered. SpawnError, RequestError and OSError as they come."""
        order = self._order
        self._server.listen()  # before anything is touched that another shim may be using
        try:
            self._log.open()
            self._watch_children()
            log_offset = self._log.end
            pid = self._spawn(umask)
        except BaseException:
            self._server.close()
            raise
        started = {"started_at": time.time(), "started_mono": time.monotonic()}
        self._tree = Tree(pid, order.cgroup)
        self._pid_start = proc.start_time(pid)
        answer: Json = {
            "shim_pid": os.getpid(),
            "shim_start": self._shim_start,
            "pid": pid,
            "pid_start": self._pid_start,
            "boot_id": proc.boot_id(),
            **started,
            "log_offset": log_offset,
            "cgroup": order.cgroup,
        }
        whose: Json = {"protocol": wire.PROTOCOL_VERSION, "worker": order.worker, "generation": order.generation}
        self._record = {**whose, "ok": True, **answer}
        self._keeper.save(wire.RECORD_NAME, wire.encode(self._record))
        self._save_run(log_offset, started["started_at"])
        return answer

    def run(self) -> None:
        """Serve until nothing of the worker is left and that is on record."""
        while not self._may_leave(time.monotonic()):
            self._poller.wait(self._patience(time.monotonic()))
            self._turn(time.monotonic())
        self._server.close()

    def abandon(self) -> None:
        """End the worker: the daemon that wanted it did not wait for the answer, and may believe that none runs. So
        there was no start: a record of one would count its end as the worker's failure."""
        self._record = {}
        self._keeper.forget(wire.RECORD_NAME)
        if os.path.lexists(wire.RECORD_NAME):
            os.unlink(wire.RECORD_NAME)
        self._tree.end(time.monotonic(), grace=0)

    def _spawn(self, umask: int) -> int:
        for stale in (wire.RECORD_NAME, wire.EXIT_NAME):
            if os.path.lexists(stale):
                os.unlink(stale)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        out, worker_out = _pipe()
        err, worker_err = _pipe()
        order = self._order
        try:
            pid = spawn(order, umask, (null, worker_out, worker_err))
        finally:
            for fd in (null, worker_out, worker_err):
                os.close(fd)
        for fd in (out, err):
            self._streams[fd] = Stream(self._output, order.secrets)
            self._poller.watch(fd, functools.partial(self._on_pipe, fd))
        return pid

    def _watch_children(self) -> None:
        """Have SIGCHLD wake the loop. Before the fork, so that no end is missed."""
        wakeup, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signals.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signals.signal(signals.SIGCHLD, lambda _signal, _frame: None)
        self._poller.watch(wakeup, functools.partial(self._on_wakeup, wakeup))

    def _on_wakeup(self, wakeup: int, _readable: bool, _writable: bool) -> None:
        os.read(wakeup, 4096)
        if self._tree.reap():
            self._save_exit()
            self._server.broadcast({"type": "exited", **(self._tree.exited or {})})
            self._tree.end(time.monotonic())

    def _patience(self, now: float) -> float | None:
        """Seconds until something is due that no descriptor announces; None: nothing is, sleep on."""
        dues = [stream.due for stream in self._streams.values()]
        dues += [
            self._tree.due,
            self._log.due,
            self._keeper.due,
            self._lost_at if self._log.lost != self._lost_told else None,
            self._leave_by if self._gone and not self._keeper.busy else None,
        ]
        return min((max(due - now, 0.0) for due in dues if due is not None), default=None)

    def _turn(self, now: float) -> None:
        """Do what is due."""
        for stream in self._streams.values():
            stream.settle(now)
        if self._tree.due is not None and now >= self._tree.due:
            self._tree.step(now)
        self._log.mend(now)
        if self._log.lost != self._lost_told and now >= self._lost_at:
            self._lost_told = self._log.lost
            self._lost_at = now + LOST_PERIOD
            self._server.broadcast({"type": "lost", "lost_bytes": self._lost_told})
        if self._tree.empty and not self._gone:
            self._finish(now)
        self._keeper.retry(now)

    def _on_pipe(self, fd: int, _readable: bool, _writable: bool) -> None:
        """A worker that writes line by line would wake us for each: where the last piece was a small one just now, more
        is let come together first. Its pipe holds a MiB meanwhile, so it does not wait for us."""
        now = time.monotonic()
        if self._small and now - self._read_at < GATHER:
            time.sleep(GATHER)
        count = self._drain(fd)
        self._small, self._read_at = count < SMALL_READ, time.monotonic()

    def _drain(self, fd: int) -> int:
        """Take one piece of what is in a pipe; how many bytes that was."""
        try:
            data = os.read(fd, READ_SIZE)
        except BlockingIOError:
            return 0
        if data:
            self._streams[fd].feed(data, time.monotonic())
        else:
            self._poller.forget(fd)
            os.close(fd)
            self._streams.pop(fd).finish()
        return len(data)

    def _finish(self, now: float) -> None:
        """The tree is empty: take what its pipes still hold, and say that it is gone."""
        for fd in list(self._streams):
            # A process that is not ours may hold the pipe and write on: no more than a full pipe is the worker's.
            rest = PIPE_SIZE
            while rest > 0 and (count := self._drain(fd)):
                rest -= count
        for fd, stream in self._streams.items():
            self._poller.forget(fd)
            os.close(fd)
            stream.finish()
        self._streams.clear()
        self._log.close()
        self._gone = True
        self._leave_by = now + FAREWELL
        self._keeper.forget(self._runs_path)  # where output begins that found no room is not worth staying for
        self._save_exit()
        if not self._keeper.busy:
            self._server.stop_listening()  # whoever hears the news may start the next shim at once
        self._server.broadcast({"type": "gone", "log_end": self._log.end, "lost_bytes": self._log.lost})

    def _may_leave(self, now: float) -> bool:
        return self._gone and not self._keeper.busy and (now >= self._leave_by or not self._server.unsent)

    def _state(self) -> Json:
        return {
            "type": "state",
            "protocol": wire.PROTOCOL_VERSION,
            "generation": self._order.generation,
            "shim_pid": os.getpid(),
            "shim_start": self._shim_start,
            "pid": self._tree.root,
            "pid_start": self._pid_start,
            "exited": self._tree.exited,
            "gone": self._gone,
            "log_end": self._log.end,
            "lost_bytes": self._log.lost,
        }

    def _handle(self, request: Json) -> Json:
        """Do what a client asks; RequestError says why it cannot be done."""
        try:
            op = wire.text(request, "op")
            if op == "signal":
                self._signal(wire.number(request, "signal"), wire.text(request, "scope"))
            elif op == "kill":
                self._tree.end(time.monotonic(), grace=0)
            elif op == "tree":
                return {"processes": self._tree.processes()}
            elif op == "state":
                return self._state()
            elif op == "record":
                return self._record
            elif op == "leave":
                self._leave()
            elif op == "logs":
                self._log.max_size = wire.number(request, "max_size", least=1)
                self._log.keep = wire.number(request, "keep")
            else:
                raise RequestError(f"this shim cannot {op}")
        except ValueError as error:
            raise RequestError(str(error)) from None
        return {}

    def _leave(self) -> None:
        """Make room for the worker's next shim, though the disk has not taken the record of this one's end."""
        if not self._gone:
            raise RequestError(f"process {self._tree.root} or something that it left still runs")
        self._keeper.drop()

    def _signal(self, sig: int, scope: str) -> None:
        if scope not in ("root", "group", "tree"):
            raise RequestError(f"a signal goes to root, group or tree, not to {scope}")
        try:
            self._tree.signal(sig, scope)
        except ProcessLookupError:
            raise RequestError(f"no process is left in the worker's {scope}") from None
        except OSError as error:  # EINVAL: no such signal
            raise RequestError(f"cannot send signal {sig}: {os.strerror(error.errno or errno.EIO).lower()}") from None

    def _save_exit(self) -> None:
        record: Json = {
            "protocol": wire.PROTOCOL_VERSION,
            "generation": self._order.generation,
            "pid": self._tree.root,
            **(self._tree.exited or {}),
            "gone": self._gone,
            "log_end": self._log.end,
            "lost_bytes": self._log.lost,
            "pids": sorted(self._tree.seen),
        }
        self._keeper.save(wire.EXIT_NAME, wire.encode(record))

    def _save_run(self, offset: int, at: float) -> None:
        """Note where this run's output begins, so that the one before can be shown alone."""
        try:
            with open(self._runs_path, "rb") as file:
                runs = file.read().splitlines(keepends=True)
        except OSError:
            runs = []
        runs.append(wire.encode({"generation": self._order.generation, "offset": offset, "at": at}))
        self._keeper.save(self._runs_path, b"".join(runs[-RUNS_KEPT:]), FILE_MODE)


def _pipe() -> tuple[int, int]:
    """A roomy pipe: what a worker writes while the disk hesitates waits there. Only our end does not block."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    try:
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        return ours, theirs  # this user's share of pipe pages is used up; the usual size does as well, pipe(7)
    return ours, theirs

"""The daemon as a child of this terminal: started, waited for, and always ended before we are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

from qvl.cli.terminal import ProgressLine
from qvl.client.sync import Client
from qvl.config.paths import Paths
from qvl.model.error import ErrorCode, QvlError

ANSWER_S = 30.0
"""Seconds that the daemon has until its socket answers."""
READY_S = 600.0
"""Seconds that workers have to get ready before the status is printed as it is."""
STOP_S = 600.0
"""Seconds that the daemon has to stop its workers: their own times to drain and to end go before."""
POLL_S = 0.02
LOG_TAIL = 15
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ended(SystemExit):
    """We were told to end. A SystemExit, since an event loop lets nothing else out that a signal handler raises."""


class Foreground:
    """A context manager: within it the daemon answers, after it the daemon is gone.

    Raises QvlError where it doesn't start. SIGTERM, SIGINT and SIGHUP become Ended, raised from wherever we are.
    """

    def __init__(self, paths: Paths, *, env: Mapping[str, str] | None = None) -> None:
        self.paths = paths
        self.client = Client(str(paths.socket))
        self.log = paths.state_dir / "daemon.log"
        self._env = {**os.environ, **(env or {})}
        self._daemon: subprocess.Popen[bytes] | None = None
        self._handlers: dict[int, object] = {}
        self._log_start = 0

    def __enter__(self) -> Foreground:
        self._refuse_second()
        self._handlers = {number: signal.signal(number, _end) for number in ENDING}
        try:
            self._start()
            self._await_answer()
        except BaseException:
            self._stop()
            self._restore()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._stop()
        finally:
            self._restore()

    def wait_ready(self) -> None:
        """Until every worker that is to be up is ready or has failed; the status tells which."""
        from qvl.cli.waiting import SETTLED, WorkerGoal
        from qvl.cli.watching import Stream

        with Stream(self.client) as stream:
            goal = WorkerGoal(SETTLED, [worker["name"] for worker in stream.first["workers"]], stream.fleet)
            try:
                stream.wait(goal, READY_S)
            except QvlError as error:
                if error.code is not ErrorCode.TIMED_OUT:
                    raise
                print(f"{error.message}; going on", file=sys.stderr)

    def serve(self, seconds: float | None) -> None:
        """Until the daemon ends, we are told to end, or the time is over."""
        daemon = self._running()
        try:
            code = daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise self._ended_early(code)

    def _refuse_second(self) -> None:
        try:
            pid = self.client.status()["supervisor"]["pid"]
        except QvlError:
            return
        message = f"a daemon with pid {pid} runs at {self.paths.socket} already"
        raise QvlError(ErrorCode.CONFLICT, message, "look at it with `qvlctl tui`, or give this one its own --socket")

    def _start(self) -> None:
        paths = self.paths
        command = [sys.executable, "-m", "qvl.daemon"]
        for option, value in (
            ("--config", paths.config),
            ("--socket", paths.socket),
            ("--state-dir", paths.state_dir),
            ("--log-dir", paths.log_dir),
        ):
            command += [option, str(value)]
        try:
            paths.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(self.log, "ab") as log:
                self._log_start = log.tell()
                # Its own session: Ctrl-C is for us, and we end it in good order.
                self._daemon = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._env,
                    start_new_session=True,
                )
        except OSError as error:
            message = f"{error.filename or paths.state_dir} can't be used: {error.strerror}"
            raise QvlError(ErrorCode.REFUSED, message, "name another directory with --state-dir") from error

    def _await_answer(self) -> None:
        deadline = time.monotonic() + ANSWER_S
        daemon = self._running()
        while True:
            code = daemon.poll()
            if code is not None:
                raise self._ended_early(code)
            try:
                self.client.status()
            except QvlError as error:
                if error.code is not ErrorCode.UNREACHABLE:
                    raise
                if time.monotonic() >= deadline:
                    message = f"the daemon did not answer within {ANSWER_S:g} s{self._tail()}"
                    raise QvlError(ErrorCode.TIMED_OUT, message, f"its log: {self.log}") from error
                time.sleep(POLL_S)
            else:
                return

    def _stop(self) -> None:
        """SIGTERM, patience, and SIGKILL at the very end. A second Ctrl-C doesn't shorten it: workers would be left."""
        daemon = self._daemon
        if daemon is None or daemon.poll() is not None:
            return
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        progress = ProgressLine()
        daemon.terminate()
        begun = time.monotonic()
        while True:
            try:
                daemon.wait(0.5)
                break
            except subprocess.TimeoutExpired:
                took = time.monotonic() - begun
                progress.show(f"stopping workers ({took:.0f}s)")
                if took > STOP_S:
                    daemon.kill()
        progress.clear()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal() gave back
        self._handlers = {}

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._daemon is not None
        return self._daemon

    def _ended_early(self, code: int) -> QvlError:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        message = f"the daemon ended with {how}{self._tail()}"
        hint = "see what is wrong with the configuration: qvlctl check" if code == 78 else f"its log: {self.log}"
        return QvlError(ErrorCode.REFUSED, message, hint)

    def _tail(self) -> str:
        """What it said last, to be put below a sentence: its errors, where it named any."""
        try:
            with open(self.log, errors="replace") as log:
                log.seek(self._log_start)
                lines = log.read().splitlines()
        except OSError:
            return ""
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return "".join(f"\n  {line}" for line in (errors or lines)[-LOG_TAIL:])


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise Ended

"""What a recording listens to: the event stream, the documents that screens show, and the logs of workers.

Each has a thread that only waits for the daemon; what they hear comes to the scribe in one order, through one bounded
queue. Where the disk is slow the threads wait, and the daemon, which waits for nobody, tells how much was lost.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import FrameDoc
    from qvl.client.sync import Client
    from qvl.recording.scribe import Scribe

WAITING = 1024
"""Pieces of news between the threads and the scribe."""
RETRY_S = 0.5
AT_EACH_START = ("/v1/whoami", "/v1/version")
"""What is asked at each connection; and once, for the charts of before: /v1/history."""
OF_THE_FILE = ("/v1/profiles", "/v1/config")
"""What an applied edit changes."""
MOVES = ("worker.phase", "worker.ready", "worker.exit", "worker.live")
"""Events after which a worker is looked at anew."""


class Clock:
    """Unix time in milliseconds that goes on evenly: a clock that is set must not tear a recording apart, and sleep of
    the machine counts."""

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def __call__(self) -> int:
        return round((self._offset + time.clock_gettime(time.CLOCK_BOOTTIME)) * 1000)


class Recorder:
    """Hands everything to `scribe`, in the thread that calls `listen`."""

    def __init__(self, client: Client, scribe: Scribe, clock: Clock, *, logs: bool) -> None:
        self._client = client
        self._scribe = scribe
        self._clock = clock
        self._logs = logs
        self._news: queue.Queue[Callable[[], None]] = queue.Queue(WAITING)
        self._wanted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._asked: set[str] = set()
        self._followed: set[str] = set()
        self._told = 0
        """The newest event of before the present connection."""
        self.connected = False
        self.reason = ""
        """Why not."""

    def start(self) -> None:
        self._spawn(self._hear)
        self._spawn(self._ask)

    def listen(self, seconds: float) -> None:
        """Take in what comes for about so long. Raises QvlError where the daemon refuses, or the disk is full."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._news.get(timeout=left)()
            except queue.Empty:
                return

    def _spawn(self, work: Callable[[], None]) -> None:
        # Whoever waits for a daemon that is stuck must not keep the program from ending.
        threading.Thread(target=work, daemon=True).start()

    # --- the event stream -----------------------------------------------------------------------------------------

    def _hear(self) -> None:
        from qvl.model.error import QvlError

        try:
            for frame in self._client.events(since=0, changes=True):
                if frame is not None:
                    self._news.put(partial(self._take, frame, self._clock()))
        except QvlError as error:
            self._news.put(partial(_fail, error))

    def _take(self, frame: FrameDoc, at: int) -> None:
        self._scribe.take({**frame}, at)
        match frame["type"]:
            case "away":
                self.connected, self.reason = False, frame["message"]
            case "snapshot":
                self._told = frame["seq"]
                self._want(*AT_EACH_START, *OF_THE_FILE, *(() if self.connected or self.reason else ("/v1/history",)))
                self._look_at(*(worker["name"] for worker in frame["status"]["workers"]))
                self.connected = True
            case "event" if frame["kind"] in ("config.applied", "config.refused"):
                self._want(*OF_THE_FILE)
            case "event" if frame["kind"] in MOVES and (worker := frame.get("worker")) and self._current(frame):
                self._look_at(worker)
        if self._logs and frame["type"] in ("snapshot", "change"):
            for worker in self._scribe.picture.logged:
                if worker not in self._followed:
                    self._followed.add(worker)
                    self._spawn(partial(self._follow, worker))

    def _current(self, event: FrameDoc) -> bool:
        """It is no event that the daemon remembered from before."""
        return event["seq"] > self._told

    # --- documents ------------------------------------------------------------------------------------------------

    def _look_at(self, *workers: str) -> None:
        from qvl.client.sync import quoted

        for worker in workers:
            self._want(f"/v1/workers/{quoted(worker)}", f"/v1/workers/{quoted(worker)}/resolved")

    def _want(self, *targets: str) -> None:
        for target in targets:
            if target not in self._asked:  # what waits to be asked will be answered as of then
                self._asked.add(target)
                self._wanted.put(target)

    def _ask(self) -> None:
        from qvl.model.error import QvlError

        while True:
            target = self._wanted.get()
            self._asked.discard(target)
            try:
                body = self._client.raw(target)
            except QvlError:
                continue  # a screen that shows it will say that it was not recorded
            self._news.put(partial(self._scribe.document, target, body, self._clock()))

    # --- logs -----------------------------------------------------------------------------------------------------

    def _follow(self, worker: str) -> None:
        """From now on, for as long as the worker has a log; after a loss of the daemon from where it ended."""
        from qvl.client.sync import quoted
        from qvl.model.error import ErrorCode, QvlError

        target = f"/v1/workers/{quoted(worker)}/log"
        place = "lines=0"
        while True:
            try:
                with self._client.open("GET", f"{target}?{place}&follow=1") as response:
                    offset = int(response.headers["x-qvl-offset"])
                    while data := response.piece(None):
                        self._news.put(partial(self._scribe.logged, worker, offset, data, self._clock()))
                        offset += len(data)
                        place = f"since={offset}"
            except QvlError as error:
                if error.code is not ErrorCode.UNREACHABLE:
                    break
            except (OSError, EOFError, ValueError):
                pass  # it broke off
            time.sleep(RETRY_S)
        time.sleep(RETRY_S)
        self._followed.discard(worker)


def _fail(error: Exception) -> None:
    raise error

"""Events: numbered, remembered on disk, told to watchers without ever waiting for one.

A watcher gets a snapshot and is registered in one step, so nothing falls between. Each has a bounded queue: a reader
that lags loses events, and how many is counted and told to it. `Change`s (figures) are merged, so a slow reader sees
only the newest.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import msgspec

from qvl.host.crashpoint import crash_point
from qvl.model.event import Change, Event, Frame, Lost, Severity, Snapshot
from qvl.model.status import Status, when

log = logging.getLogger(__name__)

REMEMBERED = 4096
QUEUE = 1024
FILE_SIZE = 2_000_000
_LEVEL = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ERROR: logging.ERROR}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Subscription:
    """One watcher's queue."""

    def __init__(self, *, changes: bool, limit: int = QUEUE) -> None:
        self.wants_changes = changes
        self._frames: deque[Event] = deque()
        self._limit = limit
        self._lost = 0
        self._change: Change | None = None
        self._wake = asyncio.Event()
        self._closed = False

    def push(self, event: Event) -> None:
        if len(self._frames) >= self._limit:
            self._frames.popleft()
            self._lost += 1
        self._frames.append(event)
        self._wake.set()

    def push_change(self, change: Change) -> None:
        self._change = change if self._change is None else merged(self._change, change)
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    async def frames(self) -> AsyncGenerator[Frame, None]:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames or self._lost:
                if self._lost:
                    lost, self._lost = self._lost, 0
                    yield Lost(lost)
                else:
                    yield self._frames.popleft()
            if self._change is not None:
                change, self._change = self._change, None
                yield change
            if self._closed:
                return


def merged(old: Change, new: Change) -> Change:
    """Both changes as one: the newer value of each thing."""
    workers = {status.name: status for status in (*old.workers, *new.workers)}
    for name in new.removed:
        workers.pop(name, None)
    return Change(
        at=new.at,
        workers=tuple(workers.values()),
        pools=old.pools if new.pools is None else new.pools,
        supervisor=new.supervisor or old.supervisor,
        gpus=old.gpus if new.gpus is None else new.gpus,
        metrics={**old.metrics, **new.metrics},
        removed=tuple(sorted({*old.removed, *new.removed} - {status.name for status in new.workers})),
    )


class Journal:
    """`file` keeps the last events over restarts of the daemon, so that numbers go on and history stays readable."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self._events: deque[Event] = deque(maxlen=REMEMBERED)
        self._watchers: set[Subscription] = set()
        self._torn = False
        """The file ends within a line, which the next one must not be joined to."""
        self.seq = 0

    def open(self) -> None:
        for path in (self._path.with_suffix(".old"), self._path):
            with contextlib.suppress(OSError):
                content = path.read_bytes()
                self._torn = bool(content) and not content.endswith(b"\n")
                for line in content.splitlines():
                    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # a line cut off by a crash
                        self._events.append(msgspec.json.decode(line, type=Event))
        self.seq = max((event.seq for event in self._events), default=0)

    def publish(
        self,
        kind: str,
        message: str,
        *,
        severity: Severity = Severity.INFO,
        worker: str | None = None,
        pool: str | None = None,
        data: dict[str, object] | None = None,
        at: float | None = None,
    ) -> Event:
        """`at`: unix time at which it happened, where that isn't just now: a slow disk comes before the telling."""
        self.seq += 1
        event = Event(
            seq=self.seq,
            at=when(time.time() if at is None else at),
            kind=kind,
            message=message,
            severity=severity,
            worker=worker,
            pool=pool,
            data=data,
        )
        self._events.append(event)
        self._append(event)
        subject = f" worker={worker}" if worker else f" pool={pool}" if pool else ""
        log.log(_LEVEL[severity], "%s kind=%s%s", message, kind, subject)
        for watcher in self._watchers:
            watcher.push(event)
        return event

    def change(self, change: Change) -> None:
        for watcher in self._watchers:
            if watcher.wants_changes:
                watcher.push_change(change)

    @property
    def watched(self) -> bool:
        """Whether anyone wants changes: figures are sampled more often then."""
        return any(watcher.wants_changes for watcher in self._watchers)

    def since(self, seq: int) -> list[Event]:
        return [event for event in self._events if event.seq > seq]

    async def subscribe(
        self, since: int | None, *, changes: bool, status: Callable[[], Status]
    ) -> AsyncIterator[Frame]:
        subscription = Subscription(changes=changes)
        self._watchers.add(subscription)
        try:
            snapshot = Snapshot(self.seq, when(time.time()), status())
            backlog = [] if since is None else self.since(since)
            missed = 0
            if since is not None and since < self.seq:
                oldest = backlog[0].seq if backlog else self.seq + 1
                missed = max(0, oldest - since - 1)
            yield snapshot
            if missed:
                yield Lost(missed)
            for event in backlog:
                yield event
            async for frame in subscription.frames():
                yield frame
        finally:
            self._watchers.discard(subscription)

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        for watcher in self._watchers:
            watcher.close()

    def _append(self, event: Event) -> None:
        # A full disk costs history on disk, never the event itself.
        line = (b"\n" if self._torn else b"") + msgspec.json.encode(event) + b"\n"
        self._torn = True
        crash_point(f"at event {event.kind}")
        with contextlib.suppress(OSError):
            with open(self._path, "ab", opener=_private) as file:
                file.write(line)
                size = file.tell()
            self._torn = False
            if size > FILE_SIZE:
                self._path.replace(self._path.with_suffix(".old"))

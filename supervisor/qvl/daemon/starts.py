"""Keeps the starts of workers: the one under way in memory and in its worker's bundle, and what the last good one of
each profile took. What a start says of the engine's capacity is read from the log once it is over, or when asked for.
"""

import time
from pathlib import Path

import msgspec

from qvl.core import starts
from qvl.core.engine_capacity import Reader
from qvl.core.landmarks import Sighting, read_line
from qvl.core.starts import Start
from qvl.daemon.store import Store
from qvl.daemon.worker import Worker
from qvl.model.detail import EngineCapacity
from qvl.model.spec import WorkerSpec
from qvl.model.worker import Phase, Process, Progress
from qvl.shim import logread

MOST = 4 * 1024 * 1024
"""Bytes of a start's log that are looked through for its capacity; a usual one has 30 KiB."""
BLOCK = 256 * 1024


class Starts:
    """`remembered` holds the seconds of each step of the last good start, by profile."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.remembered: dict[str, dict[str, float]] = store.load_startups()

    def begin(self, worker: Worker, spec: WorkerSpec, generation: int, process: Process) -> None:
        """A process was started for `spec` just now."""
        expected = self.remembered.get(spec.profile)
        self._keep(worker, starts.begun(process, generation, spec.profile, expected))

    def adopt(self, worker: Worker) -> None:
        """Take over what an earlier daemon has left of a worker."""
        record = worker.record
        starting = record.phase is Phase.STARTING and record.process is not None
        kept = self._store.load_start(worker.name)
        if kept is not None and kept.generation == record.generation:
            worker.start = starts.taken_over(kept, starting=starting, served=record.served)
        elif record.process is not None:
            profile = record.profile or worker.spec.profile
            worker.start = starts.found(
                record.process, record.generation, profile, starting=starting, served=record.served
            )
        else:
            worker.start = kept

    def see(self, worker: Worker, sighting: Sighting | None) -> Progress | None:
        """Take in what the log says; how far the start is, None where none is under way."""
        start = worker.start
        if start is None or start.over:
            return None
        moved, progress = starts.seen(start, sighting, self.remembered.get(worker.spec.profile), time.monotonic())
        worker.start = moved
        if moved.track.step != start.track.step:
            self._keep(worker, moved)
        return progress

    def ready(self, worker: Worker) -> None:
        """The start is over and was a good one: the next is measured by it."""
        start = worker.start
        if start is None or start.over:
            return
        start = starts.ended(start, time.monotonic(), ready=True)
        self._keep(worker, start)
        if start.watched and self.remembered.get(start.profile) != start.track.took:
            self.remembered[start.profile] = start.track.took
            self._store.save_startups(self.remembered)

    def ended(self, worker: Worker) -> None:
        """Its process is over; one that never got ready ends its start with that."""
        start, end = worker.start, worker.record.last_exit
        if start is not None and not start.over:
            # The end may be one that happened while no daemon was there to see it.
            now = time.monotonic() if end is None else start.track.began + max(0.0, end.at - start.at)
            self._keep(worker, starts.ended(start, now, ready=False))

    def told(self, worker: Worker, generation: int, capacity: EngineCapacity | None) -> None:
        """Keep what was read of a start that is over: its log may be rotated away one day."""
        start = worker.start
        if start is not None and start.over and start.generation == generation and start.capacity != capacity:
            self._keep(worker, msgspec.structs.replace(start, capacity=capacity))

    def _keep(self, worker: Worker, start: Start) -> None:
        worker.start = start
        self._store.save_start(worker.name, start)


def capacity_of(log_dir: Path, offset: int) -> EngineCapacity | None:
    """What the engine of the run from `offset` on has said of its capacity, as far as its log is there. Reads files:
    call it in a thread."""
    reader, rest, end = Reader(), b"", offset + MOST
    try:
        while offset < end:
            first, data = logread.read_at(log_dir, offset, BLOCK)
            if not data:
                break
            *lines, rest = ((rest if first == offset else b"") + data).replace(b"\r", b"\n").split(b"\n")
            offset, rest = first + len(data), rest[-4096:]
            for line in lines:
                text = line[:2000].decode(errors="replace")
                reader.feed(text)
                if _READY in line and (seen := read_line(text)) is not None and seen.ready:
                    return reader.capacity()
    except OSError:  # it can't be read: then what was read counts
        pass
    return reader.capacity()


_READY = b"fired up"
"""What the line has that says the start is over, so that not every line is asked."""

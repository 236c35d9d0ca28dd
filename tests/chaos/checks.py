"""What is checked once all is well: events, logs, starts, requests, and what the daemon said of itself."""

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Collection, Sequence
from typing import Any

from tests.chaos import invariants
from tests.chaos.draw import COUNTER, EXTRA, SIMULATED
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.invariants import History, Span
from tests.chaos.ledger import Book, chatter_faults, count_faults, pid_of
from tests.chaos.load import Load
from tests.chaos.watch import Watch

Breach = tuple[int, str]
"""The number of an invariant, and a sentence."""

EXPECTED = (*SIMULATED, COUNTER)


class Checks:
    """Remembers from round to round how far it has read."""

    def __init__(self, fleet: Fleet, load: Load, watch: Watch) -> None:
        self.checked: Counter[int] = Counter()
        self._fleet = fleet
        self._load = load
        self._watch = watch
        self._history = History()
        self._books = {name: Book(fleet.logs / name) for name in (*EXPECTED, EXTRA)}
        self._spans: deque[Span] = deque(maxlen=20)
        self._cut: set[int] = set()
        self._said: set[Breach] = set()
        self._tmpdirs: set[str] = set()
        self._read = 0

    def after(self, faults: Sequence[Fault], begun: float, victims: Collection[str]) -> list[Breach]:
        """Of a round that began at `begun` (monotonic seconds) and hit `victims`."""
        died = any(fault.kills_daemon for fault in faults)
        full = any(fault.may_fail and fault.left_out is None for fault in faults)
        found: list[Breach] = []
        found += [(5, sentence) for sentence in self._events(died=died, full=full)]
        found += [(5, s) for s in invariants.misfits(self._history.take_ends(), allowed(faults, died=died, full=full))]
        found += [(3, sentence) for sentence in self._watch.take_seen()]
        for fault in faults:
            self._cut |= fault.cut
        found += self.books(full=full)
        found += [(3, sentence) for sentence in self._starts(died=died, full=full)]
        self._spans.append(Span(begun, time.monotonic(), victims))
        found += [(7, sentence) for sentence in invariants.unfair(self._load.take_failed(), list(self._spans))]
        found += [(8, sentence) for sentence in self._tracebacks()]
        found += [(2, sentence) for sentence in self._leftovers()]
        self.checked.update((3, 4, 5, 5, 7, 8))
        return found

    def _events(self, *, died: bool, full: bool) -> list[str]:
        if died and full:
            # What could not be written down died with the daemon: history goes on from what is.
            status = self._fleet.status
            seq = max((event["seq"] for event in self._fleet.events()), default=0)
            self._history.resume(seq, {worker["name"]: worker["phase"] for worker in status["workers"]})
            return []
        return self._history.take(self._fleet.events(self._history.seq), daemon_died=died)

    def _starts(self, *, died: bool, full: bool) -> list[str]:
        runs = {name: len(book.begins) for name, book in self._books.items() if book.begins}
        complaints = (
            [] if full else invariants.spawns(self._history.starts, runs, self._history.never_started, unsure=died)
        )
        # Each round is judged by itself: what was excused once is not told again.
        self._history.starts, self._history.never_started = Counter(runs), Counter()
        return complaints

    def books(self, *, full: bool = False, ended: bool = False) -> list[Breach]:
        """What doesn't add up in the logs and wasn't told yet. `full`: the disk was, in this round; `ended`: every run
        is over."""
        found: list[str] = []
        for name, book in self._books.items():
            book.read_on()
            if book.rotated_away:
                found.append(f"{name}: its log was rotated away before it was read")
                book.rotated_away = False
            for run in book.runs(ended=ended):
                if name == COUNTER:
                    pid = pid_of(run.data)
                    if full and pid is not None and run.over:
                        self._cut.add(pid)  # there was no room to say what of its end was lost
                    faults = count_faults(run.data, cut=pid in self._cut, noted=self._noted(pid) if run.over else None)
                else:
                    faults = chatter_faults(run.data)
                found += [f"{name}, run {run.generation}: {fault}" for fault in faults]
        fresh = [(4, sentence) for sentence in found if (4, sentence) not in self._said]
        self._said.update(fresh)
        return fresh

    def _noted(self, pid: int | None) -> int | None:
        if pid is None:
            return None
        return int((self._fleet.counts / str(pid)).read_bytes() or b"0")

    def _leftovers(self) -> list[str]:
        """Private directories of runs that are over."""
        present = {process["tmpdir"] for name in EXPECTED if (process := self._process(name)) is not None}
        gone, self._tmpdirs = self._tmpdirs - present, present
        return [f"{path} of a run that is over is still there" for path in gone if os.path.exists(path)]

    def _tracebacks(self) -> list[str]:
        said = self._fleet.said()
        new, self._read = said[self._read :], len(said)
        return [
            f"the daemon's log: …{new[max(0, at - 300) : at + 1500]}"
            for word in ("Traceback", "never retrieved")
            if (at := new.find(word)) >= 0
        ]

    def told_losses(self) -> int | None:
        """Bytes that the logs say are missing, in the runs that are under way; None where the state on disk lags
        behind, as it does for a moment after a full disk."""
        told = 0
        for name in EXPECTED:
            self._books[name].read_on()
            process = self._process(name)
            if process is None:
                return None
            told += self._books[name].lost_since(process["log_offset"])
        return told

    def _process(self, name: str) -> Any:
        """What the state on disk says of a worker's process; None for none."""
        with contextlib.suppress(OSError, ValueError):
            return self._fleet.record(name)["process"]
        return None


def allowed(faults: Sequence[Fault], *, died: bool, full: bool) -> dict[str, set[str]]:
    """Why each worker may end in a round with these faults."""
    causes: dict[str, set[str]] = {}
    for fault in faults:
        for name in fault.victims:
            causes.setdefault(name, set()).update(fault.causes)
    for some in causes.values():
        if died:  # a shim whose answer nobody took ends its worker
            some |= {"killed", "unknown"}
        if full:  # a start needs room, and without it nobody can read why one ended
            some |= {"disk-full", "killed", "unknown", "environment"}
    return causes

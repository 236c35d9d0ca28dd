"""What must hold, as functions of what was seen: each returns a sentence for every breach, and none where all is well.

They touch no process and no file, so that a test can show them a breach and see it found.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from tests.chaos.load import Failed

INVARIANTS = {
    1: "what is wanted up is ready, or its status says why not",
    2: "no stray process",
    3: "no double start",
    4: "no log byte lost or doubled",
    5: "the events explain every transition",
    6: "descriptors and memory of the daemon are flat",
    7: "no request fails but on a worker that was hit",
    8: "the daemon neither ends by itself nor logs a traceback",
}

HAS_PROCESS = frozenset({"starting", "running", "draining", "stopping", "parked"})

DESCRIPTORS = 24
"""More than at the first look: connections to workers that are kept open for a moment, one or two for each."""
MEMORY = 40 * 1024
"""KiB more than at the first look. Measured: 13 MiB for the 4096 events that are remembered, 8 for 32 plans, 10 for
what many reloads need at once."""

Wanted = Mapping[str, Collection[str]]
"""By worker, why it may end."""


# ---- 1: up, or why not


def unready(workers: Sequence[Mapping[str, Any]], expected: Collection[str]) -> list[str]:
    """Who isn't up; `workers` are those of a status."""
    names = [worker["name"] for worker in workers]
    complaints = [f"{name} is missing from the status" for name in expected if name not in names]
    complaints += [f"{name} is in the status, and nobody configured it" for name in names if name not in expected]
    for worker in workers:
        if worker["wanted"] != "up" or not worker["ready"]:
            why = f": {worker['reason']}" if worker["reason"] else ""
            complaints.append(f"{worker['name']} is wanted {worker['wanted']} and {worker['phase']}{why}")
    return complaints


def unexplained(workers: Sequence[Mapping[str, Any]], waiting: Mapping[str, float]) -> list[str]:
    """Who waits without a reason. `waiting`: for how many seconds each was seen to wait without one."""
    return [
        f"{worker['name']} is {worker['phase']} for {waiting[worker['name']]:.0f} s and gives no reason"
        for worker in workers
        if worker["wanted"] == "up" and not worker["reason"] and waiting.get(worker["name"], 0) > _REASON_DUE
        if worker["phase"] in ("releasing", "backoff", "failed", "stopped")
    ]


_REASON_DUE = 10.0


# ---- 2 and 3: processes


class Seen(NamedTuple):
    """A process of the run. `shim_of`: the worker whose shim it is."""

    pid: int
    ppid: int
    name: str
    shim_of: str | None


def strays(processes: Sequence[Seen], daemon: int | None, roots: Mapping[str, int | None]) -> list[str]:
    """Processes that are neither the daemon, nor a shim, nor below the shim of a worker that is listed. `roots`: the
    pid that the status gives for each worker."""
    by_pid = {process.pid: process for process in processes}
    complaints = []
    for process in processes:
        above: Seen | None = process
        while above is not None and above.shim_of is None and above.pid != daemon:
            above = by_pid.get(above.ppid)
        if above is None:
            complaints.append(f"pid {process.pid} ({process.name}) belongs to nobody, its parent is {process.ppid}")
        elif above.shim_of is not None and above.shim_of not in roots:
            complaints.append(f"pid {process.pid} ({process.name}) is of {above.shim_of}, which is not in the status")
    shims = Counter(process.shim_of for process in processes if process.shim_of is not None)
    complaints += [f"{name} has {count} shims" for name, count in shims.items() if count > 1]
    for name, root in roots.items():
        parent = by_pid[root].ppid if root in by_pid else None
        if root is not None and (parent is None or parent not in by_pid or by_pid[parent].shim_of != name):
            complaints.append(f"{name} has pid {root} in the status, which is no child of its shim")
    return complaints


# ---- 5: events


class History:
    """Takes events in, in their order, and says what of them is not explained."""

    def __init__(self) -> None:
        self.seq = 0
        self.phases: dict[str, str] = {}
        self.starts: Counter[str] = Counter()
        self.ends: list[tuple[str, str]] = []
        """Worker and cause of each end since they were taken last."""
        self.never_started: Counter[str] = Counter()
        self._ended: set[str] = set()

    def take(self, events: Sequence[Mapping[str, Any]], *, daemon_died: bool) -> list[str]:
        """`daemon_died`: it was killed meanwhile. A start that it had decided on and not begun has no end then."""
        complaints = []
        for event in events:
            if event["type"] != "event":
                complaints.append(f"the stream has a frame {event}")
                continue
            if event["seq"] != self.seq + 1:
                complaints.append(f"event {event['seq']} follows {self.seq}")
            self.seq = event["seq"]
            name, data = event.get("worker"), event.get("data") or {}
            if name is None:
                continue
            if event["kind"] == "worker.exit":
                self._ended.add(name)
                if data.get("code") is None and data.get("signal") is None and "never started" in event["message"]:
                    self.never_started[name] += 1
                self.ends.append((name, data["cause"]))
            elif event["kind"] == "worker.phase":
                complaints += self._move(name, data["from"], data["to"], event["seq"], daemon_died)
        return complaints

    def take_ends(self) -> list[tuple[str, str]]:
        ends, self.ends = self.ends, []
        return ends

    def resume(self, seq: int, phases: Mapping[str, str]) -> None:
        """Go on from here: what came before could not be written down."""
        self.seq, self.phases = seq, dict(phases)
        self._ended.clear()

    def _move(self, name: str, old: str, new: str, seq: int, daemon_died: bool) -> list[str]:
        complaints = []
        known = self.phases.get(name, "stopped")
        if old != known:
            complaints.append(f"event {seq}: {name} goes from {old} to {new}, but it was {known}")
        if old in HAS_PROCESS and new not in HAS_PROCESS and name not in self._ended and not daemon_died:
            complaints.append(f"event {seq}: {name} goes from {old} to {new} without a worker.exit")
        if new == "starting":
            self.starts[name] += 1
            self._ended.discard(name)
        self.phases[name] = new
        return complaints


def misfits(ends: Sequence[tuple[str, str]], allowed: Wanted) -> list[str]:
    """Ends that no fault explains."""
    return [
        f"{name} ended by {cause}; "
        + (f"{sorted(allowed[name])} would fit" if name in allowed else "nobody touched it")
        for name, cause in ends
        if cause not in allowed.get(name, ())
    ]


def spawns(
    starts: Mapping[str, int], runs: Mapping[str, int], never_started: Mapping[str, int], *, unsure: bool
) -> list[str]:
    """Starts that the events tell, against runs that the logs list, both as many as there ever were. `unsure`: a start
    may have been cut off before its run began."""
    complaints = []
    for name in sorted({*starts, *runs}):
        told, run, never = starts.get(name, 0), runs.get(name, 0), never_started.get(name, 0)
        if run > told or (run < told - never and not unsure):
            complaints.append(f"{name}: the events tell of {told} starts ({never} came to nothing), its log of {run}")
    return complaints


# ---- 6: what the daemon takes


def growth(first: tuple[int, int], now: tuple[int, int]) -> list[str]:
    """Descriptors and KiB, at the first look and now."""
    complaints = []
    if now[0] > first[0] + DESCRIPTORS:
        complaints.append(f"the daemon has {now[0]} descriptors open, {first[0]} at first")
    if now[1] > first[1] + MEMORY:
        complaints.append(f"the daemon has {now[1]} KiB resident, {first[1]} at first")
    return complaints


# ---- 7: requests


class Span(NamedTuple):
    """A round's time, monotonic seconds, and whom it hit."""

    begun: float
    ended: float
    victims: Collection[str]


def unfair(failed: Sequence[Failed], spans: Sequence[Span]) -> list[str]:
    """Requests that failed though no round that they met had hit their worker."""
    return [
        f"a request to {one.worker} failed after {one.ended - one.begun:.1f} s: {one.why}"
        for one in failed
        if not any(s.begun <= one.ended and one.begun <= s.ended and one.worker in s.victims for s in spans)
    ]

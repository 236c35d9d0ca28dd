"""Is it done yet? Decided from the frames of the event stream alone. Pure: no clock, no socket.

What a worker was before the act is kept, so that a restart isn't taken for done because the old process still answers,
nor a start for failed because the worker had failed before: only what differs from then is an answer.
"""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import FrameDoc, PoolDoc, StatusDoc, WorkerDoc

READY = "ready"
STOPPED = "stopped"
RESTARTED = "restarted"
SETTLED = "settled"
"""Goals. `restarted` is `ready` with another process than before; `settled` is ready, failed, or not wanted."""

WAITING = "waiting"
DONE = "done"
FAILED = "failed"

OUTCOMES = {"done": DONE, "rolled-back": FAILED, "failed": FAILED, "cancelled": FAILED}
"""The `outcome` in the data of the event that ends a transaction -> what that means to who waits."""


class Fleet:
    """Workers and pools as the frames tell them."""

    def __init__(self, doc: StatusDoc) -> None:
        self.workers: dict[str, WorkerDoc] = {}
        self.pools: dict[str, PoolDoc] = {}
        self.gpus = doc["gpus"]
        self.supervisor = doc["supervisor"]
        self._take(doc)

    def see(self, frame: FrameDoc) -> None:
        if frame["type"] == "snapshot":
            self._take(frame["status"])
        elif frame["type"] == "change":
            for worker in frame.get("workers") or ():
                self.workers[worker["name"]] = worker
            for name in frame.get("removed") or ():
                self.workers.pop(name, None)
            for name, metrics in (frame.get("metrics") or {}).items():
                if name in self.workers:
                    self.workers[name] = {**self.workers[name], "metrics": metrics}
            pools = frame.get("pools")
            if pools is not None:
                self.pools = {pool["name"]: pool for pool in pools}
            self.supervisor = frame.get("supervisor") or self.supervisor
            gpus = frame.get("gpus")
            self.gpus = self.gpus if gpus is None else gpus

    def find(self, name: str) -> WorkerDoc | None:
        """A worker, or a pool's gateway."""
        if name in self.workers:
            return self.workers[name]
        fronts = (pool.get("gateway") for pool in self.pools.values())
        return next((front for front in fronts if front and front["name"] == name), None)

    def document(self) -> StatusDoc:
        """As `GET /v1/status` would have it."""
        workers = list(self.workers.values())
        pools = list(self.pools.values())
        return {"version": 1, "supervisor": self.supervisor, "pools": pools, "workers": workers, "gpus": self.gpus}

    def _take(self, doc: StatusDoc) -> None:
        self.workers = {worker["name"]: worker for worker in doc["workers"]}
        self.pools = {pool["name"]: pool for pool in doc["pools"]}
        self.gpus = doc["gpus"]
        self.supervisor = doc["supervisor"]


class Verdict:
    """`state` is one of WAITING, DONE, FAILED; the sentence and the hint are for a failure."""

    __slots__ = ("hint", "message", "state", "worker")

    def __init__(self, state: str, message: str = "", hint: str | None = None, worker: WorkerDoc | None = None) -> None:
        self.state = state
        self.message = message
        self.hint = hint
        self.worker = worker


class WorkerGoal:
    """A goal for some workers.

    `after`: the number of the last event before our act; None where we only look on. `seen`: the newest event that
    `fleet` knows of. What the stream tells before an event later than `after` was so before the act, and is no answer
    to it: a change may come after the event that told of it first.
    """

    def __init__(
        self, goal: str, names: Iterable[str], fleet: Fleet, *, after: int | None = None, seen: int = 0
    ) -> None:
        self.goal = goal
        self.names = tuple(names)
        self.fleet = fleet
        self._after = after
        self._acted = after is not None
        self._begun = after is None or seen > after
        self._before: dict[str, tuple[object, ...]] = {}
        self._ended: dict[str, str] = {}
        """By pool: why a restart that goes one by one has ended before it came to all."""
        self._remember()

    def see(self, frame: FrameDoc) -> None:
        self.fleet.see(frame)
        if not self._begun:
            self._remember()
            self._begun = frame.get("seq", -1) > (self._after or 0)
        if frame["type"] == "event" and frame["kind"] == "restart" and frame["seq"] > (self._after or 0):
            pool = frame.get("pool")
            if pool is not None and (frame.get("data") or {}).get("outcome") == "failed":
                self._ended[pool] = frame["message"]

    def _remember(self) -> None:
        self._before = {name: _mark(self.fleet.find(name)) for name in self.names}

    def verdict(self) -> Verdict:
        waiting = False
        for name in self.names:
            worker = self.fleet.find(name)
            verdict = self._one(name, worker)
            if verdict.state == FAILED:
                return verdict
            waiting = waiting or verdict.state == WAITING
        return Verdict(WAITING if waiting else DONE)

    def behind(self) -> list[str]:
        """The workers that are not yet where they are to be."""
        return [name for name in self.names if self._one(name, self.fleet.find(name)).state != DONE]

    def _one(self, name: str, worker: WorkerDoc | None) -> Verdict:
        if worker is None:
            if self.goal in (STOPPED, SETTLED):
                return Verdict(DONE)
            return Verdict(FAILED, f"{name} is no longer in the configuration", "see what is: qvlctl status")
        fresh = _mark(worker) != self._before[name]
        if self.goal == STOPPED:
            return self._stopped(worker, fresh=fresh)
        if self.goal == SETTLED:
            settled = worker["ready"] or worker["phase"] == "failed" or worker["wanted"] == "down"
            return Verdict(DONE if settled else WAITING)
        if worker["ready"] and (fresh or self.goal == READY):
            return Verdict(DONE)
        if not fresh and self._acted:
            if self.goal == RESTARTED and (why := self._ended.get(worker["pool"])) is not None:
                return Verdict(FAILED, why, "see what happened: qvlctl events", worker)
            return Verdict(WAITING)
        if worker["phase"] == "failed":
            return Verdict(FAILED, failure(worker), advice(worker), worker)
        if self._acted and worker["wanted"] == "down":
            return Verdict(FAILED, f"{name} was stopped by somebody else meanwhile", "see who: qvlctl events", worker)
        return Verdict(WAITING)

    def _stopped(self, worker: WorkerDoc, *, fresh: bool) -> Verdict:
        if worker["wanted"] == "down" and worker["phase"] in ("stopped", "failed"):
            return Verdict(DONE)
        if not self._acted and worker["phase"] == "stopped":
            return Verdict(DONE)
        if self._acted and fresh and worker["wanted"] == "up" and worker["phase"] in ("starting", "running"):
            message = f"{worker['name']} was started by somebody else meanwhile"
            return Verdict(FAILED, message, "see who: qvlctl events", worker)
        return Verdict(WAITING)


class TransactionGoal:
    """A transaction: the event that says how it ended, or, where that was missed, what the pools look like after it."""

    def __init__(
        self,
        kind: str,
        fleet: Fleet,
        *,
        seq: int,
        pool: str | None = None,
        profile: str | None = None,
        revision: str | None = None,
    ) -> None:
        """`kind`: `switch` or `apply`. `seq`: that the act was taken in under; older events are of earlier ones.
        `pool`: None for all of them. `profile` or `revision`: where it is to arrive; with neither, where it ends."""
        self.kind = kind
        self.fleet = fleet
        self.pool = pool
        self.profile = profile
        self.revision = revision
        self._seq = seq
        self._ended: Verdict | None = None
        self._before = self._looks()
        self._begun = self.under_way() != []

    def see(self, frame: FrameDoc) -> None:
        self.fleet.see(frame)
        self._begun = self._begun or self.under_way() != []
        if frame["type"] == "event" and frame["seq"] > self._seq and frame["kind"] == self.kind:
            outcome = (frame.get("data") or {}).get("outcome")
            if isinstance(outcome, str) and self.pool in (None, frame.get("pool")):
                state = OUTCOMES.get(outcome, FAILED)
                hint = None if state == DONE else "see what happened: qvlctl events"
                self._ended = Verdict(state, frame["message"], hint)

    def verdict(self) -> Verdict:
        if self._ended is not None:
            return self._ended
        if self.under_way() or not (self._begun or self._looks() != self._before):
            return Verdict(WAITING)
        return self._by_looks()

    def under_way(self) -> list[PoolDoc]:
        """The pools concerned that a transaction is working on."""
        return [pool for pool in self._pools() if pool["switch"]]

    def _by_looks(self) -> Verdict:
        """Where no event told it: a lagging reader misses some, and so does one that had to connect anew."""
        config = self.fleet.supervisor["config"]
        hint = "see what happened: qvlctl events"
        if self.revision is not None and config["applied"] != self.revision:
            return Verdict(FAILED, config["error"] or "the edit was not applied", hint)
        if self.profile is not None:
            for pool in self._pools():
                if pool["profile"] != self.profile:
                    return Verdict(FAILED, f"{pool['name']} runs {pool['profile']} again, not {self.profile}", hint)
        return Verdict(DONE)

    def _pools(self) -> list[PoolDoc]:
        return [pool for name, pool in self.fleet.pools.items() if self.pool in (None, name)]

    def _looks(self) -> tuple[object, ...]:
        """What a transaction that goes through changes."""
        applied = self.fleet.supervisor["config"]["applied"] if self.revision is not None else None
        return (applied, *((pool["profile"], pool["override"]) for pool in self._pools() if self.pool is not None))


def failure(worker: WorkerDoc) -> str:
    """One sentence on a worker that has been given up."""
    last = worker["last_exit"]
    why = worker["reason"] or (f"it ended with {last['cause']}" if last else "no reason is known")
    return f"{worker['name']} failed: {why}"


def advice(worker: WorkerDoc) -> str:
    last = worker["last_exit"]
    return worker.get("hint") or (last["hint"] if last else None) or f"see what it wrote: qvlctl logs {worker['name']}"


def _mark(worker: WorkerDoc | None) -> tuple[object, ...]:
    """What differs once an act has had any effect."""
    return () if worker is None else (worker["phase"], worker["since"], worker["pid"])


Goal = WorkerGoal | TransactionGoal

"""What the daemon told so far, as plain documents: fields that this version doesn't know stay in it."""

from collections import deque
from typing import Any

from qvl.recording.records import RECENT

Doc = dict[str, Any]

_STATE = ("workers", "pools", "supervisor", "removed")
"""Of a Change: what is news; the rest are figures."""


class Picture:
    def __init__(self) -> None:
        self.status: Doc | None = None
        self.at = ""
        """The daemon's clock in the newest frame."""
        self.seq = 0
        self.events: deque[Doc] = deque(maxlen=RECENT)
        self.lost = 0
        self._workers: dict[str, Doc] = {}

    def take(self, frame: Doc) -> None:
        self.at = frame.get("at", self.at)
        match frame["type"]:
            case "snapshot":
                self._begin(frame)
            case "event":
                self.seq = max(self.seq, frame["seq"])
                self.events.append(frame)
            case "change" if self.status is not None:
                self._change(self.status, frame)
            case "heartbeat":
                self.seq = max(self.seq, frame["seq"])
            case "lost":
                self.lost += frame["lost"]

    def _begin(self, frame: Doc) -> None:
        if frame["seq"] < self.seq:
            self.events.clear()  # the numbering began anew: what was remembered is of another daemon's life
        self.seq = frame["seq"]
        self.status = {**frame["status"]}
        self._workers = {worker["name"]: worker for worker in frame["status"]["workers"]}

    def _change(self, status: Doc, change: Doc) -> None:
        self._workers |= {worker["name"]: worker for worker in change.get("workers", ())}
        for name in change.get("removed", ()):
            self._workers.pop(name, None)
        for name, figures in change.get("metrics", {}).items():
            if name in self._workers:
                self._workers[name] = {**self._workers[name], "metrics": figures}
        for name in ("pools", "supervisor", "gpus"):
            if change.get(name) is not None:
                status[name] = change[name]

    def snapshot(self) -> Doc | None:
        """A Snapshot frame of now; None before the first."""
        if self.status is None:
            return None
        status = {**self.status, "workers": self.workers}
        return {"type": "snapshot", "seq": self.seq, "at": self.at, "status": status}

    @property
    def workers(self) -> list[Doc]:
        return list(self._workers.values())

    @property
    def logged(self) -> list[str]:
        """Everything that has a log: workers and gateways."""
        pools = self.status["pools"] if self.status is not None else ()
        return [*self._workers, *(pool["gateway"]["name"] for pool in pools if pool.get("gateway"))]


def is_news(change: Doc) -> bool:
    return any(change.get(name) for name in _STATE)


def merged(old: Doc, new: Doc) -> Doc:
    """Both changes of figures as one: the newer value of each thing."""
    return {**old, **new, "metrics": {**old.get("metrics", {}), **new.get("metrics", {})}}

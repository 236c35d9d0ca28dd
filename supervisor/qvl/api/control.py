"""What the API needs of the daemon: one Protocol, so that routes can't reach for anything else."""

from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from qvl.model.api import Accepted, History, ProfileDetail, ProfileInfo, Resolved, VersionInfo
from qvl.model.config import ConfigView
from qvl.model.detail import WorkerDetail
from qvl.model.event import Event, Frame
from qvl.model.plan import Plan
from qvl.model.status import Status


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"


class Actor(msgspec.Struct, frozen=True):
    """Who asks, by the kernel's word (SO_PEERCRED, SO_PEERGROUPS)."""

    uid: int
    gid: int
    pid: int
    role: Role
    command: str = ""
    user: str = ""


class Verb(StrEnum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"


class LogSource(msgspec.Struct, frozen=True):
    """Where a worker's log lies."""

    directory: Path
    runs: Callable[[], tuple[tuple[int, int], ...]]
    """(generation, first offset in absolute bytes), oldest first. Reads a file: call it in a thread."""


class Control(Protocol):
    """All methods raise QvlError where a request is refused."""

    def status(self) -> Status: ...

    def events(self, since: int) -> list[Event]:
        """The remembered events after `since`, oldest first."""
        ...

    def subscribe(self, since: int | None, *, changes: bool) -> AsyncIterator[Frame]:
        """A Snapshot, the events after `since` (none for None), then what happens. Snapshot and registration are one
        step: nothing falls between. A reader that lags gets Lost instead of events. Close with `aclose()`."""
        ...

    async def act(self, verb: Verb, name: str, *, pool: bool, actor: Actor) -> Accepted:
        """`name` is a worker, or a pool where `pool` is set; "all" names every pool."""
        ...

    async def switch(self, pool: str, profile: str | None, *, dry_run: bool, actor: Actor) -> Accepted | Plan:
        """`profile` None: back to the file's profile."""
        ...

    async def cancel_switch(self, pool: str, *, actor: Actor) -> Accepted: ...

    async def plan(self, path: Path | None) -> Plan: ...

    async def apply(self, plan_id: str, *, actor: Actor) -> Accepted: ...

    async def restart_daemon(self, *, actor: Actor) -> Accepted: ...

    def log_source(self, worker: str) -> LogSource: ...

    async def history(self, last: int | None) -> History:
        """The newest `last` samples of the last hour, all for None."""
        ...

    async def history_of(self, span: int, points: int | None) -> History:
        """The last `span` seconds in at most `points` steps; None: as many as are of use."""
        ...

    def profiles(self) -> tuple[ProfileInfo, ...]: ...

    async def profile(self, name: str, pool: str | None) -> ProfileDetail:
        """As it would run in `pool`; None: in the first that runs it, if any does."""
        ...

    async def detail(self, worker: str) -> WorkerDetail:
        """Looks at its processes and its log."""
        ...

    async def resolved(self, worker: str) -> Resolved:
        """Asks the engine, which may take seconds."""
        ...

    async def config(self) -> ConfigView:
        """Reads the files anew, which may take a second."""
        ...

    async def version(self) -> VersionInfo: ...

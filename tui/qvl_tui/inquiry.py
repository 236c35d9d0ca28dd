"""What is asked of the daemon about one worker beside what it tells by itself, and what came of it.

It knows when to ask: a detail now and then, and at once where the worker changed; its profile and what the engine made
of it once for each process. One question of a kind is under way at a time. It paints nothing and sends no acts.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from qvl.model.api import ProfileDetail, Resolved
from qvl.model.detail import ProcessInfo, WorkerDetail
from qvl.model.error import ErrorCode, QvlError
from qvl.model.status import GatewayStatus, WorkerStatus
from qvl.model.worker import Phase

from qvl_tui.link import Link

PERIOD = 5.0
"""Seconds between two details of a worker; what its processes take changes slowly."""
BRISK = 2.0
"""The same while it starts."""
OLDER = "this daemon is older than this program and tells no more of a worker → qvlctl daemon restart"
RESOLVES_LATER = "the engine has resolved nothing yet"
NOT_RUNNING = "the engine doesn't run, so that it can't be asked what it made of them"

_RESOLVING = (Phase.RUNNING, Phase.DRAINING, Phase.PARKED)
Mark = tuple[object, ...]
Question = Callable[[], Awaitable[None]]
"""To be called and awaited once."""
T = TypeVar("T")


@dataclass(slots=True)
class Asked(Generic[T]):
    """The last answer to one kind of question."""

    answer: T | None = None
    told: str = ""
    """Why there is none, or no newer one, as a sentence."""
    at: float | None = None
    """When it was answered, by the screen's clock."""
    under_way: bool = False
    mark: Mark | None = None
    """What the worker was when this was asked."""


@dataclass(slots=True)
class Inquiry:
    link: Link
    worker: str
    detail: Asked[WorkerDetail] = field(default_factory=lambda: Asked())
    profile: Asked[ProfileDetail] = field(default_factory=lambda: Asked())
    resolved: Asked[Resolved] = field(default_factory=lambda: Asked())
    shares: dict[int, float] = field(default_factory=dict)
    """Processors in use by each process between the last two details, by pid."""
    _asked_at: float = -PERIOD

    def about_detail(self, status: WorkerStatus, daemon: int, now: float) -> Question | None:
        """The question for its detail, where it is due. `daemon`: its pid, as another one may know more;
        `now`: the screen's clock, as of which the answer counts."""
        asked, mark = self.detail, _mark(status, daemon)
        if asked.under_way:
            return None
        period = BRISK if status.phase is Phase.STARTING else PERIOD
        again = asked.told != OLDER and now - self._asked_at >= period
        if asked.mark == mark and not again:
            return None
        # Now and not when it runs: whoever looks meanwhile must not ask as well.
        asked.under_way, asked.mark, self._asked_at = True, mark, now
        return lambda: self._ask_detail(now)

    def about_arguments(self, status: WorkerStatus, revision: str | None) -> Question | None:
        """The question for its profile and its resolved arguments, where it is due; `revision` of the configuration
        that runs. A gateway has no profile."""
        written, running = _written(status, revision), _running(status)
        old, new = self.profile.mark != written, self.resolved.mark != running
        if isinstance(status, GatewayStatus) or self.profile.under_way or self.resolved.under_way or not (old or new):
            return None
        self.profile.mark, self.profile.under_way = written, old
        self.resolved.mark, self.resolved.under_way = running, new
        return lambda: self._ask_arguments(status, profile=old, resolved=new)

    def forget_arguments(self) -> None:
        """Ask for them anew."""
        self.profile.mark = self.resolved.mark = None

    async def _ask_detail(self, now: float) -> None:
        asked = self.detail
        try:
            found = await self.link.worker(self.worker)
        except QvlError as error:
            asked.told = OLDER if error.code is ErrorCode.NOT_FOUND else error.message
        else:
            self._compare(found, now)
            asked.answer, asked.told, asked.at = found, "", now
        finally:
            asked.under_way = False

    async def _ask_arguments(self, status: WorkerStatus, *, profile: bool, resolved: bool) -> None:
        try:
            if profile:
                await _answered(self.profile, self.link.profile(status.profile, status.pool))
            if resolved and status.phase in _RESOLVING:
                await _answered(self.resolved, self.link.resolved(self.worker))
            elif resolved:
                self.resolved.answer = None
                starting = status.phase is Phase.STARTING
                self.resolved.told = RESOLVES_LATER if starting else NOT_RUNNING
        finally:
            self.profile.under_way = self.resolved.under_way = False

    def _compare(self, found: WorkerDetail, now: float) -> None:
        before, since = self.detail.answer, self.detail.at
        if before is None or since is None or now - since < 1.0:
            return
        old = {process.pid: process.cpu_s for process in before.processes}
        self.shares = {p.pid: _share(p, old[p.pid], now - since) for p in found.processes if p.pid in old}


def _share(process: ProcessInfo, before: float, seconds: float) -> float:
    return max(0.0, process.cpu_s - before) / seconds


async def _answered(asked: Asked[T], question: Awaitable[T]) -> None:
    try:
        asked.answer, asked.told = await question, ""
    except QvlError as error:
        asked.answer, asked.told = None, _sentence(error)
    finally:
        asked.under_way = False


def _sentence(error: QvlError) -> str:
    return f"{error.message} → {error.hint}" if error.hint else error.message


def _mark(status: WorkerStatus, daemon: int) -> Mark:
    """What of a worker, where it changes, makes its detail another one."""
    step = status.progress.step if status.progress is not None else None
    last = status.last_exit.at if status.last_exit is not None else None
    return status.phase, status.ready, status.pid, step, last, daemon


def _written(status: WorkerStatus, revision: str | None) -> Mark:
    return status.profile, status.pool, revision


def _running(status: WorkerStatus) -> Mark:
    """A process, and whether it can tell what it made of its arguments."""
    return status.pid, status.profile, status.phase in _RESOLVING

"""Looks after a worker's health: is it ready, is it well. Decides nothing: what each round sees goes to the core.

Questions to a server are asked one at a time and beside the rounds, so that one without an answer holds up no round.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from qvl.core.probing import BUSY_CPU, Health, Observation, is_suspect, judge, wants_deep
from qvl.daemon.engine_client import QUICK, EngineClient
from qvl.daemon.sight import OURS, Activity, Port, activity
from qvl.daemon.tailer import Pulse
from qvl.daemon.worker import Worker
from qvl.engines.base import Surface
from qvl.engines.metrics import EngineSample, progressed
from qvl.model.worker import Cause, Process, Verdict

STARTING_PERIOD = 0.25
"""Seconds between looks at a starting worker's port."""

STARTED_AFTER = 1.0
"""Seconds that a process with `ready = "started"` has to live."""

STRANGER = 5.0
"""Seconds after which somebody else's socket on a starting worker's port is no passer-by."""

UNSAID = 30.0
"""Seconds that a server which answers has to say in its log that it is ready. One that doesn't is asked."""


class Question:
    """One question to a server, asked again only once it was answered or timed out."""

    def __init__(self) -> None:
        self.outcome: bool | None = None
        """Of the newest one that has ended and still counts."""
        self.detail = ""
        self._task: asyncio.Task[tuple[bool, str]] | None = None
        self._counts = True

    def ask(self, question: Callable[[], Coroutine[Any, Any, tuple[bool, str]]]) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(question())
            self._counts = True

    async def settle(self, seconds: float) -> None:
        """Wait for the answer, but not longer."""
        if self._task is None:
            return
        done, _ = await asyncio.wait({self._task}, timeout=max(0.0, seconds))
        if done:
            outcome, detail = self._task.result()
            self._task = None
            if self._counts:
                self.outcome, self.detail = outcome, "" if outcome else detail

    def forget(self) -> None:
        """What was answered, and what will be to the question that is under way, says nothing any more."""
        self.outcome, self.detail, self._counts = None, "", False

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Prober:
    """`cards_busy` says whether the cards of a worker compute right now."""

    def __init__(self, client: EngineClient, cards_busy: Callable[[Worker], Awaitable[bool]]) -> None:
        self._client = client
        self._cards_busy = cards_busy

    async def until_ready(
        self, worker: Worker, surface: Surface, key: str | None, said_ready: Callable[[], bool | None]
    ) -> Verdict | None:
        """Return None once a starting worker would answer a request, or why it never will.

        `said_ready`: whether its log says so, None where the log says nothing at all. A generation is asked for only
        where the log doesn't tell. Where the surface is `owned`, an answer counts only from a socket of its own tree.
        """
        process = worker.record.process
        assert process is not None
        if not surface.ready:
            await asyncio.sleep(max(0.0, process.started_mono + STARTED_AFTER - time.monotonic()))
            return None
        port = Port(process.pid, worker.spec.launch.port)
        answers_since: float | None = None
        taken_since: float | None = None
        while True:
            now = time.monotonic()
            listener = await asyncio.to_thread(port.listener) if surface.owned else OURS
            taken_since = (taken_since or now) if listener.stranger is not None else None
            if taken_since is not None and now - taken_since >= STRANGER:
                return Verdict(Cause.PORT_IN_USE, f"{listener.stranger}: it was taken while the worker started")
            if listener.is_ours:
                said, policy = said_ready(), worker.spec.policy.health
                if surface.alive in ("", surface.ready):
                    fine = (await self._client.get(worker, surface.ready, key, policy.timeout))[0]
                elif (await self._client.get(worker, surface.alive, key, min(QUICK, policy.timeout)))[0]:
                    answers_since = answers_since or now
                    fine = bool(said)
                    if not fine and (said is None or now - answers_since >= UNSAID):
                        fine = (await self._client.get(worker, surface.ready, key, policy.timeout))[0]
                else:
                    fine = False
                if fine:
                    return None
            await asyncio.sleep(STARTING_PERIOD)

    async def watch(
        self,
        worker: Worker,
        surface: Surface,
        key: str | None,
        pulse: Pulse,
        *,
        told: Callable[[bool, str | None, Verdict | None], None],
        measured: Callable[[], None],
    ) -> None:
        """Check a running worker for as long as it runs. `told` gets each round's outcome, `measured` follows a
        scrape."""
        process = worker.record.process
        assert process is not None
        watch = _Watch(self._client, worker, surface, key, process, measured)
        health = Health(moved_at=time.monotonic(), ready=worker.record.ready)
        try:
            while True:
                began = time.monotonic()
                policy = worker.spec.policy.health
                seen = await watch.round(health, pulse)
                outcome = judge(health, policy, seen, time.monotonic(), watchdog=surface.watchdog)
                if outcome.verdict is not None and await self._cards_busy(worker):
                    seen = msgspec.structs.replace(seen, working=True)
                    outcome = judge(health, policy, seen, time.monotonic(), watchdog=surface.watchdog)
                if outcome.health.moved_at != health.moved_at:
                    watch.trust()
                health = outcome.health
                told(outcome.ready, outcome.why, outcome.verdict)
                await watch.rest(began + policy.interval - time.monotonic(), wakeful=health.strikes == 0)
        finally:
            watch.close()


class _Watch:
    """One worker's questions and looks."""

    def __init__(
        self,
        client: EngineClient,
        worker: Worker,
        surface: Surface,
        key: str | None,
        process: Process,
        measured: Callable[[], None],
    ) -> None:
        self._client, self._worker, self._surface, self._key = client, worker, surface, key
        self._measured = measured
        self._root = process.pid
        self._port = Port(process.pid, worker.spec.launch.port) if surface.owned else None
        self._cheap, self._deep = Question(), Question()
        self._last: EngineSample | None = worker.window[-1] if worker.window else None
        self._first_look: Activity | None = None

    async def round(self, health: Health, pulse: Pulse) -> Observation:
        """Ask what is to be asked and look where there is reason to."""
        policy, surface = self._worker.spec.policy.health, self._surface
        listener = await asyncio.to_thread(self._port.listener) if self._port is not None else OURS
        if listener.is_ours:
            self._cheap.ask(self._ask_cheaply)
            await self._cheap.settle(policy.interval)
        # A server that is too busy to tell its figures is as busy as it was when it told them last.
        last, old = self._worker.window[-1] if self._worker.window else None, self._last
        self._last = last
        moved = pulse.beat()
        moved = (old is not None and last is not None and last is not old and progressed(old, last)) or moved
        busy, now = last is not None and last.busy, time.monotonic()
        if surface.deep and not moved and listener.is_ours and wants_deep(health, policy, busy=busy, now=now):
            self._deep.ask(lambda: self._client.generate(self._worker, surface, self._key, policy.timeout))
        await self._deep.settle(0)
        look = await asyncio.to_thread(activity, self._root) if is_suspect(health, policy, now=now) else None
        share = look.share_since(self._first_look) if look is not None and self._first_look is not None else 0.0
        self._first_look = self._first_look or look
        return Observation(
            answered=self._cheap.outcome is not False,
            progress=moved,
            busy=busy,
            deep=self._deep.outcome,
            stranger=listener.stranger,
            deaf=listener.nobody,
            stopped=look is not None and look.halted,
            working=share >= BUSY_CPU,
            detail=self._cheap.detail or self._deep.detail,
        )

    def trust(self) -> None:
        """It lives: what was suspected is forgotten."""
        self._first_look = None
        self._deep.forget()

    async def rest(self, seconds: float, *, wakeful: bool) -> None:
        """Sleep until the next round. `wakeful`: a generation that fails is looked at at once."""
        until = time.monotonic() + seconds
        if wakeful:
            await self._deep.settle(seconds)
            if self._deep.outcome is False:
                return
        await asyncio.sleep(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        self._cheap.close()
        self._deep.close()

    async def _ask_cheaply(self) -> tuple[bool, str]:
        """Whether the server process answers: its figures, or else its cheapest page."""
        worker, surface, timeout = self._worker, self._surface, self._worker.spec.policy.health.timeout
        try:
            if await self._client.scrape(worker, surface, self._key) is not None:
                self._measured()
                return True, ""
        except TimeoutError:
            return False, f"no answer from {surface.metrics}"
        if not surface.alive:
            return True, ""
        # A server of which we know no figures may be busy for as long as its owner says.
        return await self._client.get(
            worker, surface.alive, self._key, min(QUICK, timeout) if surface.metrics else timeout
        )

"""The engine's life after the first log line: start, serve, park, drain.

It owns the phase and what belongs to it. What a request says is `routes.py`'s, how tokens come about is
`scheduler.py`'s, the order of the start is `startup.py`'s, and only `ends.py` ends the process.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine, Iterable

from qvl.simulator import startup
from qvl.simulator.adapters import Adapters
from qvl.simulator.arguments import Settings
from qvl.simulator.console import Console
from qvl.simulator.ends import Ends
from qvl.simulator.gpu import Card
from qvl.simulator.metrics import Metrics
from qvl.simulator.processes import Child
from qvl.simulator.request_log import RequestLog
from qvl.simulator.routes import Routes
from qvl.simulator.scheduler import Request, Scheduler
from qvl.simulator.web import HttpServer

# Seconds that SGLang takes on an H100; `Settings.pace` scales them.
_HEALTH_POLL = 1.0
_DRAIN_POLL = 5.0
_SCHEDULER_EXIT = 3.0
_PARKING = 0.4
_HARD_RESUME = 8.0
_LAST_BYTES = 1.0  # seconds, not scaled, for the answers that are complete to reach their clients
_TAGS = frozenset({"kv_cache", "weights", "cuda_graph"})


def serve(settings: Settings, console: Console, children: list[Child], began: float) -> None:
    """Run until something ends the process; `began` is when the start began, in monotonic seconds."""
    asyncio.run(Server(settings, console, children).run(began))


class Server:
    def __init__(self, settings: Settings, console: Console, children: list[Child]) -> None:
        self.settings = settings
        self.console = console
        self.phase = "starting"
        """`starting`, then `up`, then `stopping`."""
        self.released: set[str] = set()
        """The tags that were released and not resumed."""
        self.card = Card(
            settings.text("model_path"),
            int(settings.number("tp_size", 1)),
            bool(settings.text("speculative_draft_model_path")),
        )
        self.adapters = Adapters(settings, console.log)
        self.requests = RequestLog(settings, console)
        self.metrics = Metrics(settings.text("served_model_name"))
        self.scheduler = Scheduler(settings, console, self.metrics, self._on_load)
        routes = Routes(self)
        self.web = HttpServer(routes.answer, routes.began)
        self.ends = Ends(settings, console, children, self.card, self.scheduler.halt)
        self._unhealthy = False
        self._interrupted = False
        self._settling: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def parked(self) -> bool:
        """Whether GPU memory is gone that a forward pass would touch."""
        return self._saves and bool(self.released & {"kv_cache", "weights"})

    @property
    def _saves(self) -> bool:
        return self.settings.on("enable_memory_saver")

    @property
    def context_length(self) -> int:
        return int(self.settings.number("context_length", 262144))

    async def run(self, began: float) -> None:
        self.ends.watch()
        await startup.load(self, began)
        await asyncio.Event().wait()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run beside everything else; a bug in it ends the engine, loudly."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def take_signals(self) -> None:
        """From here on SIGTERM drains and SIGINT closes, as when SGLang's web server runs."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt)
        if not self.settings.ignore_sigterm:
            loop.add_signal_handler(signal.SIGTERM, self._on_terminate)

    def ready(self) -> None:
        self.phase = "up"
        self.ends.started()
        self.console.log("The server is fired up and ready to roll!")
        if self.settings.hang_after is not None or self.settings.fail == "hang":
            self.spawn(self._hang())
        if self.settings.exit_after is not None:
            self.spawn(self._exit_after(self.settings.exit_after))
        if self.settings.log_rate > 0:
            self.spawn(self._chatter())

    # --- health and memory, as the routes ask for them

    async def healthy(self) -> bool:
        """Make a token, or see one come out of a busy engine; False after SGLANG_HEALTH_CHECK_TIMEOUT (20 s)."""
        if self.phase != "up":
            return False
        begun = time.monotonic()
        if self.scheduler.idle():
            self.generate(Request("HEALTH_CHECK", 1, 1))
        timeout = float(os.environ.get("SGLANG_HEALTH_CHECK_TIMEOUT", "20"))
        while time.monotonic() - begun < timeout:
            await asyncio.sleep(min(timeout, max(0.01, _HEALTH_POLL * self.settings.pace)))
            if self.scheduler.heartbeat > begun:
                self._unhealthy = False
                return True
        self._unhealthy = True
        last = self.scheduler.heartbeat - time.monotonic() + time.time() if self.scheduler.heartbeat else 0
        self.console.log(
            f"Health check failed. Server couldn't get a response from detokenizer for last {timeout:.0f} seconds. "
            f"tic start time: {_clock(time.time() - timeout)}. last_heartbeat time: {_clock(last)}",
            "error",
        )
        return False

    def generate(self, request: Request) -> None:
        """Hand a request to the scheduler, which does not survive it while its memory is released."""
        if self.parked and not self.scheduler.paused:
            self.ends.crash("used-while-parked")
        self.scheduler.submit(request)

    async def release(self, tags: Iterable[str]) -> None:
        wanted = set(tags) or set(_TAGS)
        if not self.scheduler.idle():
            self.ends.crash("release-busy")
        if not self._saves:
            self.console.log(
                "`release_memory_occupation` will not save memory because torch_memory_saver is not enabled."
            )
        elif wanted & self.released:
            self.ends.crash("release-twice")
        self.scheduler.flush_cache()
        await asyncio.sleep(_PARKING * self.settings.pace)
        self.released |= wanted
        if self._saves:
            self.card.park(self.released)

    async def resume(self, tags: Iterable[str]) -> None:
        wanted = set(tags) or set(_TAGS)
        if not wanted <= self.released:
            self.ends.crash("resume-first")
        if self._saves and not self.card.room(wanted):
            await asyncio.sleep(_HARD_RESUME * self.settings.pace)
            self.ends.crash("resume-occupied")
        await asyncio.sleep(_PARKING * self.settings.pace)
        self.released -= wanted
        if self._saves:
            self.card.park(self.released)

    def proceed(self) -> None:
        """Let the scheduler go on after a pause."""
        if self.parked and self.scheduler.waiting:
            self.ends.crash("used-while-parked")
        self.scheduler.resume()

    # --- stopping

    def _on_terminate(self) -> None:
        if self.phase != "stopping":
            self.phase = "stopping"
            self.spawn(self._drain())

    async def _drain(self) -> None:
        """No deadline, and new requests are still taken: 0.5.18 leaves both to whoever sent the signal."""
        self.console.log("SIGTERM received. signum=None frame=None. Draining requests and shutting down...")
        if self._unhealthy:
            self.console.log("Signal SIGTERM received while health check failed. Force exiting.", "error")
            self.ends.die(scheduler_lives=True)
        while True:
            await asyncio.sleep(_DRAIN_POLL / 2 * self.settings.pace)
            left = [request.rid for request in self.scheduler.unfinished() if not request.internal]
            self.console.log(
                f"Gracefully exiting... Remaining number of requests {len(left)}. "
                f"Remaining requests remaining_rids={left[:10]}."
            )
            if not left:
                break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.web.quiet(), _LAST_BYTES)
        await asyncio.sleep(_SCHEDULER_EXIT * self.settings.pace)
        self.ends.log_kill(include_parent=True)
        self.card.leave()
        self.ends.end(-signal.SIGKILL)

    def _on_interrupt(self) -> None:
        if self._interrupted:
            self.ends.end(0)
        self._interrupted = True
        self.phase = "stopping"
        self.spawn(self._close())

    async def _close(self) -> None:
        self.console.log("INFO:     Shutting down")
        self.web.close()
        if self.web.active:
            self.console.log("INFO:     Waiting for connections to close. (CTRL+C to force quit)")
        await self.web.quiet()
        self.console.log("INFO:     Waiting for application shutdown.")
        self.console.log("INFO:     Application shutdown complete.")
        self.console.log(f"INFO:     Finished server process [{os.getpid()}]")
        self.ends.log_kill(include_parent=False)
        self.ends.end(0)

    def _on_load(self, running: int) -> None:
        self.card.use(running)
        if self._settling is None:
            self._settle()

    def _settle(self) -> None:
        again = self.card.settle()
        self._settling = None if again is None else asyncio.get_running_loop().call_later(again, self._settle)

    async def _hang(self) -> None:
        await asyncio.sleep(self.settings.hang_after or 0)
        self.scheduler.halt(True)

    async def _exit_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.ends.end(self.settings.exit_code)

    async def _chatter(self) -> None:
        """`--sim-log-rate` lines a second, in bursts of a twentieth."""
        begun = time.monotonic()
        said = 0
        while True:
            await asyncio.sleep(max(0.05, 1 / self.settings.log_rate))
            due = int((time.monotonic() - begun) * self.settings.log_rate)
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            self.console.raw("".join(f"[{stamp}] Simulated chatter, line {number}\n" for number in range(said, due)))
            said = due

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.console.raw(f"simulator: {error!r}\n")
            self.ends.end(70)


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))

"""The scheduler: a queue, a running batch, one prefill or one decode step after the other, as SGLang's.

Deterministic but for time: a request makes as many tokens as it was told to, and each takes `--sim-token-seconds`.
HTTP, text and health belong to others; they submit a `Request` and watch it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from qvl.simulator.arguments import Settings
from qvl.simulator.console import Console
from qvl.simulator.metrics import Label, Metrics

_PREFILL_SPEED = 500  # prompt tokens in the time of one output token
_CHUNK_SECONDS = 0.5  # a long prefill says at least this often that it goes on
_REMEMBERED = 1000  # prompts in the prefix cache


class Request:
    """One generation. `changed` is set whenever `produced` or `finish` changes."""

    def __init__(self, rid: str, prompt: int, limit: int, *, key: int | None = None, streaming: bool = False) -> None:
        self.rid = rid
        self.prompt = prompt
        self.limit = limit
        self.key = key
        """What the prefix cache knows the prompt by; None for a request of the engine itself (warm-up, health)."""
        self.streaming = streaming
        self.reason = "length"
        """What `finish` becomes when all tokens are there."""
        self.cached = 0
        self.produced = 0
        self.finish: str | None = None
        self.arrived = time.monotonic()
        self.changed = asyncio.Event()

    @property
    def internal(self) -> bool:
        return self.key is None


class Scheduler:
    def __init__(self, settings: Settings, console: Console, metrics: Metrics, used: Callable[[int], None]) -> None:
        self.capacity = 1
        """KV cache slots; the start sets it."""
        self.speculative = bool(settings.text("speculative_algorithm"))
        self.paused = False
        self.hung = False
        self.delay = 0.0
        """Seconds added to each step (`/slow_down`)."""
        self.heartbeat = 0.0
        """When a token last came out, in monotonic seconds."""
        self.throughput = 0.0
        self.hit_rate = 0.0
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self._settings = settings
        self._console = console
        self._metrics = metrics
        self._used = used
        self._awake = asyncio.Event()
        self._cache: dict[int, int] = {}
        self._steps = 0
        self._logged_at = time.monotonic()
        self._logged_tokens = 0

    @property
    def max_running(self) -> int:
        return int(self._settings.number("max_running_requests")) or max(1, min(4096, self.capacity // 8))

    @property
    def tokens(self) -> int:
        """KV cache slots in use."""
        return sum(request.prompt + request.produced for request in self.running)

    @property
    def usage(self) -> float:
        return self.tokens / self.capacity

    def idle(self) -> bool:
        return not self.running and not self.waiting

    def unfinished(self) -> list[Request]:
        return [request for request in (*self.running, *self.waiting) if request.finish is None]

    def submit(self, request: Request) -> None:
        self.waiting.append(request)
        self._awake.set()

    def resume(self) -> None:
        self.paused = False
        self._awake.set()

    def halt(self, halted: bool) -> None:
        """Compute nothing, or go on."""
        self.hung = halted
        self._used(0 if halted else len(self.running))
        self._awake.set()

    def abort(self, prefix: str = "") -> None:
        """End every request whose id begins so; a hung scheduler hears nothing."""
        if self.hung:
            return
        for request in self.unfinished():
            if request.rid.startswith(prefix):
                self._end(request, "abort")
        self.waiting = deque(request for request in self.waiting if request.finish is None)
        self.running = [request for request in self.running if request.finish is None]
        self._used(len(self.running))

    def flush_cache(self) -> bool:
        """False while anything runs."""
        if not self.idle():
            return False
        self._cache.clear()
        self._console.log("Cache flushed successfully!")
        return True

    async def run(self) -> None:
        while True:
            if self.hung or self.paused or self.idle():
                self._awake.clear()
                await self._awake.wait()
                continue
            batch = self._admit()
            if batch:
                await self._prefill(batch)
            if self.running and not self.paused:
                await asyncio.sleep(self._settings.token_seconds + self.delay)
                if not self.hung:
                    self._decode()

    def _admit(self) -> list[Request]:
        batch: list[Request] = []
        budget = int(self._settings.number("chunked_prefill_size", 8192))
        reserved = sum(request.prompt + request.limit for request in self.running)
        while self.waiting and len(self.running) + len(batch) < self.max_running:
            request = self.waiting[0]
            fits = reserved + request.prompt + request.limit <= self.capacity or not (self.running or batch)
            if not fits or (batch and request.prompt > budget):
                break
            self.waiting.popleft()
            request.cached = min(self._cache.get(request.key, 0), request.prompt - 1) if request.key is not None else 0
            budget -= request.prompt - request.cached
            reserved += request.prompt + request.limit
            batch.append(request)
        return batch

    async def _prefill(self, batch: list[Request]) -> None:
        now = time.monotonic()
        for request in batch:
            self._metrics.observe("queue_time_seconds", now - request.arrived, 1)
        new = sum(request.prompt - request.cached for request in batch)
        cached = sum(request.cached for request in batch)
        lasts = self._settings.token_seconds * new / _PREFILL_SPEED + self.delay
        if not all(request.internal for request in batch):
            lasts += self._settings.prefill_seconds
        chunks = max(1, int(lasts / _CHUNK_SECONDS))
        before = len(self.running)
        self.running += batch  # they hold memory from now on
        self._used(len(self.running))
        for chunk in range(chunks):
            part = new * (chunk + 1) // chunks - new * chunk // chunks
            self._log_prefill(
                len(batch), part, cached if chunk == 0 else 0, before, new * (chunks - chunk - 1) // chunks
            )
            self._metrics.count_rank("realtime_tokens_total", part, ("mode", "prefill_compute"))
            await asyncio.sleep(lasts / chunks)
            if self.hung:
                return
        self.hit_rate = cached / (new + cached)
        self._metrics.count("cached_tokens_total", cached, ("cache_source", "device"))
        if cached:
            self._metrics.count_rank("realtime_tokens_total", cached, ("mode", "prefill_cache"))
        for request in batch:
            if request.finish is None:
                self._remember(request)
                self._produce(request, 1)
        self._sweep()

    def _decode(self) -> None:
        self._steps += 1
        tokens = 2 + self._steps % 2 if self.speculative else 1
        made = 0
        for request in self.running:
            made += self._produce(request, tokens)
        self._metrics.observe("inter_token_latency_seconds", self._settings.token_seconds / tokens, made)
        self._logged_tokens += made
        # At each step, not only when one is logged (sglang 0.5.18, metrics_reporter.report_decode_stats).
        self._metrics.count_rank("realtime_tokens_total", made, ("mode", "decode"))
        if self._steps % max(1, int(self._settings.number("decode_log_interval", 40))) == 0:
            self._log_decode()
        self._sweep()

    def _produce(self, request: Request, tokens: int) -> int:
        tokens = min(tokens, request.limit - request.produced)
        self.heartbeat = time.monotonic()
        if not (request.produced or request.internal):
            waited = self.heartbeat - request.arrived
            self._metrics.observe("time_to_first_token_seconds", waited, 1, _kind(request))
        request.produced += tokens
        if request.produced >= request.limit:
            self._end(request, request.reason)
        request.changed.set()
        return tokens

    def _end(self, request: Request, finish: str) -> None:
        request.finish = finish
        request.changed.set()
        if request.internal:
            return
        kind = _kind(request)
        self._metrics.count("prompt_tokens_total", request.prompt, kind)
        self._metrics.count("generation_tokens_total", request.produced, kind)
        self._metrics.count("num_requests_total", 1, kind)
        self._metrics.observe("e2e_request_latency_seconds", time.monotonic() - request.arrived, 1, kind)
        if finish == "abort":
            self._metrics.count("num_aborted_requests_total", 1)

    def _sweep(self) -> None:
        running = [request for request in self.running if request.finish is None]
        if len(running) != len(self.running):
            self.running = running
            self._used(len(running))
            if not running:
                self.throughput = 0.0

    def _remember(self, request: Request) -> None:
        if request.key is not None:
            self._cache.pop(request.key, None)
            self._cache[request.key] = request.prompt
            if len(self._cache) > _REMEMBERED:
                del self._cache[next(iter(self._cache))]

    def _log_prefill(self, requests: int, new: int, cached: int, running: int, pending: int) -> None:
        now = time.monotonic()
        speed = new / max(now - self._logged_at, 1e-3)
        self._console.log(
            f"Prefill batch, #new-seq: {requests}, #new-token: {new}, #cached-token: {cached}, "
            f"token usage: {self.usage:.2f}, #running-req: {running}, #queue-req: {len(self.waiting)}, "
            f"#pending-token: {pending}, cuda graph: False, input throughput (token/s): {speed:.2f}"
        )
        self._logged_at = now

    def _log_decode(self) -> None:
        now = time.monotonic()
        self.throughput = self._logged_tokens / max(now - self._logged_at, 1e-3)
        self._logged_at, self._logged_tokens = now, 0
        drafts = "accept len: 2.50, accept rate: 0.50, " if self.speculative else ""
        self._console.log(
            f"Decode batch, #running-req: {len(self.running)}, #token: {self.tokens}, "
            f"token usage: {self.usage:.2f}, {drafts}cuda graph: True, "
            f"gen throughput (token/s): {self.throughput:.2f}, #queue-req: {len(self.waiting)}"
        )


def _kind(request: Request) -> Label:
    return ("is_streaming", str(request.streaming).lower())

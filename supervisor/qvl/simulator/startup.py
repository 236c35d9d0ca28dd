"""The start, step by step, with SGLang's lines, bars and proportions: an H100 loading Qwen3-VL-8B, scaled to
`--sim-load-seconds`. The port opens only after the load, and `/health` says 503 until the warm-up is done.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qvl.simulator.console import bar, shards
from qvl.simulator.failures import FAILURES, Failure, adapter_failure
from qvl.simulator.scheduler import Request

if TYPE_CHECKING:
    from qvl.simulator.server import Server

# When each step ends, as a part of the whole start.
_CHILDREN_UP = 0.25
_IMPORTED = 0.60
_WEIGHTS_LOADED = 0.72
_CACHE_ALLOCATED = 0.74
_GRAPHS_CAPTURED = 0.93
_WARM = 1.0
_SHARDS = 4
_BATCHES = (1, 2, 4, 8, 12, *range(16, 257, 8))
_DRAFT_BATCHES = (*range(1, 9), *range(10, 33, 2), 40, 44, 48)


async def load(server: "Server", began: float) -> None:
    """Come up, or fail or stall as the `--sim-…` flags want; returns once the engine is ready."""
    start = _Start(server, began)
    await start.imports()
    await start.weights()
    await start.cache()
    await start.graphs()
    await start.listen()
    await start.warm_up()
    server.ready()


class _Start:
    def __init__(self, server: "Server", began: float) -> None:
        self._server = server
        self._settings = server.settings
        self._log = server.console.log
        self._raw = server.console.raw
        self._card = server.card
        ranks = int(server.settings.number("tp_size", 1))
        self._ranks = [f"TP{rank}" for rank in range(ranks)] if ranks > 1 else [""]
        self._began = began
        self._failure = FAILURES.get(server.settings.fail or "")
        stalled = "weights" if server.settings.fail == "start-stalled" else None
        self._stall_at = server.settings.stall_at or stalled

    async def imports(self) -> None:
        await self._until(_CHILDREN_UP)
        self._log("Multimodal data loading enabled with 16 worker threads (auto).")
        self._log("Multimodal processor concurrency enabled with 2 isolated worker threads (auto).")
        self._log("Using default HuggingFace chat template with detected content format: openai")
        await self._midway("import")
        await self._until(_IMPORTED)
        self._log_ranks("Init torch distributed begin.")
        self._log_ranks("Init torch distributed ends. elapsed=0.02 s, mem usage=0.09 GB")

    async def weights(self) -> None:
        card = self._card
        card.survey()
        card.load("context")
        self._log_ranks(f"Load weight begin. avail mem={card.available:.2f} GB")
        begun = time.monotonic()
        if card.available < card.weights + card.draft:
            self._server.ends.fail(FAILURES["out-of-gpu-memory"])
        for done in range(_SHARDS + 1):
            self._raw(shards(done, _SHARDS, time.monotonic() - begun))
            if done == _SHARDS // 2:
                await self._midway("weights")
            card.load("weights", done / _SHARDS)
            await self._until(_between(_IMPORTED, _WEIGHTS_LOADED, (done + 1) / (_SHARDS + 1)))
        self._log_weights("Qwen3VLForConditionalGeneration", time.monotonic() - begun, card.weights, 0)
        if (wrong := self._server.adapters.start()) is not None:
            self._server.ends.fail(adapter_failure(wrong))
        if card.draft:
            self._log_ranks(f"Load weight begin. avail mem={card.available - card.weights:.2f} GB")
            self._log_weights("LlamaForCausalLMEagle3", 0.01, card.draft, card.weights)

    async def cache(self) -> None:
        card = self._card
        await self._midway("kv-cache")
        fraction = self._settings.number("mem_fraction_static", 0.85)
        if not card.plan(fraction, self._settings.number("max_total_tokens")):
            self._server.ends.fail(_TOO_SMALL)
        card.load("kv")
        self._server.scheduler.capacity = card.tokens
        await self._until(_CACHE_ALLOCATED)
        self._log_ranks(
            f"KV Cache is allocated. dtype: torch.bfloat16, #tokens: {card.tokens}, "
            f"K size: {card.kv / 2:.2f} GB, V size: {card.kv / 2:.2f} GB"
        )
        self._log_ranks(f"Memory pool end. avail mem={self._left():.2f} GB")

    async def graphs(self) -> None:
        speculative = self._server.scheduler.speculative
        what = "target verify" if speculative else "target decode"
        sizes = _DRAFT_BATCHES if speculative else _BATCHES
        begun = time.monotonic()
        if self._settings.on("disable_cuda_graph") or self._settings.on("disable_decode_cuda_graph"):
            await self._midway("graphs")
        else:
            tokens = 4 if speculative else 1
            self._log_ranks(
                f"Capture {what} CUDA graph begin. backend=full, num_tokens_per_req={tokens}, bs={list(sizes)}, "
                f"avail mem={self._left():.2f} GB"
            )
            await self._capture(sizes, begun)
            self._log_ranks(
                f"Capture {what} CUDA graph end. elapsed={time.monotonic() - begun:.2f} s, "
                f"mem usage={self._card.graphs:.2f} GB, avail mem={self._left() - self._card.graphs:.2f} GB."
            )
        self._card.load("graphs")
        self._log(
            f"max_total_num_tokens={self._card.tokens}, "
            f"chunked_prefill_size={self._settings.number('chunked_prefill_size'):.0f}, "
            f"max_prefill_tokens={self._settings.number('max_prefill_tokens', 16384):.0f}, "
            f"max_running_requests={self._server.scheduler.max_running}, "
            f"context_len={self._server.context_length}, available_gpu_mem={self._left() - self._card.graphs:.2f} GB",
            rank=self._ranks[0],
        )

    async def listen(self) -> None:
        pid = os.getpid()
        host, port = self._settings.text("host"), int(self._settings.number("port", 30000))
        self._log(f"INFO:     Started server process [{pid}]")
        self._log("INFO:     Waiting for application startup.")
        self._log("INFO:     Application startup complete.")
        try:
            if self._settings.fail == "port-in-use":
                raise OSError(98, f"error while attempting to bind on address {(host, port)!r}: address already in use")
            await self._server.web.listen(host, port)
        except OSError as error:
            self._log(f"ERROR:    {error}", "error")
            self._log("INFO:     Waiting for application shutdown.")
            self._log("INFO:     Application shutdown complete.")
            self._log(f"kill_process_tree called: parent_pid={pid}, include_parent=False, pid={pid}")
            self._server.ends.end(3)
        self._log(f"INFO:     Uvicorn running on http://{host}:{port} (Press CTRL+C to quit)")
        self._server.take_signals()
        self._server.spawn(self._server.scheduler.run())

    async def warm_up(self) -> None:
        await self._midway("warm-up")
        if not self._settings.on("skip_server_warmup"):
            request = Request("WARM_UP", 78, 1)
            self._server.scheduler.submit(request)
            await request.changed.wait()
        await self._until(_WARM)

    async def _capture(self, sizes: Sequence[int], begun: float) -> None:
        total = len(sizes)
        for done, size in enumerate(reversed(sizes)):
            label = f"Capturing batches (bs={size} avail_mem={self._left():.2f} GB)"
            self._raw(bar(label, done, total, time.monotonic() - begun))
            if done == total // 2:
                await self._midway("graphs")
            await self._until(_between(_CACHE_ALLOCATED, _GRAPHS_CAPTURED, (done + 1) / total))
            self._raw(bar(label, done + 1, total, time.monotonic() - begun))
        self._raw("\n")

    def _log_weights(self, kind: str, elapsed: float, size: float, before: float) -> None:
        left = self._card.available - before - size
        self._log_ranks(
            f"Load weight end. elapsed={elapsed:.2f} s, type={kind}, avail mem={left:.2f} GB, mem usage={size:.2f} GB."
        )

    def _log_ranks(self, message: str) -> None:
        """What each scheduler tells, with its rank where there are several."""
        for rank in self._ranks:
            self._log(message, rank=rank)

    def _left(self) -> float:
        """GiB that are free after weights and KV cache."""
        return self._card.available - self._card.weights - self._card.draft - self._card.kv

    async def _until(self, part: float) -> None:
        wait = self._began + part * self._settings.load_seconds - time.monotonic()
        await asyncio.sleep(max(0, wait))

    async def _midway(self, step: str) -> None:
        """The place in each step where the wanted failure strikes, or where the start stands still for good."""
        if self._failure is not None and self._failure.step == step:
            self._server.ends.fail(self._failure)
        if self._stall_at == step:
            await asyncio.Event().wait()


_TOO_SMALL = Failure(
    "kv-cache",
    (
        "Scheduler hit an exception: Traceback (most recent call last):",
        "!RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
        "!",
        "Received sigquit from a child process. It usually means the child failed.",
    ),
    -9,
)


def _between(begin: float, end: float, part: float) -> float:
    return begin + (end - begin) * part

"""The HTTP surface of SGLang 0.5.18 that supervisors, routers and clients use, with its habits.

`/server_info` shows the API key as SGLang does; a hung engine still answers what the web server answers alone.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from qvl.simulator import completions
from qvl.simulator.web import HttpRequest, HttpResponse, answer, phrase

if TYPE_CHECKING:
    from qvl.simulator.server import Server

_OPEN = ("/health", "/ready", "/metrics")  # no key needed, by prefix
_VERSION = "0.5.18"
_ADMIN = frozenset(
    {
        "/flush_cache",
        "/abort_request",
        "/pause_generation",
        "/continue_generation",
        "/release_memory_occupation",
        "/resume_memory_occupation",
        "/slow_down",
        "/configure_logging",
        "/load_lora_adapter",
        "/unload_lora_adapter",
    }
)

_Route = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Routes:
    def __init__(self, server: "Server") -> None:
        self._server = server
        self._settings = server.settings
        self._told: tuple[tuple[str, float], ...] = ()
        both = ("GET", "POST")
        self._table: dict[str, tuple[tuple[str, ...], _Route]] = {
            "/": (("GET",), self._root),
            "/health": (("GET",), self._health),
            "/health_generate": (("GET",), self._health),
            "/ready": (("GET",), self._ready),
            "/ping": (("GET",), self._ping),
            "/model_info": (("GET",), self._model_info),
            "/get_model_info": (("GET",), self._model_info),
            "/server_info": (("GET",), self._server_info),
            "/get_server_info": (("GET",), self._server_info),
            "/v1/models": (("GET",), self._models),
            "/v1/loads": (("GET",), self._loads),
            "/get_load": (("GET",), self._load),
            "/v1/chat/completions": (("POST",), self._chat),
            "/v1/completions": (("POST",), self._complete),
            "/generate": (("POST", "PUT"), self._generate),
            "/flush_cache": (both, self._flush_cache),
            "/abort_request": (("POST",), self._abort),
            "/pause_generation": (("POST",), self._pause),
            "/continue_generation": (("POST",), self._continue),
            "/release_memory_occupation": (both, self._release),
            "/resume_memory_occupation": (both, self._resume),
            "/slow_down": (both, self._slow_down),
            "/configure_logging": (both, self._configure_logging),
            "/load_lora_adapter": (("POST",), self._load_adapter),
            "/unload_lora_adapter": (("POST",), self._unload_adapter),
        }
        if self._settings.on("enable_metrics"):
            self._table["/metrics"] = (("GET",), self._metrics)
            self._table["/metrics/"] = self._table["/metrics"]

    async def answer(self, http: HttpRequest) -> HttpResponse:
        if not self._allowed(http):
            return answer({"error": "Unauthorized"}, 401)
        known = self._table.get(http.path)
        if known is None:
            return answer({"detail": "Not Found"}, 404)
        methods, route = known
        method = "GET" if http.method == "HEAD" else http.method
        if method not in methods:
            return answer({"detail": "Method Not Allowed"}, 405)
        self._server.metrics.count_http("http_requests_total", ("endpoint", http.path), ("method", http.method))
        try:
            return await route(http)
        except completions.BadBody as error:
            return answer(completions.error_body(str(error), 400), 400)

    def began(self, http: HttpRequest, status: int) -> None:
        """An answer begins: the access line, and its count."""
        self._server.console.access(http.client, http.method, http.target, status, phrase(status))
        if http.path in self._table:
            labels = (("endpoint", http.path), ("method", http.method), ("status_code", str(status)))
            self._server.metrics.count_http("http_responses_total", *labels)

    def _allowed(self, http: HttpRequest) -> bool:
        key, admin = self._settings.text("api_key"), self._settings.text("admin_api_key")
        if http.method == "OPTIONS" or http.path.startswith(_OPEN):
            return True
        needed = (admin or key) if http.path in _ADMIN else key
        scheme, _, given = http.headers.get("authorization", "").partition(" ")
        return not needed or (scheme.lower() == "bearer" and given == needed)

    # --- what it is and how it is

    async def _root(self, http: HttpRequest) -> HttpResponse:
        return answer("SGLang is running")

    async def _health(self, http: HttpRequest) -> HttpResponse:
        flag = os.environ.get("SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION", "true").lower() in ("false", "0", "no")
        if flag and http.path == "/health":
            return HttpResponse(200 if self._server.phase == "up" else 503)
        return HttpResponse(200 if await self._server.healthy() else 503)

    async def _ready(self, http: HttpRequest) -> HttpResponse:
        return HttpResponse(200 if self._server.phase == "up" and not self._server.scheduler.paused else 503)

    async def _ping(self, http: HttpRequest) -> HttpResponse:
        return HttpResponse(200)

    async def _model_info(self, http: HttpRequest) -> HttpResponse:
        model = self._settings.text("model_path")
        vision = "vl" in model.lower()
        return answer(
            {
                "model_path": model,
                "tokenizer_path": self._settings.text("tokenizer_path"),
                "is_generation": True,
                "preferred_sampling_params": None,
                "weight_version": "default",
                "has_image_understanding": vision,
                "has_audio_understanding": False,
                "model_type": "qwen3_vl" if vision else "qwen3",
                "architectures": ["Qwen3VLForConditionalGeneration" if vision else "Qwen3ForCausalLM"],
            }
        )

    async def _server_info(self, http: HttpRequest) -> HttpResponse:
        if self._server.scheduler.hung:
            await asyncio.Event().wait()  # it asks the scheduler, without a deadline
        scheduler = self._server.scheduler
        return answer(
            {
                **self._settings.server_args,
                "status": "ready",
                "max_total_num_tokens": scheduler.capacity,
                "max_req_input_len": self._server.context_length - 6,
                "internal_states": [
                    {
                        **self._settings.server_args,  # all of them once more, as the scheduler has them
                        "last_gen_throughput": scheduler.throughput,
                        "effective_max_running_requests_per_dp": scheduler.max_running,
                    }
                ],
                "version": _VERSION,
            }
        )

    async def _models(self, http: HttpRequest) -> HttpResponse:
        name = self._settings.text("served_model_name")
        common = {"object": "model", "created": int(time.time()), "owned_by": "sglang"}
        card = {"id": name, "root": name, "parent": None, "max_model_len": self._server.context_length}
        cards = [card, *self._server.adapters.cards(name)]
        return answer({"object": "list", "data": [{**common, **found} for found in cards]})

    async def _loads(self, http: HttpRequest) -> HttpResponse:
        scheduler, card = self._server.scheduler, self._server.card
        now = time.time()
        load = {
            "timestamp": now,
            "dp_rank": 0,
            "num_running_reqs": len(scheduler.running),
            "num_waiting_reqs": len(scheduler.waiting),
            "num_used_tokens": scheduler.tokens,
            "num_total_tokens": scheduler.tokens,
            "max_total_num_tokens": scheduler.capacity,
            "max_running_requests": scheduler.max_running,
            "token_usage": round(scheduler.usage, 4),
            "gen_throughput": round(scheduler.throughput, 2),
            "cache_hit_rate": round(scheduler.hit_rate, 4),
            "utilization": 0.0,
            "memory": {
                "weight_gb": round(card.weights, 2),
                "kv_cache_gb": round(card.kv, 3),
                "graph_gb": card.graphs,
                "token_capacity": scheduler.capacity,
            },
        }
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now))
        return answer({"timestamp": stamp, "version": _VERSION, "num_accelerators": 1, "loads": [load]})

    async def _load(self, http: HttpRequest) -> HttpResponse:
        self._server.console.log(
            "Endpoint '/get_load' is deprecated and will be removed in a future version. "
            "Please use '/v1/loads' instead.",
            "warning",
        )
        scheduler = self._server.scheduler
        waiting = len(scheduler.waiting)
        requests = waiting + len(scheduler.running)
        return answer(
            [{"dp_rank": 0, "num_reqs": requests, "num_waiting_reqs": waiting, "num_tokens": scheduler.tokens}]
        )

    async def _metrics(self, http: HttpRequest) -> HttpResponse:
        # The scheduler writes them: one that hangs leaves them as they were, whatever comes in.
        if not self._server.scheduler.hung or not self._told:
            self._told = tuple(self._gauges())
        page = self._server.metrics.page(self._told)
        return HttpResponse(200, page.encode(), "text/plain; version=0.0.4; charset=utf-8")

    def _gauges(self) -> Iterable[tuple[str, float]]:
        scheduler, card = self._server.scheduler, self._server.card
        yield "num_running_reqs", len(scheduler.running)
        yield "num_queue_reqs", len(scheduler.waiting)
        yield "num_used_tokens", scheduler.tokens
        yield "token_usage", scheduler.usage
        yield "gen_throughput", scheduler.throughput
        yield "cache_hit_rate", scheduler.hit_rate
        yield "max_total_num_tokens", scheduler.capacity
        yield "max_running_requests", scheduler.max_running
        yield "context_len", self._server.context_length
        yield "weight_memory_usage_gb", card.weights
        yield "kv_cache_memory_usage_gb", card.kv
        yield "spec_accept_length", 2.5 if scheduler.speculative and scheduler.running else 0.0
        yield "spec_accept_rate", 0.5 if scheduler.speculative and scheduler.running else 0.0
        yield "num_paused_reqs", 0.0
        yield "utilization", 0.0

    # --- work

    async def _chat(self, http: HttpRequest) -> HttpResponse:
        return await completions.chat(self._server, http)

    async def _complete(self, http: HttpRequest) -> HttpResponse:
        return await completions.complete(self._server, http)

    async def _generate(self, http: HttpRequest) -> HttpResponse:
        return await completions.generate(self._server, http)

    # --- administration

    async def _flush_cache(self, http: HttpRequest) -> HttpResponse:
        if self._server.scheduler.flush_cache():
            return HttpResponse(200, b"Cache flushed.\n", "text/plain; charset=utf-8")
        return HttpResponse(400, b"Flush cache failed.\n", "text/plain; charset=utf-8")

    async def _abort(self, http: HttpRequest) -> HttpResponse:
        body = completions.read_object(http.body)
        self._server.scheduler.abort("" if body.get("abort_all") else str(body.get("rid") or "\0"))
        return HttpResponse(200)

    async def _pause(self, http: HttpRequest) -> HttpResponse:
        mode = completions.read_object(http.body).get("mode", "abort")
        if mode not in ("abort", "retract", "in_place"):
            return answer(completions.error_body(f"unknown mode {mode!r}", 400), 400)
        scheduler = self._server.scheduler
        scheduler.paused = True
        if mode == "abort":
            scheduler.abort()
        return answer({"message": "Generation paused successfully.", "status": "ok"})

    async def _continue(self, http: HttpRequest) -> HttpResponse:
        self._server.proceed()
        return answer({"message": "Generation continued successfully.", "status": "ok"})

    async def _release(self, http: HttpRequest) -> HttpResponse:
        await self._server.release(_tags(http))
        return answer(None)

    async def _resume(self, http: HttpRequest) -> HttpResponse:
        await self._server.resume(_tags(http))
        return answer(None)

    async def _slow_down(self, http: HttpRequest) -> HttpResponse:
        seconds = completions.read_object(http.body).get("forward_sleep_time")
        self._server.scheduler.delay = float(seconds) if isinstance(seconds, int | float) else 0.0
        return HttpResponse(200)

    async def _configure_logging(self, http: HttpRequest) -> HttpResponse:
        body = completions.read_object(http.body)
        console = self._server.console
        try:
            self._server.requests.configure(body)
            if isinstance(level := body.get("log_level"), str):
                console.set_level(level)
        except ValueError as error:
            console.log("ERROR:    Exception in ASGI application", "error")
            console.raw(f"Traceback (most recent call last):\nValueError: {error}\n")
            return HttpResponse(500, b"Internal Server Error", "text/plain; charset=utf-8")
        console.log(f"Config logging: obj=ConfigureLoggingReq({', '.join(f'{k}={v!r}' for k, v in body.items())})")
        return HttpResponse(200)

    async def _load_adapter(self, http: HttpRequest) -> HttpResponse:
        body = completions.read_object(http.body)
        return answer(*self._server.adapters.load(_word(body, "lora_name"), _word(body, "lora_path")))

    async def _unload_adapter(self, http: HttpRequest) -> HttpResponse:
        return answer(*self._server.adapters.unload(_word(completions.read_object(http.body), "lora_name")))


def _word(body: Mapping[str, object], field: str) -> str:
    """Raises BadBody."""
    if not isinstance(value := body.get(field), str):
        raise completions.BadBody(f"Object missing required field `{field}`")
    return value


def _tags(http: HttpRequest) -> list[str]:
    tags = completions.read_object(http.body).get("tags")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []

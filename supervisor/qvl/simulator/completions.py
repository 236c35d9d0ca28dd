"""Answers to generation requests: OpenAI's chat and completions, and SGLang's `/generate`; streaming or whole.

The text is a fixed function of the prompt. Tokens are counted, not computed: four bytes are one, an image is 256.
"""

import json
import os
import time
import zlib
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from qvl.simulator.scheduler import Request
from qvl.simulator.web import HttpRequest, HttpResponse, answer

if TYPE_CHECKING:
    from qvl.simulator.server import Server

_IMAGE_TOKENS = 256
_TEMPLATE_TOKENS = 8  # what a chat template adds
_ANSWER = (
    "the model looks at this picture and sees a quiet street with warm light on old stone where people walk slowly "
    "past small shops while rain begins to fall over green hills far beyond every river bridge"
)
_WORDS = _ANSWER.split()


class Prompt:
    """What was asked, reduced to what the simulation needs."""

    def __init__(self, text: str, images: int, chat: bool) -> None:
        self.key = zlib.crc32(text.encode("utf-8", "replace"))
        self.text = text
        self.images = images
        self.tokens = max(1, (len(text.encode("utf-8", "replace")) + 3) // 4)
        self.tokens += images * _IMAGE_TOKENS + (_TEMPLATE_TOKENS if chat else 0)

    def words(self, begin: int, end: int) -> str:
        """The answer's tokens from `begin` up to `end`."""
        parts = (_WORDS[(self.key + number * 7) % len(_WORDS)] for number in range(begin, end))
        text = "".join(f" {word}" for word in parts)
        return text[1:] if begin == 0 else text

    def natural_length(self) -> int:
        """How many tokens the answer has where nobody limits it."""
        return 24 + self.key % 104


async def chat(server: "Server", http: HttpRequest) -> HttpResponse:
    body = read_object(http.body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return _error("messages: Field required", 400)
    texts, images = [], 0
    for message in messages:
        if not isinstance(message, dict):
            return _error("messages: Input should be a valid dictionary", 400)
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, dict) and part.get("type") in ("image_url", "image", "video_url"):
                images += 1
                texts.append(json.dumps(part))
            elif isinstance(part, dict):
                texts.append(str(part.get("text", "")))
            else:
                texts.append(str(part))
    text = "\n".join(texts)
    prompt = Prompt(text, images, chat=True)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    server.requests.openai(body)
    return await _respond(server, http, body, prompt, limit, "chat")


async def complete(server: "Server", http: HttpRequest) -> HttpResponse:
    body = read_object(http.body)
    if "prompt" not in body:
        return _error("prompt: Field required", 400)
    prompt = Prompt(str(body["prompt"]), 0, chat=False)
    server.requests.openai(body)
    return await _respond(server, http, body, prompt, body.get("max_tokens", 16), "text")


async def generate(server: "Server", http: HttpRequest) -> HttpResponse:
    body = read_object(http.body)
    if not ("text" in body or "input_ids" in body):
        return answer({"error": {"message": "Either text, input_ids or input_embeds should be provided."}}, 400)
    text = str(body.get("text", body.get("input_ids")))
    images = body.get("image_data") or []
    sampling = body.get("sampling_params")
    sampling = sampling if isinstance(sampling, dict) else {}
    prompt = Prompt(text, len(images) if isinstance(images, list) else 1, chat=False)
    merged = {**sampling, **body}
    return await _respond(server, http, merged, prompt, sampling.get("max_new_tokens", 128), "generate")


async def _respond(
    server: "Server", http: HttpRequest, body: Mapping[str, object], prompt: Prompt, asked: object, shape: str
) -> HttpResponse:
    if asked is not None and (not isinstance(asked, int) or asked < 1):
        return _error(f"max_new_tokens must be at least 1, got {asked}.", 400)
    room = min(server.context_length, server.scheduler.capacity) - prompt.tokens
    if room < 1:
        return _error(
            f"The input ({prompt.tokens} tokens) is longer than the model's context length "
            f"({server.context_length} tokens).",
            400,
        )
    if asked is not None and asked > room:
        return _error(
            f"Requested token count exceeds the model's maximum context length of {server.context_length} tokens. "
            f"You requested a total of {prompt.tokens + asked} tokens: {prompt.tokens} tokens from the input messages "
            f"and {asked} tokens for the completion.",
            400,
        )
    most = server.settings.number("max_queued_requests")
    if most and len(server.scheduler.waiting) >= most:
        return _error("The request queue is full.", 503)
    if (adapter := body.get("lora_path")) and (wrong := server.adapters.use(str(adapter))) is not None:
        return answer({"error": {"message": wrong}}, 400)
    natural = prompt.natural_length()
    limit = min(asked or natural, room) if body.get("ignore_eos") else min(asked or natural, natural, room)
    streaming = bool(body.get("stream"))
    rid = str(body.get("rid") or os.urandom(16).hex())
    request = Request(rid, prompt.tokens, limit, key=prompt.key, streaming=streaming)
    request.reason = "stop" if limit == natural and not body.get("ignore_eos") else "length"
    server.generate(request)
    reply = _Reply(request, prompt, str(body.get("model") or server.settings.text("served_model_name")), shape)
    reply.adapter = adapter
    server.requests.received(rid, reply.asked())
    if streaming:
        options = body.get("stream_options")
        usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return HttpResponse(200, _stream(server, http, request, reply, usage), "text/event-stream; charset=utf-8")
    while request.finish is None:
        await _changed(server, http, request)
    server.requests.finished(rid, reply.asked(), reply.out())
    return answer(reply.whole())


async def _stream(
    server: "Server", http: HttpRequest, request: Request, reply: "_Reply", usage: bool
) -> AsyncGenerator[bytes, None]:
    sent = 0
    try:
        while request.finish is None or sent < request.produced:
            if sent == request.produced:
                await _changed(server, http, request)
                continue
            begin, sent = sent, request.produced
            yield _event(reply.part(begin, sent))
        server.requests.finished(request.rid, reply.asked(), reply.out())
        yield _event(reply.last())
        if usage and reply.shape != "generate":
            yield _event({**reply.head(chunk=True), "choices": [], "usage": reply.usage()})
        yield b"data: [DONE]\n\n"
    finally:
        if request.finish is None:  # the client left in the middle
            server.scheduler.abort(request.rid)


async def _changed(server: "Server", http: HttpRequest, request: Request) -> None:
    """Wait for the next token; abort the request of a client that has left, as SGLang does."""
    await request.changed.wait()
    request.changed.clear()
    if request.finish is None and http.gone():
        server.scheduler.abort(request.rid)


class _Reply:
    """The JSON of one answer, in one of three shapes: `chat`, `text` (completions) and `generate`."""

    def __init__(self, request: Request, prompt: Prompt, model: str, shape: str) -> None:
        self.shape = shape
        self.adapter: object = None
        """The name of a LoRA adapter."""
        self._request = request
        self._prompt = prompt
        self._model = model
        self._created = int(time.time())

    def head(self, chunk: bool) -> dict[str, object]:
        kinds = {"chat": "chat.completion.chunk" if chunk else "chat.completion", "text": "text_completion"}
        return {
            "id": self._request.rid,
            "object": kinds[self.shape],
            "created": self._created,
            "model": self._model,
        }

    def asked(self) -> dict[str, object]:
        """As the log of requests shows it."""
        request = self._request
        return {
            "rid": request.rid,
            "text": self._prompt.text,
            "sampling_params": {"max_new_tokens": request.limit},
            "stream": request.streaming,
            "lora_path": self.adapter,
        }

    def out(self) -> dict[str, object]:
        return self._generated(self._prompt.words(0, self._request.produced))

    def usage(self) -> dict[str, object]:
        request = self._request
        return {
            "prompt_tokens": request.prompt,
            "total_tokens": request.prompt + request.produced,
            "completion_tokens": request.produced,
            "prompt_tokens_details": {
                "cached_tokens": request.cached,
                "image_tokens": self._prompt.images * _IMAGE_TOKENS,
            },
            "reasoning_tokens": 0,
        }

    def whole(self) -> dict[str, object]:
        text = self._prompt.words(0, self._request.produced)
        if self.shape == "generate":
            return self._generated(text)
        choice: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": self._request.finish}
        choice["matched_stop"] = 151645 if self._request.finish == "stop" else None
        if self.shape == "chat":
            choice["message"] = {
                "role": "assistant",
                "content": text,
                "reasoning_content": None,
                "tool_calls": None,
            }
        else:
            choice["text"] = text
        metadata = {"weight_version": "default"}
        return {**self.head(chunk=False), "choices": [choice], "usage": self.usage(), "metadata": metadata}

    def part(self, begin: int, end: int) -> dict[str, object]:
        if self.shape == "generate":
            return self._generated(self._prompt.words(0, end))  # each event repeats the text so far
        return self._chunk(self._prompt.words(begin, end), begin == 0, None)

    def last(self) -> dict[str, object]:
        if self.shape == "generate":
            return self.whole()
        return self._chunk("", False, self._request.finish)

    def _chunk(self, text: str, first: bool, finish: str | None) -> dict[str, object]:
        choice: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": finish, "matched_stop": None}
        if self.shape == "chat":
            choice["delta"] = {"role": "assistant" if first else None, "content": text, "tool_calls": None}
        else:
            choice["text"] = text
        return {**self.head(chunk=True), "choices": [choice], "usage": None}

    def _generated(self, text: str) -> dict[str, object]:
        request = self._request
        meta = {
            "id": request.rid,
            "finish_reason": {"type": request.finish} if request.finish else None,
            "prompt_tokens": request.prompt,
            "completion_tokens": request.produced,
            "cached_tokens": request.cached,
            "weight_version": "default",
            "e2e_latency": time.monotonic() - request.arrived,
        }
        return {"text": text, "meta_info": meta}


class BadBody(Exception):
    """The body of a request is not a JSON object; the text says why."""


def read_object(body: bytes) -> Mapping[str, object]:
    """The JSON object of a request; an empty body is an empty object. Raises BadBody."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"JSON decode error: {error}") from None
    if not isinstance(value, dict):
        raise BadBody("Input should be a valid dictionary")
    return value


def error_body(message: str, status: int) -> dict[str, object]:
    """SGLang's error object, which is OpenAI's with `object` in it."""
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": status}


def _error(message: str, status: int) -> HttpResponse:
    return answer(error_body(message, status), status)


def _event(value: Mapping[str, object]) -> bytes:
    return b"data: %b\n\n" % json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

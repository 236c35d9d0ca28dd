"""The proof before a switch commits: a real completion, with an image too where the model sees."""

import asyncio

import httpx

from qvl.daemon.engine_client import EngineClient
from qvl.daemon.worker import Worker
from qvl.engines.base import Surface
from qvl.engines.picture import image_part, sees

TIMEOUT = 120.0
"""Seconds: the first request of a fresh worker may still compile kernels."""


async def smoke(client: EngineClient, worker: Worker, surface: Surface, key: str | None) -> str | None:
    """What is wrong with a worker that says it is ready; None: it answers."""
    if surface.smoke:
        fine, detail = await client.get(worker, surface.smoke, key, TIMEOUT)
        return None if fine else detail
    if not surface.openai:
        return None
    try:
        model, vision = await _model(client, worker, key)
        text: list[dict[str, object]] = [{"type": "text", "text": "Say hello."}]
        answer = await _ask(client, worker, key, "/v1/chat/completions", _chat(model, text))
        if _cannot_chat(answer) and (other := await _otherwise(client, worker, key, model)) is not None:
            return other[0]
        if (wrong := _wrong("a completion", answer, key)) is not None or not vision:
            return wrong
        answer = await _ask(client, worker, key, "/v1/chat/completions", _chat(model, [*text, image_part()]))
        return _wrong("a completion with an image", answer, key)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        return f"no completion: {type(error).__name__} {error}".strip()


async def _model(client: EngineClient, worker: Worker, key: str | None) -> tuple[str, bool]:
    """What the server calls its model, and whether that sees. SGLang tells both; of vLLM the model's files tell."""
    launch = worker.spec.launch
    if info := await client.fetch(worker, "/model_info", key):
        name = info.get("served_model_name") or info.get("model_path") or launch.model
        return str(name), bool(info.get("has_image_understanding"))
    data = (await client.fetch(worker, "/v1/models", key)).get("data")
    first = data[0] if isinstance(data, list) and data else None
    name = first.get("id") if isinstance(first, dict) else None
    return str(name or launch.model), await asyncio.to_thread(sees, launch)


def _chat(model: str, content: list[dict[str, object]]) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 4, "temperature": 0}


def _cannot_chat(answer: httpx.Response) -> bool:
    """As vLLM says it: of a model that isn't for talking, and of a tokenizer without a template. SGLang always can."""
    return answer.status_code == 404 or (answer.status_code == 400 and "chat template" in answer.text)


async def _otherwise(client: EngineClient, worker: Worker, key: str | None, model: str) -> tuple[str | None] | None:
    """What is wrong with the answer to another question than a chat; None where there is no such either."""
    prompts: tuple[tuple[str, dict[str, object]], ...] = (
        ("/v1/completions", {"model": model, "prompt": "Hello", "max_tokens": 4, "temperature": 0}),
        ("/v1/embeddings", {"model": model, "input": "Hello"}),
    )
    for path, body in prompts:
        answer = await _ask(client, worker, key, path, body)
        if answer.status_code != 404:
            return (_wrong("a completion" if path == "/v1/completions" else "an embedding", answer, key),)
    return None


async def _ask(client: EngineClient, worker: Worker, key: str | None, path: str, body: object) -> httpx.Response:
    return await client.post(worker, path, key, body, TIMEOUT)


def _wrong(what: str, answer: httpx.Response, key: str | None) -> str | None:
    if answer.status_code != 200:
        said = answer.text.replace(key, "[redacted]") if key else answer.text
        return f"{what} was answered with {answer.status_code}: {said[:200]}"
    document = answer.json()
    found = document.get("choices") or document.get("data") if isinstance(document, dict) else None
    return None if found else f"{what} came back without choices"

"""The proof before a switch commits: a real completion, with an image too where the model sees."""

import httpx

from qvl.daemon.engine_client import EngineClient
from qvl.daemon.worker import Worker
from qvl.engines.base import Surface
from qvl.engines.picture import image_part

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
        info = await client.fetch(worker, "/model_info", key)
        model = str(info.get("served_model_name") or info.get("model_path") or worker.spec.launch.model)
        text: list[dict[str, object]] = [{"type": "text", "text": "Say hello."}]
        if (wrong := await _complete(client, worker, key, model, text)) is not None:
            return wrong
        if info.get("has_image_understanding"):
            return await _complete(client, worker, key, model, [*text, image_part()])
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        return f"no completion: {type(error).__name__} {error}".strip()
    return None


async def _complete(
    client: EngineClient, worker: Worker, key: str | None, model: str, content: list[dict[str, object]]
) -> str | None:
    body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 4, "temperature": 0}
    answer = await client.post(worker, "/v1/chat/completions", key, body, TIMEOUT)
    what = "a completion with an image" if len(content) > 1 else "a completion"
    if answer.status_code != 200:
        said = answer.text.replace(key, "[redacted]") if key else answer.text
        return f"{what} was answered with {answer.status_code}: {said[:200]}"
    document = answer.json()
    choices = document.get("choices") if isinstance(document, dict) else None
    return None if choices else f"{what} came back without choices"

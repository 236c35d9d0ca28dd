"""The proof before a switch commits: a real completion, with an image too where the model sees."""

import base64
import struct
import zlib

import httpx

from qvl.daemon.prober import Prober
from qvl.daemon.worker import Worker
from qvl.engines.base import Surface

TIMEOUT = 120.0
"""Seconds: the first request of a fresh worker may still compile kernels."""


def png(side: int = 64) -> bytes:
    """A square picture with a gradient, made here so that no image library is needed."""
    rows = b"".join(
        b"\x00" + bytes(c for x in range(side) for c in (4 * x % 256, 4 * y % 256, 128)) for y in range(side)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def smoke(prober: Prober, worker: Worker, surface: Surface, key: str | None) -> str | None:
    """What is wrong with a worker that says it is ready; None: it answers."""
    if surface.smoke:
        fine, detail = await prober.get(worker, surface.smoke, key, TIMEOUT)
        return None if fine else detail
    if not surface.openai:
        return None
    try:
        info = await prober.fetch(worker, "/model_info", key)
        model = str(info.get("served_model_name") or info.get("model_path") or worker.spec.launch.model)
        text: list[dict[str, object]] = [{"type": "text", "text": "Say hello."}]
        if (wrong := await _complete(prober, worker, key, model, text)) is not None:
            return wrong
        if info.get("has_image_understanding"):
            url = "data:image/png;base64," + base64.b64encode(png()).decode()
            image: dict[str, object] = {"type": "image_url", "image_url": {"url": url}}
            return await _complete(prober, worker, key, model, [*text, image])
    except (httpx.HTTPError, TimeoutError, ValueError) as error:
        return f"no completion: {type(error).__name__} {error}".strip()
    return None


async def _complete(
    prober: Prober, worker: Worker, key: str | None, model: str, content: list[dict[str, object]]
) -> str | None:
    body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 4, "temperature": 0}
    answer = await prober.post(worker, "/v1/chat/completions", key, body, TIMEOUT)
    what = "a completion with an image" if len(content) > 1 else "a completion"
    if answer.status_code != 200:
        return f"{what} was answered with {answer.status_code}: {answer.text[:200]}"
    choices = answer.json().get("choices")
    return None if choices else f"{what} came back without choices"

"""A small picture, made here so that no image library is needed: what a model with vision is asked about in tests."""

import base64
import json
import struct
import zlib
from pathlib import Path

from qvl.model.spec import Launch


def png(side: int = 64) -> bytes:
    """A square with a gradient, `side` pixels wide."""
    rows = b"".join(
        b"\x00" + bytes(c for x in range(side) for c in (4 * x % 256, 4 * y % 256, 128)) for y in range(side)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def image_part() -> dict[str, object]:
    """The picture as a part of a chat message's content."""
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def sees(launch: Launch) -> bool:
    """Whether a model of this host has vision, by its config.json; no where its files aren't known, or where the
    profile takes pictures away from it. Reads the disk."""
    if any(key in launch.args for key in ("language-model-only", "limit-mm-per-prompt")):
        return False
    try:
        config = json.loads(Path(launch.model, "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "vision_config" in config

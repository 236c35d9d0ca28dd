"""Model directories as they lie on disks: right ones, and in each way wrong. Files of weights are holes, so that one of
100 GB costs nothing."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 4932307584\n"
TEXT: dict[str, Any] = {
    "model_type": "llama",
    "dtype": "bfloat16",
    "hidden_size": 4096,
    "max_position_embeddings": 131072,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
}
"""The keys of Llama 3.1 8B that decide about its cache: 128 KiB for each token."""


def shard(path: Path, size: int, dtype: str = "BF16", parts: int = 2) -> None:
    """A safetensors file whose tensors have `size` bytes together."""
    ends = [size * number // parts for number in range(parts + 1)]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for number in range(parts):
        offsets = ends[number : number + 2]
        header[f"layer.{number}"] = {"dtype": dtype, "shape": [offsets[1] - offsets[0]], "data_offsets": offsets}
    words = json.dumps(header).encode()
    path.write_bytes(len(words).to_bytes(8, "little") + words)
    os.truncate(path, 8 + len(words) + size)


def names(count: int) -> list[str]:
    return [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]


def model(path: Path, size: int = 1000, shards: int = 1, config: Any = None, leave_out: Sequence[int] = ()) -> Path:
    """A whole model of `size` bytes; without the shards of these numbers, from 1 on."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(TEXT if config is None else config))
    (path / "tokenizer.json").write_text("{}")
    if shards == 1:
        shard(path / "model.safetensors", size)
        return path
    files = names(shards)
    index = {"metadata": {"total_size": size}, "weight_map": {f"w{n}": file for n, file in enumerate(files)}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    for number, file in enumerate(files, 1):
        if number not in leave_out:
            shard(path / file, size // shards)
    return path

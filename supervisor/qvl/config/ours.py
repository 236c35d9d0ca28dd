"""Flags that engines get from qvl itself, and flags that would show a secret; by kind of engine."""

from collections.abc import Mapping
from typing import Final

from qvl.model.spec import EngineKind

_LISTENING: Final = {
    "host": "the pool's host says where it listens",
    "port": "the pool's port says where it listens",
    "model": "the profile's model names it",
    "config": "it is used to hand over the key",
}
_SGLANG: Final = {
    **_LISTENING,
    "nccl-port": "a free one outside every pool's range is chosen for each start",
    "model-path": "the profile's model names it",
    "base-gpu-id": "the pool's gpus say which",
}
_VLLM: Final = {
    **_LISTENING,
    "uds": "the pool's host and port say where it listens",
    "headless": "each worker is a whole server on this host",
    "grpc": "qvl asks its workers over HTTP",
}

OURS: Final[Mapping[EngineKind | None, Mapping[str, str]]] = {
    EngineKind.SGLANG: _SGLANG,
    EngineKind.SIMULATED: _SGLANG,
    EngineKind.VLLM: _VLLM,
    None: _SGLANG,
}
"""Flags that each worker gets from us, and where their values come from; a command has flags of its own. None: the
engine isn't known."""

_KEYS: Final = {"api-key": "api", "admin-api-key": "admin", "ssl-keyfile-password": "ssl-keyfile-"}

SECRETS: Final[Mapping[EngineKind | None, Mapping[str, str]]] = {
    EngineKind.VLLM: {**_KEYS, "hf-token": "hf-t"},
}
"""Flags whose value must never stand on a command line, with the shortest beginning that argparse takes for them."""


def ours(kind: EngineKind | None) -> Mapping[str, str]:
    return OURS.get(kind, {})


def secrets(kind: EngineKind | None) -> Mapping[str, str]:
    return SECRETS.get(kind, _KEYS)


def secret_hint(flag: str) -> str:
    """Where its value belongs."""
    if flag == "hf-token":
        return "put HF_TOKEN into the engine's env_file"
    return "put the key into a file and name it with the pool's api_key_file"

"""Where models that are named as on Hugging Face's hub lie on this host, and what is known of them before a download.

The layout, and the variables in this order, are those of the package `huggingface_hub`: HF_HUB_CACHE, HF_HOME/hub,
XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub; in it `models--OWNER--NAME/{refs,snapshots}`.
"""

import os
import re
from collections.abc import Mapping

import msgspec

PLACES = (
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"),
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SGLANG_USE_MODELSCOPE"),
)
"""The variables that decide where a model comes from."""

_NAME = re.compile(r"[\w][\w.-]*(?:/[\w][\w.-]*)?$")
_SIZE = re.compile(r"(?:^|[-_])(?P<count>\d+(?:\.\d+)?)[bB](?:[-_.]|$)")
_ONE_BYTE = re.compile(r"fp8|int8|w8a8|8bit|8-bit", re.IGNORECASE)
_HALF_BYTE = re.compile(r"awq|gptq|int4|4bit|4-bit|nvfp4|mxfp4|bnb|w4a16", re.IGNORECASE)
_TRUE = ("1", "ON", "YES", "TRUE")


class Cached(msgspec.Struct, frozen=True):
    """`folder`: what the cache keeps of a model, whether it is there or not. `snapshot`: the directory of the revision,
    empty where it isn't."""

    folder: str
    root: str
    snapshot: str = ""


def is_hub_name(model: str) -> bool:
    return _NAME.match(model) is not None


def offline(env: Mapping[str, str]) -> bool:
    return (env.get("HF_HUB_OFFLINE") or env.get("TRANSFORMERS_OFFLINE") or "").upper() in _TRUE


def find(model: str, env: Mapping[str, str], revision: str = "", download_dir: str = "") -> Cached:
    """`env`: of the engine's process. `download_dir`: the engine's flag of that name, which goes before the cache."""
    home = env.get("HOME", "/")
    root = download_dir or _root(env, home)
    root = home + root[1:] if root == "~" or root.startswith("~/") else root
    folder = os.path.join(root, f"models--{model.replace('/', '--')}")
    commit = revision or "main"
    try:
        with open(os.path.join(folder, "refs", commit), encoding="utf-8", errors="replace") as file:
            commit = file.read(200).strip()
    except OSError:
        pass  # no such branch: it may be a commit
    snapshot = os.path.join(folder, "snapshots", commit)
    return Cached(folder, root, snapshot if os.path.isdir(snapshot) else "")


def _root(env: Mapping[str, str], home: str) -> str:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if env.get(name):
            return env[name]
    base = env.get("HF_HOME") or os.path.join(env.get("XDG_CACHE_HOME") or f"{home}/.cache", "huggingface")
    return os.path.join(base, "hub")


def guessed_size(model: str) -> int | None:
    """Bytes of a model by its name, as `Qwen3-32B-FP8`; None where the name doesn't tell."""
    name = model.rpartition("/")[2]
    counts = [float(found["count"]) for found in _SIZE.finditer(name)]
    if not counts:
        return None
    each = 0.55 if _HALF_BYTE.search(name) else 1.0 if _ONE_BYTE.search(name) else 2.0
    return int(max(counts) * 1e9 * each)

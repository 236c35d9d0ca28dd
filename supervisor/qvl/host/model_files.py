"""A model on the disk: is it there, and is it whole? Reads names, sizes and headers, never weights.

A safetensors file begins with the length of its header, 8 bytes little-endian, then the header: JSON that names each
tensor's type and where it ends (https://huggingface.co/docs/safetensors, "Format"). So a file that is cut short shows
it. Models of several files have an index whose `weight_map` names them all.
"""

import contextlib
import glob
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

CONFIG = "config.json"
DIFFUSION = "model_index.json"
"""Of a model whose weights lie in directories of its parts."""
_OTHER_CONFIGS = ("params.json", DIFFUSION)
"""Mistral's own form, and that of diffusion models."""
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_TOKENIZERS = ("tokenizer", "tokenization_", "vocab.", "tekken.json", "spiece.model", "sentencepiece", "qwen.tiktoken")
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_NOT_WEIGHTS = ("consolidated", "training_args", "optimizer", "scheduler", "adapter_", "rng_state", "tokenizer")
"""Files that lie beside weights: Mistral's second copy, what training leaves."""
_NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.safetensors|\.bin)$")
_POINTER = b"version https://git-lfs"
_POINTER_SIZE = 1024
"""Bytes; a pointer of git-lfs has some 130."""
_HEADER_LIMIT = 100_000_000
"""Bytes of a header that the safetensors library itself accepts."""
_REMEMBERED = 64
"""Models whose last look is kept."""


class Flaw(msgspec.Struct, frozen=True):
    """A file that keeps a model from being loaded."""

    path: str
    what: str
    """`is missing`, `is empty`, …"""


class Survey(msgspec.Struct, frozen=True):
    """What a path holds."""

    path: str
    there: bool = True
    config: dict[str, Any] = {}
    stored: dict[str, int] = {}
    """Bytes of weights by element type; under an empty name where the files don't tell it."""
    flaws: tuple[Flaw, ...] = ()
    """The ones that are to come last, last."""
    shards: int = 0
    """Files of weights that belong to it, whether they are there or not."""
    tokenizer: bool = True


class _Tensor(msgspec.Struct):
    dtype: str = ""
    data_offsets: tuple[int, int] = (0, 0)


class _Index(msgspec.Struct):
    weight_map: dict[str, str] = {}


_Signature = tuple[tuple[str, int, int], ...]
_seen: dict[str, tuple[_Signature, Survey]] = {}


def survey(path: str) -> Survey:
    """What `path` holds: a directory, or one file (GGUF). A directory whose files have kept their names, sizes and
    times of change since the last look is not read again. OSError where it can't be read."""
    if os.path.isfile(path):
        flaw = flaw_of(path)
        size = os.path.getsize(path)
        return Survey(path, stored={"": size}, flaws=(Flaw(path, flaw),) if flaw else (), shards=1)
    try:
        signature = _signature(path)
    except NotADirectoryError:
        return Survey(path)  # a device or a pipe: the engine's business
    except FileNotFoundError:
        return Survey(path, there=False)
    before = _seen.pop(path, None)
    fresh = before[1] if before is not None and before[0] == signature else _look(path, {n: s for n, s, _ in signature})
    _seen[path] = (signature, fresh)  # the newest last
    while len(_seen) > _REMEMBERED:
        _seen.pop(next(iter(_seen)), None)
    return fresh


def _signature(path: str) -> _Signature:
    """Name, size and time of change of each entry; those of a link without an end are -1."""
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                stat = entry.stat()
                found.append((entry.name, stat.st_size, stat.st_mtime_ns))
            except OSError:
                found.append((entry.name, -1, -1))
    return tuple(sorted(found))


def _look(path: str, sizes: Mapping[str, int]) -> Survey:
    config, flaws = _config(path, sizes)
    names, unsure = _weights(path, sizes)
    stored: dict[str, int] = {}
    for name in names:
        file = os.path.join(path, name)
        what, types = _weigh(file, sizes[name] if name in sizes else _size(file))
        if what is not None:
            flaws.append(Flaw(file, what))
        for element, size in types.items():
            stored[element] = stored.get(element, 0) + size
    flaws += unsure
    if not names and not unsure and DIFFUSION not in sizes:
        flaws.append(Flaw(os.path.join(glob.escape(path), "*.safetensors"), "are missing: no file of weights is there"))
    tokenizer = any(name.startswith(_TOKENIZERS) or name.endswith((".tiktoken", ".gguf")) for name in sizes)
    return Survey(path, True, config, stored, tuple(flaws), len(names), tokenizer)


def _config(path: str, sizes: Mapping[str, int]) -> tuple[dict[str, Any], list[Flaw]]:
    file = os.path.join(path, CONFIG)
    if CONFIG not in sizes and (
        any(name in sizes for name in _OTHER_CONFIGS) or any(name.endswith(".gguf") for name in sizes)
    ):
        return {}, []
    if (what := flaw_of(file)) is not None:
        return {}, [Flaw(file, what)]
    return _json(file, dict[str, Any]) or {}, []


def _weights(path: str, sizes: Mapping[str, int]) -> tuple[list[str], list[Flaw]]:
    """The files of weights by name, from an index where there is one."""
    for name in _INDEXES:
        if name in sizes:
            file = os.path.join(path, name)
            if (what := flaw_of(file)) is not None:
                return [], [Flaw(file, what)]
            index = _json(file, _Index)
            if index is not None and index.weight_map:
                return sorted(set(index.weight_map.values())), []
    for suffix in _SUFFIXES:
        names = [name for name in sizes if name.endswith(suffix) and not name.startswith(_NOT_WEIGHTS)]
        if names:
            return sorted({*names, *_numbered(names)}), []
    return sorted(name for name in sizes if name.startswith("consolidated") and name.endswith(_SUFFIXES)), []


def _numbered(names: Iterable[str]) -> Iterable[str]:
    """All files of which `model-00001-of-00004.safetensors` is one."""
    for name in names:
        if (part := _NUMBERED.match(name)) is not None and int(part["count"]) < 1000:
            for number in range(1, int(part["count"]) + 1):
                yield f"{part['stem']}-{number:05d}-of-{part['count']}{part['suffix']}"


def _weigh(file: str, size: int) -> tuple[str | None, dict[str, int]]:
    """What is wrong with a file of weights, and what it holds when it is whole."""
    if (what := _small(file, size)) is not None:
        return what, {}
    if not file.endswith(".safetensors"):
        return None, {"": size}
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > _HEADER_LIMIT:
            return "is no safetensors file", {}
        if size < 8 + length:
            return f"is cut short: {size:,} bytes are there", {}
        header = opened.read(length)
    try:
        tensors = msgspec.json.decode(header, type=dict[str, _Tensor])
    except msgspec.ValidationError:
        return None, {"": size}  # a form of it that we don't know
    except msgspec.DecodeError:
        return "is no safetensors file", {}
    end = 8 + length + max((tensor.data_offsets[1] for tensor in tensors.values()), default=0)
    types: dict[str, int] = {}
    for tensor in tensors.values():
        first, last = tensor.data_offsets
        if last > first:
            types[tensor.dtype] = types.get(tensor.dtype, 0) + last - first
    return (f"is cut short: {size:,} of {end:,} bytes are there" if size < end else None), types


def _small(file: str, size: int) -> str | None:
    if size < 0:
        return "is missing"
    if size == 0:
        return "is empty"
    if size < _POINTER_SIZE:
        with open(file, "rb") as opened:
            if opened.read(len(_POINTER)) == _POINTER:
                return "is a pointer of git-lfs, not the file itself (git lfs pull)"
    return None


def flaw_of(file: str) -> str | None:
    """What keeps one file of a model from being read; None where nothing does."""
    size = _size(file)
    if file.endswith(_SUFFIXES):
        return _weigh(file, size)[0]
    what = _small(file, size)
    if what is None and file.endswith(".json") and _json(file, dict[str, Any]) is None:
        return "is no JSON object"
    return what


def _size(file: str) -> int:
    """In bytes; -1 for a file that isn't there."""
    try:
        return os.stat(file).st_size
    except (FileNotFoundError, NotADirectoryError, ValueError):  # an index may name anything, even what is no name
        return -1


def _json(file: str, kind: type[T]) -> T | None:
    with open(file, "rb") as opened:
        try:
            return msgspec.json.decode(opened.read(), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def has_come(path: str) -> bool:
    """Whether what was missing is there. A path with `*` is a pattern. A file of a model, config.json or weights, has
    come once it is whole: copying takes a while, and a start would fail until it is over."""
    if "*" in path:
        return bool(glob.glob(path))
    if path.endswith((*_SUFFIXES, f"/{CONFIG}", ".index.json")):
        with contextlib.suppress(OSError):  # there, and unreadable: the start will say so
            return flaw_of(path) is None
    return os.path.exists(path)

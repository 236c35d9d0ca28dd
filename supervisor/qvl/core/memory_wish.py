"""What a profile asks of a GPU's memory, from its arguments, in SGLang's words or in vLLM's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from qvl.core.placement import canonical, group_size
from qvl.model.spec import EngineKind, Launch

Json: TypeAlias = Mapping[str, Any]

VLLM_FRACTION = 0.9
"""Of the card's memory, where `gpu-memory-utilization` doesn't say otherwise."""
_PLAIN_LOADS = ("auto", "safetensors", "pt", "npcache", "layered", "fastsafetensors", "hf", "private")
_ELSEWHERE = ("offload", "language-only", "language-model-only", "encoder-only", "weight-cache-mode", "torchao-config")
"""Flags, or how they begin, with which the weights of a card can't be told from the files."""


class Wish(msgspec.Struct, frozen=True):
    """What a profile asks of memory, and how its engine names that."""

    tp: int
    """Ranks that share the weights of a layer."""
    pp: int
    attention_tp: int
    """Ranks that share the KV heads: fewer than `tp` with data-parallel attention."""
    cards: int
    fraction: float | None
    of_total: bool
    """The fraction is of the card's memory (vLLM), not of what is free at the start."""
    context: int | None
    tokens: int | None
    """The most KV tokens, where that is limited."""
    dtype: str
    kv_dtype: str
    quantization: str
    loads_files: bool
    """Weights come from files of this host in a usual form."""
    sure: bool
    """Nothing keeps weights elsewhere or changes the model."""
    fraction_flag: str
    context_flag: str
    draft: str
    draft_quantization: str


def wish_of(launch: Launch) -> Wish:
    args = canonical({**launch.args, **spoken(launch.raw_args)})
    vllm = launch.engine.kind is EngineKind.VLLM
    tp, pp, dp = (_whole(args.get(f"{name}-size")) or 1 for name in ("tp", "pp", "dp"))
    attention_dp = _whole(args.get("attn-dp-size")) or (dp if args.get("enable-dp-attention") is True else 1)
    fraction = _fraction(args.get("gpu-memory-utilization" if vllm else "mem-fraction-static"))
    overrides = _table(args.get("hf-overrides" if vllm else "json-model-override-args"))
    speculative = _table(args.get("speculative-config"))
    draft = speculative.get("model") or args.get("speculative-draft-model-path") or args.get("speculative-draft-model")
    elsewhere = any(name.startswith(_ELSEWHERE) or name.startswith("cpu-offload") for name in args)
    return Wish(
        tp=tp,
        pp=pp,
        attention_tp=max(1, tp // attention_dp),
        cards=group_size(args),
        fraction=VLLM_FRACTION if vllm and fraction is None else fraction,
        of_total=vllm,
        context=_whole(args.get("max-model-len" if vllm else "context-length")),
        tokens=_whole(args.get("max-total-tokens")),
        dtype=_word(args.get("dtype")),
        kv_dtype=_word(args.get("kv-cache-dtype")),
        quantization=_word(args.get("quantization")),
        loads_files=_word(args.get("load-format")) in ("", *_PLAIN_LOADS),
        sure=not (elsewhere or overrides),
        fraction_flag="gpu-memory-utilization" if vllm else "mem-fraction-static",
        context_flag="max-model-len" if vllm else "context-length",
        draft=draft if isinstance(draft, str) else "",
        draft_quantization=_word(args.get("speculative-draft-model-quantization")),
    )


def spoken(words: Sequence[str]) -> dict[str, bool | str]:
    """`--a 1 --b --c=2` as a table: what a profile hands over unchecked counts too."""
    found: dict[str, bool | str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            found[name] = value if equals else True
        elif name and found[name] is True:
            found[name] = word
    return found


def _whole(value: object) -> int | None:
    """A count, with the suffixes that the engines take: `32k`, `32Ki`."""
    if isinstance(value, bool) or value is None:
        return None
    text = str(value).strip()
    unit = {"k": 1000, "K": 1000, "Ki": 1024, "ki": 1024, "m": 10**6, "M": 10**6}
    ending = next((end for end in ("Ki", "ki", "k", "K", "m", "M") if text.endswith(end)), "")
    try:
        count = float(text.removesuffix(ending)) * unit.get(ending, 1)
    except ValueError:
        return None
    return int(count) if 0 < count < math.inf else None


def _fraction(value: object) -> float | None:
    try:
        share = float(str(value))
    except ValueError:
        return None
    return share if 0 < share <= 1 else None


def _word(value: object) -> str:
    return value.lower() if isinstance(value, str) else ""


def _table(value: object) -> Json:
    """A table, or JSON that is one."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    return value if isinstance(value, Mapping) else {}

"""Whether a model fits: from its config.json, the bytes of its weights and the memory of the cards to what is left for
the KV cache, and what is to be said of that. docs/capacity.md holds it against measured figures.

Pure. Sizes are in bytes and of one GPU. Conservative on purpose: weights count with the least that an engine can make
of them, and the engine with the most that it can take, so that what is called impossible is.

Sources: SGLang 0.5.3 to 0.5.23. KV heads of a GPU `max(1, heads // tp)` (`configs/model_config.py`); bytes of a token
`heads * (head_dim + v_head_dim) * layers * element size` (`model_executor/pool_configurator.py`, before that
`model_runner.py`); the pool `free after loading - free before * (1 - mem_fraction_static)`
(`mem_cache/kv_cache_configurator.py`). vLLM: `gpu_memory_utilization` of the card's total, 0.9 where unset.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from qvl.core.memory_wish import VLLM_FRACTION, Json, Wish
from qvl.model.concern import Concern
from qvl.model.worker import Cause

GIB = 1 << 30

CONTEXT_MEMORY = GIB
"""Of a card, what the driver and CUDA's context take before any weight. Measured on an H100: 1.0 GiB, and 1.6 more for
the process that hands images over, which not every card and setting has."""
LEFT_ASIDE = GIB + GIB // 2
"""What SGLang leaves without `mem-fraction-static`, the least of all versions (0.5.22; earlier ones 10 GiB of 80)."""
SURE = 1.05
"""Weights count as too big for a card from this times its memory on: a checkpoint may hold some that aren't loaded."""
COMFORTABLE = 0.85
"""Share of a card that weights may take, where a larger group is suggested."""
HIGHEST = 0.93
"""The largest fraction that is suggested; beyond it graphs and activations don't fit."""
FEW_TOKENS = 8192
"""Fewer KV tokens are worth a warning even if nobody asked for a longer context: an image alone may be 16,000."""

_HALVED = ("fp8", "mxfp8", "w8a8_fp8", "w8a8_int8", "modelopt_fp8", "int8", "experts_int8", "fbgemm_fp8", "ptpc_fp8")
_QUARTER = 0.25
_OTHER_ATTENTION = (
    *("kv_lora_rank", "full_attention_interval", "sliding_window_pattern", "attention_chunk_size", "block_configs"),
    *("linear_num_key_heads", "mamba_d_state", "mamba_num_heads", "ssm_state_size", "state_size", "index_topk"),
    *("hybrid_override_pattern", "layers_block_type", "attn_layer_period", "attn_layer_indices", "multi_query"),
    *("cross_attention_layers", "is_encoder_decoder", "swa_num_key_value_heads", "num_kv_shared_layers"),
)
"""Keys of models whose cache isn't so many bytes for each token: latent, linear, sliding or mixed attention."""
_TEXT = ("text_config", "llm_config", "language_config", "thinker_config")
_KV_BYTES = {
    **dict.fromkeys(("bf16", "bfloat16", "fp16", "float16", "half"), 2.0),
    **dict.fromkeys(("fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "int8"), 1.0),
}


class Weights(msgspec.Struct, frozen=True):
    """A model on the disk: its config.json, and its bytes by element type as safetensors names them; empty: unknown."""

    config: Json
    stored: dict[str, int]


class Room(msgspec.Struct, frozen=True):
    """A card. `free`: what this worker would find."""

    total: int
    free: int


class Estimate(msgspec.Struct, frozen=True):
    """Of the card with the least free memory."""

    weights: int
    cards: int
    total: int
    free: int
    static: int
    """What weights and KV cache may take together."""
    share: str
    """`static` in words."""
    per_token: int | None
    """None: not known for this kind of attention."""
    tokens: int | None
    """KV tokens that fit; 0 or less: the weights alone are more than `static`."""
    context: int | None

    @property
    def requests(self) -> float | None:
        """How many requests of full length fit."""
        return self.tokens / self.context if self.tokens is not None and self.context else None

    @property
    def sentence(self) -> str:
        """What is expected, for people."""
        each = "" if self.cards == 1 else f" of each of {self.cards} GPUs"
        said = f"about {gib(self.weights)} of weights{each}"
        if self.tokens is None or self.context is None:
            return said
        whole = f"{self.requests:.1f} requests of {self.context:,}" if self.requests else f"{self.context:,} a request"
        return f"{said}, and about {self.tokens:,} KV tokens ({whole})"


# ---- what a model takes


def text_config(config: Json) -> Json:
    """The part that describes the language model: the whole, or nested in that of a vision-language model."""
    for name in _TEXT:
        nested = config.get(name)
        if isinstance(nested, Mapping):
            inner = text_config(nested)
            if "num_hidden_layers" in inner:
                return inner
    return config


def has_vision(config: Json) -> bool:
    return "vision_config" in config or "visual" in config


def kv_bytes_per_token(config: Json, wish: Wish) -> int | None:
    """Of one GPU; None for a cache that isn't so many bytes for each token."""
    text = text_config(config)
    kinds = text.get("layer_types") or ["full_attention"]
    if any(text.get(name) for name in _OTHER_ATTENTION) or not isinstance(kinds, list):
        return None
    if any(kind != "full_attention" for kind in kinds):
        return None
    layers, heads, hidden = (
        _count(text.get(name)) for name in ("num_hidden_layers", "num_attention_heads", "hidden_size")
    )
    kv_heads = _count(text.get("num_key_value_heads", heads))
    element = _kv_element(config, wish)
    if not (layers and heads and kv_heads and element):
        return None
    head = _count(text.get("head_dim")) or (hidden // heads if hidden else None)
    if not head:
        return None
    both = head + (_count(text.get("v_head_dim")) or head)
    return int(max(1, kv_heads // wish.attention_tp) * both * math.ceil(layers / wish.pp) * element)


def _count(value: object) -> int | None:
    """A number above 0, as a configuration that is right has them."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _kv_element(config: Json, wish: Wish) -> float | None:
    if wish.kv_dtype and wish.kv_dtype != "auto":
        return _KV_BYTES.get(wish.kv_dtype)
    scheme = _quantized(config)
    if "kv_cache_quant_algo" in scheme or "kv_cache_scheme" in scheme:
        return 1.0 if scheme.get("kv_cache_quant_algo") or scheme.get("kv_cache_scheme") else 2.0
    return 4.0 if wish.dtype in ("float32", "float") else 2.0


def _quantized(config: Json) -> Json:
    for part in (config, text_config(config)):
        scheme = part.get("quantization_config") or part.get("compression_config")
        if isinstance(scheme, Mapping):
            return scheme
    return {}


def weights_of(model: Weights, wish: Wish, quantization: str) -> int:
    """The least that they take of one GPU, once loaded as the profile says."""
    shrink = 1.0
    if quantization and not _quantized(model.config):
        shrink = 0.5 if quantization in _HALVED else _QUARTER
    whole = wish.dtype in ("float32", "float")
    declared = str(text_config(model.config).get("dtype") or text_config(model.config).get("torch_dtype") or "")
    total = 0.0
    for element, size in model.stored.items():
        wide = element == "F32" or (not element and declared == "float32")
        factor = 0.5 if wide and not whole else 1.0  # engines load such weights as 16 bits unless told otherwise
        total += size * factor * (shrink if element in ("F32", "F16", "BF16", "") else 1.0)
    return int(total / (wish.tp * wish.pp))


def estimate(model: Weights, draft: Weights | None, wish: Wish, rooms: Sequence[Room]) -> Estimate | None:
    """None where nothing can be said: no card is known, or the weights aren't those of the files."""
    if not rooms or not wish.sure or not wish.loads_files or not sum(model.stored.values()):
        return None
    room = min(rooms, key=lambda each: each.free)
    weights = weights_of(model, wish, wish.quantization)
    per_token = kv_bytes_per_token(model.config, wish)
    if draft is not None:
        weights += weights_of(draft, wish, wish.draft_quantization)
        if per_token is not None:
            per_token += kv_bytes_per_token(draft.config, wish) or 0
    usable = max(0, room.free - CONTEXT_MEMORY)
    if wish.of_total:
        fraction = wish.fraction or VLLM_FRACTION
        static = min(usable, int(room.total * fraction) - CONTEXT_MEMORY)
        share = f"{fraction:g} of {gib(room.total)}"
    elif wish.fraction is not None:
        static, share = int(usable * wish.fraction), f"{wish.fraction:g} of {gib(usable)}"
    else:
        static, share = (
            max(0, usable - LEFT_ASIDE - wish.tp * wish.pp * GIB // 8),
            f"what is usable of {gib(room.free)}",
        )
    tokens = None if not per_token else (static - weights) // per_token
    if tokens is not None and wish.tokens is not None:
        tokens = min(tokens, wish.tokens)
    context = wish.context or _count(text_config(model.config).get("max_position_embeddings"))
    return Estimate(
        weights, wish.cards, min(each.total for each in rooms), room.free, static, share, per_token, tokens, context
    )


# ---- what is to be said of it


def concerns(found: Estimate, wish: Wish) -> list[Concern]:
    """At most one: what comes first makes the rest idle."""
    weights, each = gib(found.weights), "a GPU" if found.cards == 1 else f"each of {found.cards} GPUs"
    if found.weights > SURE * found.total:
        message = f"the weights take {weights} of {each} with {gib(found.total)}: they can't be loaded"
        return [Concern(message, _larger_group(found, wish), error=True, cause=Cause.OUT_OF_GPU_MEMORY)]
    if found.weights > found.free - CONTEXT_MEMORY:
        message = f"the weights take about {weights} of {each}, where {gib(found.free)} are free"
        held = found.weights <= COMFORTABLE * found.total
        return [Concern(message, "end what else holds memory of it" if held else _larger_group(found, wish))]
    if found.static <= found.weights:
        message = f"the weights, about {weights}, leave no room for a KV cache in {found.share}"
        return [Concern(message, _more_room(found, wish) or _larger_group(found, wish))]
    if found.tokens is None or found.per_token is None:
        return []
    limited = wish.tokens is not None and found.tokens >= wish.tokens
    wanted = wish.context if wish.context is not None else min(FEW_TOKENS, found.context or FEW_TOKENS)
    if found.tokens >= wanted:
        return []
    if limited:
        message = f"max-total-tokens is {wish.tokens:,}, and one request may have {wanted:,} tokens"
        return [Concern(message, f"raise max-total-tokens or lower {wish.context_flag}")]
    asked = f"{wish.context_flag} is {wanted:,}" if wish.context is not None else "that is little for a prompt"
    message = (
        f"about {found.tokens:,} KV tokens fit beside {weights} of weights in {found.share}, and {asked}"
        f"{f' ({gib(wanted * found.per_token)})' if wish.context is not None else ''}"
    )
    fewer = f"lower {wish.context_flag} to {_round(found.tokens):,}" if _round(found.tokens) else ""
    return [Concern(message, " or ".join(filter(None, (_more_room(found, wish), fewer))) or _larger_group(found, wish))]


def _more_room(found: Estimate, wish: Wish) -> str:
    """The fraction that would hold one request of full length, where there is one."""
    if wish.fraction is None:
        return ""
    need = found.weights + (wish.context or FEW_TOKENS) * (found.per_token or 0)
    share = (need + CONTEXT_MEMORY) / found.total if wish.of_total else need / max(1, found.free - CONTEXT_MEMORY)
    share = math.ceil(share * 100 + 1) / 100  # a hundredth more, since it is an estimate
    return f"raise {wish.fraction_flag} to {share:g}" if wish.fraction < share <= HIGHEST else ""


def _larger_group(found: Estimate, wish: Wish) -> str:
    group = wish.tp
    whole = found.weights * wish.tp
    while group <= 16 and whole / group > COMFORTABLE * found.total:
        group *= 2
    if group > 16 or group == wish.tp:
        return "serve a smaller or a quantized model"
    return f"serve it with tp-size = {group}, or a smaller or quantized model"


def _round(tokens: int) -> int:
    return tokens // 1024 * 1024


def gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"

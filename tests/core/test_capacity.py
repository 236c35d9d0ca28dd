"""The arithmetic of memory against what engines said of themselves, and what is warned of.

Figures: SGLang 0.5.17 with Qwen3-VL-8B's shape on an H100 (measured for this project); the others from logs that users
published, named where they are used. The configurations hold the keys that the public config.json files have.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.core.capacity import (
    CONTEXT_MEMORY,
    GIB,
    Estimate,
    Room,
    Weights,
    concerns,
    estimate,
    has_vision,
    kv_bytes_per_token,
    weights_of,
)
from qvl.core.memory_wish import Wish, spoken, wish_of
from qvl.model.concern import Concern
from qvl.model.spec import ArgValue, Engine, EngineKind, Launch
from qvl.model.worker import Cause

QWEN3_VL_8B: dict[str, Any] = {
    "architectures": ["Qwen3VLForConditionalGeneration"],
    "model_type": "qwen3_vl",
    "text_config": {
        "dtype": "bfloat16",
        "head_dim": 128,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "max_position_embeddings": 262144,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "vocab_size": 151936,
    },
    "vision_config": {"depth": 27, "hidden_size": 1152, "num_heads": 16},
}
QWEN3_32B = {
    "model_type": "qwen3",
    "torch_dtype": "bfloat16",
    "head_dim": 128,
    "hidden_size": 5120,
    "max_position_embeddings": 40960,
    "num_attention_heads": 64,
    "num_hidden_layers": 64,
    "num_key_value_heads": 8,
    "sliding_window": None,
    "use_sliding_window": False,
}
QWEN25_32B = {  # of Qwen2.5-32B, QwQ-32B; Qwen2.5-VL-32B's is flat as well and has the same keys
    "model_type": "qwen2",
    "torch_dtype": "bfloat16",
    "hidden_size": 5120,
    "max_position_embeddings": 32768,
    "num_attention_heads": 40,
    "num_hidden_layers": 64,
    "num_key_value_heads": 8,
    "sliding_window": 131072,
    "use_sliding_window": False,
}
QWEN3_235B_FP8 = {
    "model_type": "qwen3_moe",
    "torch_dtype": "bfloat16",
    "head_dim": 128,
    "hidden_size": 4096,
    "max_position_embeddings": 40960,
    "num_attention_heads": 64,
    "num_experts": 128,
    "num_hidden_layers": 94,
    "num_key_value_heads": 4,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}
LLAMA_31_8B = {
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "hidden_size": 4096,
    "max_position_embeddings": 131072,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
}
EAGLE3_8B = {
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "head_dim": 128,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 1,
    "num_key_value_heads": 8,
}
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "kv_lora_rank": 512,
    "num_attention_heads": 128,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
QWEN3_NEXT = {
    "model_type": "qwen3_next",
    "full_attention_interval": 4,
    "head_dim": 256,
    "hidden_size": 2048,
    "linear_num_key_heads": 16,
    "num_attention_heads": 16,
    "num_hidden_layers": 48,
    "num_key_value_heads": 2,
}
VL_8B_BYTES = 17_534_247_392
"""`metadata.total_size` of Qwen3-VL-8B-Instruct's index."""
QWEN25_32B_BYTES = 65_527_752_704

H100 = Room(81559 << 20, (81559 - 4) << 20)
"""An H100 80GB with nobody on it, as NVML counts it."""
L40S = Room(46068 << 20, 45500 << 20)


def wish(kind: EngineKind = EngineKind.SGLANG, raw: tuple[str, ...] = (), /, **args: ArgValue) -> Wish:
    words = {name.replace("_", "-"): value for name, value in args.items()}
    return wish_of(Launch(engine=Engine("e", kind), model="/models/m", args=words, raw_args=raw))


def found(config: dict[str, Any], size: int, rooms: list[Room], asked: Wish, element: str = "BF16") -> Estimate:
    made = estimate(Weights(config, {element: size}), None, asked, rooms)
    assert made is not None
    return made


def only(made: Estimate, asked: Wish) -> Concern:
    (concern,) = concerns(made, asked)
    return concern


# ---- bytes of a token


@pytest.mark.parametrize(
    ("config", "args", "tokens", "size"),
    [
        # SGLang 0.5.17 on an H100: "#tokens: 356176, K size: 24.46 GB, V size: 24.46 GB"
        (QWEN3_VL_8B, {}, 356176, 48.92),
        # a public log of QwQ-32B's shape with --tp 4: "#tokens: 46611, K size: 1.42 GB, V size: 1.42 GB"
        (QWEN25_32B, {"tp-size": 4}, 46611, 2.84),
        # vllm-project/vllm#21348, SGLang with Qwen3-235B-A22B-FP8 --tp 4: "#tokens: 367404, K size: 8.23 GB, V 8.23 GB"
        (QWEN3_235B_FP8, {"tp-size": 4}, 367404, 16.46),
        # SGLang 0.5.17's own pool of the EAGLE3 draft: "#tokens: 329847, K size: 0.63 GB, V size: 0.63 GB"
        (EAGLE3_8B, {}, 329847, 1.26),
    ],
)
def test_the_cache_that_engines_reported(
    config: dict[str, Any], args: dict[str, ArgValue], tokens: int, size: float
) -> None:
    per_token = kv_bytes_per_token(config, wish(**args))
    assert per_token is not None
    assert per_token * tokens / GIB == pytest.approx(size, abs=0.02)  # they round K and V to 0.01 each


@pytest.mark.parametrize(
    ("config", "args", "per_token"),
    [
        (QWEN3_32B, {}, 262144),
        (QWEN3_32B, {"tp-size": 2}, 131072),
        (LLAMA_31_8B, {}, 131072),
        (LLAMA_31_8B, {"kv-cache-dtype": "fp8_e5m2"}, 65536),
        (LLAMA_31_8B, {"kv-cache-dtype": "auto"}, 131072),
        (LLAMA_31_8B, {"kv-cache-dtype": "some_new_4_bit"}, None),
        (LLAMA_31_8B, {"tp-size": 16}, 16384),  # a GPU has one KV head at least
        (LLAMA_31_8B, {"tp-size": 8, "dp-size": 8, "enable-dp-attention": True}, 131072),
        (LLAMA_31_8B, {"pp-size": 4}, 32768),
        (DEEPSEEK_V3, {}, None),
        (QWEN3_NEXT, {}, None),
        ({**LLAMA_31_8B, "layer_types": ["full_attention"] * 32}, {}, 131072),
        ({**LLAMA_31_8B, "layer_types": ["sliding_attention", "full_attention"] * 16}, {}, None),
        ({"model_type": "gpt2", "n_layer": 12, "n_head": 12}, {}, None),
        ({}, {}, None),
        ({**LLAMA_31_8B, "num_key_value_heads": [8, 4]}, {}, None),
    ],
)
def test_bytes_of_a_token(config: dict[str, Any], args: dict[str, ArgValue], per_token: int | None) -> None:
    assert kv_bytes_per_token(config, wish(**args)) == per_token


# ---- weights


def test_weights_of_a_gpu_against_what_loading_took() -> None:
    """ "Load weight end … mem usage=16.52 GB" on one H100, and 15.54 GB of each of 4 for the 32B."""
    one = weights_of(Weights(QWEN3_VL_8B, {"BF16": VL_8B_BYTES}), wish(), "")
    assert one / GIB == pytest.approx(16.52, rel=0.02)
    four = weights_of(Weights(QWEN25_32B, {"BF16": QWEN25_32B_BYTES}), wish(tp_size=4), "")
    assert four / GIB == pytest.approx(15.54, rel=0.02)


def test_what_loading_makes_of_weights() -> None:
    def loaded(config: dict[str, Any], stored: dict[str, int], quantization: str = "", **args: ArgValue) -> int:
        return weights_of(Weights(config, stored), wish(**args), quantization)

    assert loaded(LLAMA_31_8B, {"F32": 1000}) == 500
    assert loaded(LLAMA_31_8B, {"F32": 1000}, dtype="float32") == 1000
    assert loaded(LLAMA_31_8B, {"": 1000}) == 1000
    assert loaded({**LLAMA_31_8B, "torch_dtype": "float32"}, {"": 1000}) == 500
    assert loaded(LLAMA_31_8B, {"BF16": 1000}, "fp8") == 500
    assert loaded(LLAMA_31_8B, {"BF16": 1000}, "bitsandbytes") == 250
    assert loaded(QWEN3_235B_FP8, {"F8_E4M3": 1000, "BF16": 10}, "fp8") == 1010, "it is quantized already"
    assert loaded(LLAMA_31_8B, {"BF16": 1000}, tp_size=2, pp_size=2) == 250


def test_an_eagle_draft_takes_of_both() -> None:
    """SGLang 0.5.17 with an EAGLE3 draft, whose weights took 2.36 GiB: 329,847 tokens instead of 356,176."""
    asked = wish(mem_fraction_static=0.85, context_length=32768)
    model, draft = Weights(QWEN3_VL_8B, {"BF16": VL_8B_BYTES}), Weights(EAGLE3_8B, {"BF16": int(2.36 * GIB)})
    alone, both = estimate(model, None, asked, [H100]), estimate(model, draft, asked, [H100])
    assert alone is not None
    assert alone.tokens is not None
    assert both is not None
    assert both.tokens is not None
    assert both.tokens / alone.tokens == pytest.approx(329847 / 356176, rel=0.01)


# ---- what fits


def test_the_tokens_that_an_h100_had_room_for() -> None:
    """356,176 were allocated; the CUDA context of the HTTP process, which the estimate leaves out, makes the rest."""
    asked = wish(mem_fraction_static=0.85, context_length=32768)
    made = found(QWEN3_VL_8B, VL_8B_BYTES, [H100], asked)
    assert made.tokens == pytest.approx(356176, rel=0.05)
    assert made.requests == pytest.approx(10.9, rel=0.05)
    assert concerns(made, asked) == []


def test_without_a_fraction_the_engine_takes_what_is_there() -> None:
    made = found(QWEN3_VL_8B, VL_8B_BYTES, [H100], wish())
    assert H100.free - 4 * GIB < made.static < H100.free
    assert made.context == 262144
    assert concerns(made, wish()) == []


def test_a_limit_of_tokens_is_a_limit() -> None:
    asked = wish(mem_fraction_static=0.85, max_total_tokens=20000, context_length=32768)
    made = found(QWEN3_VL_8B, VL_8B_BYTES, [H100], asked)
    assert made.tokens == 20000
    assert "max-total-tokens is 20,000" in only(made, asked).message
    fitting = wish(mem_fraction_static=0.85, max_total_tokens=20000, context_length=16384)
    assert concerns(found(QWEN3_VL_8B, VL_8B_BYTES, [H100], fitting), fitting) == []


def test_vllm_takes_its_fraction_of_the_whole_card() -> None:
    asked = wish(EngineKind.VLLM, gpu_memory_utilization=0.5, max_model_len=8192)
    made = found(QWEN3_VL_8B, VL_8B_BYTES, [H100], asked)
    assert made.static == int(H100.total * 0.5) - CONTEXT_MEMORY
    assert wish(EngineKind.VLLM).fraction == 0.9


# ---- what is said


def test_weights_that_no_card_of_the_group_can_hold() -> None:
    asked = wish()
    concern = only(found(QWEN25_32B, QWEN25_32B_BYTES, [L40S], asked), asked)
    assert concern.error
    assert concern.cause is Cause.OUT_OF_GPU_MEMORY
    assert concern.message == "the weights take 61.0 GiB of a GPU with 45.0 GiB: they can't be loaded"
    assert "tp-size = 2" in (concern.hint or "")
    halves = wish(tp_size=2)
    assert concerns(found(QWEN25_32B, QWEN25_32B_BYTES, [L40S, L40S], halves), halves) == []
    three = wish(tp_size=2)
    big = only(found(QWEN25_32B, 3 * QWEN25_32B_BYTES, [L40S, L40S], three), three)
    assert "each of 2 GPUs" in big.message


def test_the_smallest_card_of_a_group_decides() -> None:
    asked = wish(tp_size=2)
    busy = Room(H100.total, 30 * GIB)
    assert only(found(QWEN25_32B, 2 * QWEN25_32B_BYTES, [busy, L40S], asked), asked).error
    for rooms in ([H100, busy], [busy, H100]):
        assert "30.0 GiB are free" in only(found(QWEN25_32B, QWEN25_32B_BYTES, rooms, asked), asked).message


def test_weights_a_little_over_the_card_are_no_certainty() -> None:
    asked = wish()
    concern = only(found(QWEN25_32B, int(L40S.total * 1.03), [L40S], asked), asked)
    assert not concern.error
    assert "are free" in concern.message


def test_what_others_hold_is_missing() -> None:
    asked = wish()
    concern = only(found(QWEN3_VL_8B, VL_8B_BYTES, [Room(H100.total, 12 * GIB)], asked), asked)
    assert not concern.error
    assert "12.0 GiB are free" in concern.message
    assert "end what else" in (concern.hint or "")


def test_a_fraction_that_holds_no_cache() -> None:
    asked = wish(mem_fraction_static=0.3, context_length=32768)
    concern = only(found(QWEN3_VL_8B, VL_8B_BYTES, [L40S], asked), asked)
    assert not concern.error
    assert "leave no room for a KV cache in 0.3 of 43.4 GiB" in concern.message
    assert concern.hint == "raise mem-fraction-static to 0.49"  # (16.3 + 4.5) / 43.4, and a hundredth more


def test_the_fraction_that_is_advised_is_enough_and_hardly_more() -> None:
    asked = wish(mem_fraction_static=0.4, context_length=32768)
    concern = only(found(QWEN3_VL_8B, VL_8B_BYTES, [L40S], asked), asked)
    advised = float((concern.hint or "").split()[3])
    for fraction, enough in ((advised, True), (advised - 0.03, False)):
        asked = wish(mem_fraction_static=fraction, context_length=32768)
        assert (concerns(found(QWEN3_VL_8B, VL_8B_BYTES, [L40S], asked), asked) == []) is enough


def test_a_context_that_no_card_of_this_size_holds() -> None:
    asked = wish(mem_fraction_static=0.85, context_length=262144)
    concern = only(found(QWEN3_VL_8B, VL_8B_BYTES, [L40S], asked), asked)
    assert "KV tokens fit beside 16.3 GiB of weights" in concern.message
    assert "context-length is 262,144 (36.0 GiB)" in concern.message
    assert concern.hint is not None
    assert concern.hint.startswith("lower context-length to 14")
    assert concerns(found(QWEN3_VL_8B, VL_8B_BYTES, [L40S], wish()), wish()) == [], "nobody asked for the whole context"


def test_few_tokens_are_worth_a_warning_in_any_case() -> None:
    room = Room(24 << 30, int(18.9 * GIB) + CONTEXT_MEMORY)
    concern = only(found(QWEN3_VL_8B, VL_8B_BYTES, [room], wish()), wish())
    assert "that is little" in concern.message


@pytest.mark.parametrize(
    "args",
    [
        {"load-format": "dummy"},
        {"cpu-offload-gb": 20},
        {"json-model-override-args": {"num_hidden_layers": 2}},
        {"json-model-override-args": '{"num_hidden_layers": 2}'},
    ],
)
def test_nothing_is_said_where_the_files_don_t_tell(args: dict[str, ArgValue]) -> None:
    assert estimate(Weights(QWEN25_32B, {"BF16": 900 * GIB}), None, wish(**args), [L40S]) is None


def test_nothing_is_said_without_cards_or_weights() -> None:
    assert estimate(Weights(QWEN25_32B, {"BF16": 900 * GIB}), None, wish(), []) is None
    assert estimate(Weights(QWEN25_32B, {}), None, wish(), [L40S]) is None


def test_an_unknown_attention_leaves_the_weights() -> None:
    asked = wish(context_length=131072)
    made = found(DEEPSEEK_V3, 20 * GIB, [L40S], asked)
    assert (made.tokens, made.requests) == (None, None)
    assert concerns(made, asked) == []
    assert only(found(DEEPSEEK_V3, 688 * GIB, [L40S], asked), asked).error


# ---- what is asked


def test_words_of_a_command_line() -> None:
    assert spoken(["--a", "1", "--b", "--c=2", "stray", "-d"]) == {"a": "1", "b": True, "c": "2"}
    assert wish(EngineKind.SGLANG, ("--mem-fraction-static", "0.4", "--tp=2"), mem_fraction_static=0.9).fraction == 0.4
    assert wish(EngineKind.SGLANG, ("--tp=2",)).tp == 2


@pytest.mark.parametrize(
    ("said", "tokens"),
    [(4096, 4096), ("32k", 32000), ("32Ki", 32768), ("1m", 1_000_000), ("all", None), (True, None), (-1, None)],
)
def test_lengths_as_engines_take_them(said: ArgValue, tokens: int | None) -> None:
    assert wish(context_length=said).context == tokens


def test_drafts_by_each_name() -> None:
    assert wish(speculative_draft_model_path="/d").draft == "/d"
    assert wish(EngineKind.VLLM, speculative_config={"model": "/d"}).draft == "/d"
    assert wish().draft == ""


def test_vision() -> None:
    assert has_vision(QWEN3_VL_8B)
    assert not has_vision(LLAMA_31_8B)


# ---- anything may stand in a config.json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [*LLAMA_31_8B, "text_config", "head_dim", "v_head_dim", "layer_types", "quantization_config", "vision_config"]
)


@given(config=st.dictionaries(KEYS, JSON, max_size=8), whole=st.booleans())
def test_no_config_is_the_end(config: dict[str, Any], whole: bool) -> None:
    asked = wish(mem_fraction_static=0.5, context_length=32768, quantization="fp8")
    config = {**LLAMA_31_8B, **config} if whole else config
    concerns(found(config, VL_8B_BYTES, [H100], asked), asked)
    has_vision(config)

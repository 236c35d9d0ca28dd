"""What engines say at their start that they have room for is read as they say it, rank by rank."""

import pytest
from qvl.core.engine_capacity import GIB, read_capacity
from qvl.model.detail import EngineCapacity

from tests.core.corpus import lines


def gib(figure: float) -> int:
    return round(figure * GIB)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("0.5.17-h100-start", (gib(16.52), 356176, 2 * gib(24.46), 32768, 4096, gib(10.61))),
        ("0.5.17-h100-start-from-disk", (gib(16.52), 356020, 2 * gib(24.45), 32768, 4096, gib(10.45))),
        ("0.5.17-h100-nap-resume-first", (gib(1.25), 20000, 2 * gib(0.02), 4096, 2500, gib(58.0))),
        ("0.5.18-cpu-start", (None, 8192, None, 4096, 2048, gib(19.85))),
        ("0.5.23-cpu-start", (None, 8192, None, 4096, 2048, gib(21.08))),
        # A draft model's weights and cache come on top, and its capacity was never told.
        (
            "0.5.17-h100-draft-module-missing",
            (gib(16.52) + gib(2.36), 329847, 2 * gib(22.65) + 2 * gib(0.63), None, None, None),
        ),
        # vLLM doesn't tell how many requests it runs at once, nor, on a processor, what its weights take.
        ("vllm-0.32.0-cpu-start", (None, 1048576, gib(1.0), 1024, None, None)),
    ],
)
def test_a_real_start_says_what_there_is(name: str, told: tuple[int | None, ...]) -> None:
    assert read_capacity(lines(name)) == EngineCapacity(1, *told)


@pytest.mark.parametrize("name", ["0.5.17-h100-fail-flag", "0.5.17-h100-fail-path", "vllm-0.32.0-cpu-fail-flag"])
def test_one_that_came_to_nothing_says_nothing(name: str) -> None:
    assert read_capacity(lines(name)) is None


def test_each_rank_has_its_own_figures_and_they_are_not_added_up() -> None:
    said = [
        "[2026-01-02 03:04:05 TP1] Load weight end. elapsed=9.1 s, type=Qwen3, avail mem=60.0 GB, mem usage=8.50 GB.",
        "[2026-01-02 03:04:05 TP0] Load weight end. elapsed=9.0 s, type=Qwen3, avail mem=60.4 GB, mem usage=8.25 GB.",
        "[2026-01-02 03:04:06 TP0] KV Cache is allocated. #tokens: 90000, K size: 5.00 GB, V size: 5.00 GB",
        "[2026-01-02 03:04:06 TP1] KV Cache is allocated. #tokens: 90000, K size: 5.25 GB, V size: 5.25 GB",
        "[2026-01-02 03:04:09 TP0] max_total_num_tokens=89984, chunked_prefill_size=8192, max_prefill_tokens=16384, "
        "max_running_requests=2048, context_len=131072, available_gpu_mem=7.50 GB",
    ]
    assert read_capacity(said) == EngineCapacity(2, gib(8.5), 89984, gib(10.5), 131072, 2048, gib(7.5))


def test_of_ranks_that_serve_apart_the_smallest_room_counts() -> None:
    said = [
        f"[2026-01-02 03:04:05 DP{rank} TP{rank} EP{rank}] max_total_num_tokens={tokens}, chunked_prefill_size=8192, "
        f"max_prefill_tokens=16384, max_running_requests=2048, context_len=4096, available_gpu_mem={free} GB"
        for rank, tokens, free in ((0, 5000, 3.5), (1, 4000, 4.5))
    ]
    told = read_capacity(said)
    assert told is not None
    assert (told.kv_tokens, told.free) == (4000, gib(3.5))


def test_other_shapes_of_a_cache() -> None:
    shared = read_capacity(["[2026-01-02 03:04:05] KV Cache is allocated. #tokens: 400, KV size: 3.76 GB"])
    assert shared == EngineCapacity(kv_tokens=400, kv_bytes=gib(3.76))
    windowed = read_capacity(
        [
            "[2026-01-02 03:04:05] KV Cache is allocated. dtype: x, #tokens: 800, K size: 0.50 GB, V size: 0.50 GB",
            "[2026-01-02 03:04:05] KV Cache is allocated. dtype: x, #tokens: 200, K size: 0.25 GB, V size: 0.25 GB",
            "[2026-01-02 03:04:05] SWAKVPool mem usage: 1.50 GB, swa size: 200, full size: 800",
        ]
    )
    assert windowed == EngineCapacity(kv_tokens=800, kv_bytes=gib(1.5))


def test_a_draft_that_gives_memory_back_takes_nothing_from_the_weights() -> None:
    said = [f"[2026-01-02 03:04:05] Load weight end. elapsed=1 s, mem usage={gb} GB." for gb in ("82.97", "-1.86")]
    assert read_capacity(said) == EngineCapacity(weights=gib(82.97))


def test_vllm_on_cards() -> None:
    said = [
        "(Worker_TP0 pid=4633) INFO 11-26 06:42:15 [model_runner.py:3] Model loading took 8.32 GiB and 25.3 seconds",
        "(Worker_TP1 pid=4634) INFO 11-26 06:42:15 [model_runner.py:3] Model loading took 8.40 GiB memory and 2 s",
        "(Worker_TP0 pid=4633) INFO 11-26 06:42:16 [gpu_worker.py:298] Available KV cache memory: 51.98 GiB",
        "(EngineCore pid=4600) INFO 11-26 06:42:16 [kv_cache_utils.py:1] GPU KV cache size: 378,528 tokens",
        "(EngineCore pid=4600) INFO 11-26 06:42:16 [kv_cache_utils.py:2] Maximum concurrency for 8,192 tokens per "
        "request: 46.21x",
    ]
    assert read_capacity(said) == EngineCapacity(2, gib(8.4), 378528, gib(51.98), 8192, None, None)

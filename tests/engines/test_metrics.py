"""Real scrapes become the figures that people are shown."""

import math
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from qvl.engines.metrics import EngineSample, figures, parse, progressed, quantile

METRICS = Path(__file__).parents[1] / "data" / "metrics"
NAMES = sorted(path.stem for path in METRICS.glob("sglang-*.txt"))


H200_BUSY = {
    "realtime_tokens_total__mode_prefill_compute": 229590.0,
    "realtime_tokens_total__mode_prefill_cache": 167297.0,
}


def scrape(name: str, at: float = 0.0) -> EngineSample:
    return parse((METRICS / f"{name}.txt").read_text(), at)


def sample(at: float = 0.0, **lines: float) -> EngineSample:
    """Of `name{labels}` to value, written as `name__label_value`."""
    text = []
    for key, value in lines.items():
        name, _, label = key.partition("__")
        label, _, of = label.partition("_") if label.startswith("mode") else label.rpartition("_")
        text.append(f'sglang:{name}{{model_name="m"{f",{label}=" + chr(34) + of + chr(34) if label else ""}}} {value}')
    return parse("\n".join(text), at)


@pytest.mark.parametrize("name", NAMES)
def test_a_scrape_has_what_we_show(name: str) -> None:
    found = scrape(name)
    assert {"running", "queued", "kv_usage", "cache_hit_rate", "throughput"} <= found.gauges.keys()
    counted = found.counters.keys() - {"cached"}  # which is not there before the first hit
    assert counted == {"tokens", "prompt_tokens", "requests", "computed", "decoded"}
    assert found.ttft[float("inf")] > 0


def test_a_busy_engine() -> None:
    found = scrape("sglang-0.5.17-h100-busy")
    assert found.busy
    assert found.counters["tokens"] == 394.0  # both of streams and of whole answers
    assert found.counters["decoded"] == 4296.0
    assert found.ttft[0.4] == 58.0
    shown = figures([found])
    assert (shown.running, shown.queued, shown.kv_usage, shown.accept_length) == (64, 0, 0.08, None)
    assert shown.tokens_per_s is None  # one scrape tells no rate


def test_vllm_counts_tokens_while_it_makes_them() -> None:
    """One request of 900 tokens, of which 263 had been made beside the 8 of an earlier one; then all."""
    busy, idle = scrape("vllm-0.32.0-cpu-busy"), scrape("vllm-0.32.0-cpu-idle", 2.0)
    assert busy.busy
    assert not idle.busy
    assert busy.counters["decoded"] == 271.0
    assert busy.ttft[float("inf")] == 2
    shown = figures([busy, idle])
    assert (shown.running, shown.queued, shown.kv_usage) == (0, 0, 0.0)
    assert shown.tokens_per_s == (908 - 271) / 2
    assert progressed(busy, idle)


def test_vllms_ranks_share_the_requests_and_each_has_a_cache() -> None:
    text = "".join(
        f'vllm:{name}{{engine="{rank}"}} {value}\n'
        for name, values in {
            "num_requests_running": (3, 4),
            "num_requests_waiting": (0, 1),
            "gpu_cache_usage_perc": (0.2, 0.6),  # before 0.11
            "generation_tokens_total": (100, 200),
            "prefix_cache_queries_total": (50, 50),
            "prefix_cache_hits_total": (10, 30),
            "spec_decode_num_drafts_total": (10, 10),
            "spec_decode_num_accepted_tokens_total": (15, 25),
        }.items()
        for rank, value in enumerate(values)
    )
    nothing = parse("", 0.0)
    shown = figures([nothing, parse(text, 1.0)])
    assert (shown.running, shown.queued, shown.kv_usage) == (7, 1, 0.6)
    assert shown.tokens_per_s == 300
    assert shown.cache_hit_rate == 0.4
    assert shown.accept_length == 3.0


@pytest.mark.parametrize("name", ["sglang-0.5.17-h100-idle", "sglang-0.5.18-cpu-idle"])
def test_an_idle_engine(name: str) -> None:
    found = scrape(name)
    assert not found.busy
    shown = figures([found, scrape(name, 5.0)])
    assert (shown.running, shown.tokens_per_s, shown.kv_usage) == (0, 0.0, 0.0)
    assert (shown.ttft_p50_s, shown.ttft_p95_s) == (None, None)  # nothing was answered in this window


def test_the_rate_is_the_schedulers_while_long_requests_run() -> None:
    """Four requests decode 40 tokens a second each; none has ended."""
    first = sample(0.0, realtime_tokens_total__mode_decode=1000, generation_tokens_total=10, num_running_reqs=4)
    second = sample(5.0, realtime_tokens_total__mode_decode=1800, generation_tokens_total=10, num_running_reqs=4)
    assert figures([first, second]).tokens_per_s == 160.0


def test_cache_hits_are_of_all_prompts_of_the_window_and_not_of_the_last_batch() -> None:
    """Two scrapes of an H200 with 32 streams whose prompts share a third of their tokens; the gauge said 0 and 0.36."""
    fresh = sample(0.0, realtime_tokens_total__mode_prefill_compute=78, cache_hit_rate=0.0)
    assert figures([fresh]).cache_hit_rate is None
    loaded = sample(30.0, **H200_BUSY, cache_hit_rate=0.0)
    assert figures([fresh, loaded]).cache_hit_rate == 0.4216
    assert figures([loaded, sample(60.0, **H200_BUSY, cache_hit_rate=0.36)]).cache_hit_rate is None  # no prompt since


def test_without_counters_of_prompts_the_gauge_tells_of_cache_hits() -> None:
    assert figures([sample(cache_hit_rate=0.36)]).cache_hit_rate == 0.36


def test_without_its_counter_the_rate_is_the_gauge_of_a_working_engine() -> None:
    working = sample(5.0, gen_throughput=210.5, num_running_reqs=3)
    assert figures([working]).tokens_per_s == 210.5
    idle = sample(5.0, gen_throughput=210.5, num_running_reqs=0)
    assert figures([idle]).tokens_per_s == 0.0


def test_without_either_it_is_the_tokens_of_ended_requests() -> None:
    window = [sample(0.0, generation_tokens_total=100), sample(10.0, generation_tokens_total=600)]
    assert figures(window).tokens_per_s == 50.0


def test_a_restarted_counter_is_no_negative_rate() -> None:
    window = [sample(0.0, generation_tokens_total=900), sample(5.0, generation_tokens_total=10)]
    assert figures(window).tokens_per_s == 0.0


def test_ranks_that_tell_the_same_are_counted_once_and_replicas_each() -> None:
    ranks = sample(num_running_reqs__tp_rank_0=3, num_running_reqs__tp_rank_1=3)
    assert ranks.gauges["running"] == 3
    replicas = sample(num_running_reqs__dp_rank_0=3, num_running_reqs__dp_rank_1=4)
    assert replicas.gauges["running"] == 7
    assert sample(token_usage__dp_rank_0=0.2, token_usage__dp_rank_1=0.6).gauges["kv_usage"] == 0.6


def test_a_total_is_not_added_to_its_parts() -> None:
    queued = sample(num_queue_reqs=5, num_queue_reqs__priority_1=2, num_queue_reqs__priority_9=3)
    assert queued.gauges["queued"] == 5


def test_the_memory_of_an_idle_engine_is_free_whatever_its_gauge_says() -> None:
    assert figures([sample(token_usage=0.42, num_running_reqs=0)]).kv_usage == 0.0
    assert figures([sample(token_usage=0.42, num_running_reqs=1)]).kv_usage == 0.42
    assert figures([sample(token_usage=0.42)]).kv_usage == 0.42


def test_what_is_not_told_is_not_shown() -> None:
    shown = figures([parse("", 0.0), parse("python_info 1\n", 5.0)])
    assert {getattr(shown, field) for field in shown.__struct_fields__} == {None}


def test_a_speculating_engine_shows_its_acceptance() -> None:
    assert figures([sample(spec_accept_length=2.4)]).accept_length == 2.4


def test_no_number_is_no_figure() -> None:
    assert parse("sglang:token_usage NaN\nsglang:num_running_reqs +Inf\n", 0.0).gauges == {}


@pytest.mark.parametrize("text", ["sglang:num_running_reqs{", "sglang:num_running_reqs x", "sglang:num_running_reqs"])
def test_what_is_no_prometheus_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text, 0.0)


def test_a_page_of_something_else_has_no_figures() -> None:
    found = parse("<html><body>404</body></html>", 0.0)
    assert (found.gauges, found.counters, found.ttft) == ({}, {}, {})


def test_any_counter_that_moves_is_progress() -> None:
    old = sample(prompt_tokens_total=5, num_running_reqs=1)
    assert not progressed(old, sample(prompt_tokens_total=5, num_running_reqs=2))
    assert progressed(old, sample(prompt_tokens_total=6))
    assert progressed(old, sample(prompt_tokens_total=1))  # it was restarted
    assert progressed(None, old)


def test_latencies_are_of_the_window_alone() -> None:
    bucket = 'sglang:time_to_first_token_seconds_bucket{{le="{}"}} {}'
    old = parse("\n".join([bucket.format("0.1", 100), bucket.format("1.0", 100), bucket.format("+Inf", 100)]), 0.0)
    new = parse("\n".join([bucket.format("0.1", 100), bucket.format("1.0", 110), bucket.format("+Inf", 110)]), 9.0)
    shown = figures([old, new])
    assert (shown.ttft_p50_s, shown.ttft_p95_s) == (0.55, 0.955)


@pytest.mark.parametrize(
    ("buckets", "q", "value"),
    [
        # As histogram_quantile of Prometheus.
        ({}, 0.5, None),
        ({0.1: 0.0, float("inf"): 0.0}, 0.5, None),
        ({0.1: 10.0, 0.2: 10.0, float("inf"): 10.0}, 0.5, 0.05),
        ({0.1: 0.0, 0.2: 10.0, float("inf"): 10.0}, 0.5, 0.15),
        ({0.1: 5.0, 0.2: 5.0, float("inf"): 10.0}, 0.9, 0.2),
        ({0.1: 5.0, 0.2: 10.0, float("inf"): 10.0}, 1.0, 0.2),
    ],
)
def test_quantiles(buckets: dict[float, float], q: float, value: float | None) -> None:
    found = quantile(buckets, q)
    assert found == (None if value is None else pytest.approx(value))


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_quantile_is_never_lower(counts: list[int], low: float, high: float) -> None:
    total, buckets = 0.0, {}
    for i, count in enumerate(counts, 1):
        total += count
        buckets[i / 10] = total
    buckets[float("inf")] = total
    smaller, larger = quantile(buckets, min(low, high)), quantile(buckets, max(low, high))
    if total == 0:
        assert (smaller, larger) == (None, None)
    else:
        assert smaller is not None
        assert larger is not None
        assert 0 <= smaller <= larger <= len(counts) / 10


def test_the_time_between_tokens_of_a_busy_engine() -> None:
    found = scrape("sglang-0.5.17-h100-busy")
    assert (found.itl[0.008], found.itl[0.01], found.itl[math.inf]) == (315.0, 3997.0, 4189.0)
    shown = figures([parse("", -5.0), found])
    assert shown.itl_p50_s == pytest.approx(0.00897, abs=1e-5)
    assert shown.itl_p95_s == pytest.approx(0.00999, abs=1e-5)


def vllm_buckets(name: str, *counts: float) -> str:
    bounds = ("0.01", "0.1", "+Inf")
    return "".join(f'vllm:{name}_bucket{{le="{b}"}} {c}\n' for b, c in zip(bounds, counts, strict=True))


def test_vllm_tells_the_time_between_tokens_under_a_new_name_an_old_one_or_both() -> None:
    old = vllm_buckets("time_per_output_token_seconds", 10, 20, 20)
    new = vllm_buckets("inter_token_latency_seconds", 10, 20, 20)
    whole = vllm_buckets("request_time_per_output_token_seconds", 500, 500, 500)  # an average of each request
    for text in (old, new, new + old, old + new + whole):
        assert parse(text, 0.0).itl == {0.01: 10.0, 0.1: 20.0, math.inf: 20.0}
    assert parse(whole, 0.0).itl == {}

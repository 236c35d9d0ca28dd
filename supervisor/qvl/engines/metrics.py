"""Engine figures from a Prometheus text: the few that we show, put together over labels that differ between versions.

SGLang's names are of 0.4.9 to 0.5.23, vLLM's of 0.8.5 to 0.32.0. Four traps of SGLang's are known here: its
`generation_tokens_total` grows only when a request ends, so the rate comes from the scheduler's own counter, or where
there is none from its gauge. Gauges keep their last value while the engine is idle. `cache_hit_rate` is of the last
batch of prompts alone, 0 where that was the rest of a long one, so the share comes from counters of the window. With
`--enable-metrics-for-all-schedulers` each rank of a group tells the same, and with priorities the total stands beside
its parts; neither may be added up. While vLLM renamed a histogram it told it under both names.
The text is tens of kilobytes; only lines of wanted metrics reach the parser.
"""

import math
from collections import defaultdict
from collections.abc import Mapping

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from qvl.model.status import WorkerMetrics

_GAUGES = {
    "sglang:num_running_reqs": "running",
    "sglang:num_queue_reqs": "queued",
    "sglang:token_usage": "kv_usage",
    "sglang:cache_hit_rate": "cache_hit_rate",
    "sglang:spec_accept_length": "accept_length",
    "sglang:gen_throughput": "throughput",
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "queued",
    "vllm:kv_cache_usage_perc": "kv_usage",
    "vllm:gpu_cache_usage_perc": "kv_usage",  # before 0.11
}
_COUNTERS = {
    "sglang:generation_tokens_total": "tokens",
    "sglang:prompt_tokens_total": "prompt_tokens",
    "sglang:num_requests_total": "requests",
    "sglang:realtime_tokens_total": "realtime_tokens",
    "vllm:generation_tokens_total": "decoded",  # grows with each step
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:request_success_total": "requests",
    "vllm:prefix_cache_queries_total": "cache_queries",
    "vllm:prefix_cache_hits_total": "cache_hits",
    "vllm:gpu_prefix_cache_queries_total": "cache_queries",  # before 0.9.2
    "vllm:gpu_prefix_cache_hits_total": "cache_hits",
    "vllm:spec_decode_num_drafts_total": "drafts",
    "vllm:spec_decode_num_accepted_tokens_total": "accepted",
}
_MODES = {"decode": "decoded", "prefill_cache": "cached", "prefill_compute": "computed"}
"""Of `sglang:realtime_tokens_total`."""
_HISTOGRAMS = {
    "sglang:time_to_first_token_seconds_bucket": "ttft",
    "sglang:inter_token_latency_seconds_bucket": "itl",
    "vllm:time_to_first_token_seconds_bucket": "ttft",
    "vllm:inter_token_latency_seconds_bucket": "itl",
    "vllm:time_per_output_token_seconds_bucket": "itl",  # before 0.11; both stand there until 0.13
}
_WANTED = tuple((*_GAUGES, *_COUNTERS, *_HISTOGRAMS))
_SUMMED = ("running", "queued", "throughput")
_RANKS = ("tp_rank", "pp_rank", "moe_ep_rank")
"""Labels of processes that do the same work together. `dp_rank` is none: its processes share the requests."""


class EngineSample(msgspec.Struct, frozen=True):
    """One scrape. `at` is CLOCK_MONOTONIC seconds; buckets map upper bound (s) to cumulative count."""

    at: float
    gauges: dict[str, float]
    counters: dict[str, float]
    ttft: dict[float, float]
    itl: dict[float, float] = {}
    """Between two tokens of an answer. With vLLM: between two pieces, which hold several tokens where it speculates."""

    @property
    def busy(self) -> bool:
        return self.gauges.get("running", 0) > 0 or self.gauges.get("queued", 0) > 0


def parse(text: str, at: float) -> EngineSample:
    """ValueError where it is no Prometheus text."""
    lines = [line for line in text.splitlines() if line.startswith(_WANTED)]
    shares: dict[str, dict[frozenset[tuple[str, str]], float]] = defaultdict(dict)
    buckets: dict[str, dict[float, float]] = {}
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            if not math.isfinite(sample.value) or sample.labels.get("priority"):
                continue
            if sample.name in _HISTOGRAMS:
                counts, bound = buckets.setdefault(sample.name, {}), float(sample.labels["le"])
                counts[bound] = counts.get(bound, 0.0) + sample.value
            elif name := _name(sample.name, sample.labels):
                group = frozenset(label for label in sample.labels.items() if label[0] not in _RANKS)
                shares[name][group] = max(shares[name].get(group, sample.value), sample.value)
    gauges, counters = {}, {}
    for name, values in shares.items():
        if name not in _GAUGES.values():
            counters[name] = sum(values.values())
        else:
            gauges[name] = sum(values.values()) if name in _SUMMED else max(values.values())
    return EngineSample(at, gauges, counters, _histogram("ttft", buckets), _histogram("itl", buckets))


def _histogram(name: str, buckets: Mapping[str, dict[float, float]]) -> dict[float, float]:
    """The first of its metrics that is told: two names of one thing aren't added up."""
    return next((buckets[metric] for metric, of in _HISTOGRAMS.items() if of == name and metric in buckets), {})


def _name(metric: str, labels: Mapping[str, str]) -> str | None:
    if metric == "sglang:realtime_tokens_total" and (mode := _MODES.get(labels.get("mode", ""))):
        return mode
    return _GAUGES.get(metric) or _COUNTERS.get(metric)


def progressed(old: EngineSample | None, new: EngineSample) -> bool:
    """Whether any counter moved (a reset to a lower value is a move too)."""
    return old is None or old.counters != new.counters


def figures(window: list[EngineSample]) -> WorkerMetrics:
    """What to show: gauges of the newest scrape, the token rate since the one before, latencies of the whole window."""
    new = window[-1]
    old = window[-2] if len(window) > 1 else None
    ttft, itl = _delta(window[0].ttft, new.ttft), _delta(window[0].itl, new.itl)
    running, queued = new.gauges.get("running"), new.gauges.get("queued")
    usage = new.gauges.get("kv_usage")
    rate = _rate(old, new)
    return WorkerMetrics(
        running=None if running is None else int(running),
        queued=None if queued is None else int(queued),
        tokens_per_s=None if rate is None else round(rate, 1),
        kv_usage=0.0 if usage is not None and running == 0 else _rounded(usage),
        cache_hit_rate=_rounded(_hits(window)),
        accept_length=_rounded(new.gauges.get("accept_length") or _accepted(window)),  # 0: nothing is speculated
        ttft_p50_s=_rounded(quantile(ttft, 0.5)),
        ttft_p95_s=_rounded(quantile(ttft, 0.95)),
        itl_p50_s=_rounded(quantile(itl, 0.5), 5),
        itl_p95_s=_rounded(quantile(itl, 0.95), 5),
    )


def _rate(old: EngineSample | None, new: EngineSample) -> float | None:
    """Generated tokens a second."""
    if "decoded" not in new.counters and "throughput" in new.gauges:
        return new.gauges["throughput"] if new.gauges.get("running") else 0.0
    key = "decoded" if "decoded" in new.counters else "tokens"
    if old is None or new.at <= old.at or key not in new.counters:
        return None
    return max(0.0, new.counters[key] - old.counters.get(key, 0.0)) / (new.at - old.at)


def _hits(window: list[EngineSample]) -> float | None:
    """Tokens of prompts that were found in the cache, of all; None where no prompt came."""
    old, new = window[0].counters, window[-1].counters
    if "computed" in new:
        cached, computed = (max(0.0, new.get(of, 0.0) - old.get(of, 0.0)) for of in ("cached", "computed"))
        return cached / (cached + computed) if cached + computed > 0 else None
    return window[-1].gauges.get("cache_hit_rate", _share(window, "cache_hits", "cache_queries"))


def _share(window: list[EngineSample], part: str, whole: str) -> float | None:
    """What came to one counter for each that came to the other, within the window."""
    old, new = window[0].counters, window[-1].counters
    if part not in new or whole not in new:
        return None
    of = new[whole] - old.get(whole, 0.0)
    return max(0.0, new[part] - old.get(part, 0.0)) / of if of > 0 else None


def _accepted(window: list[EngineSample]) -> float | None:
    """Tokens of a step: those that were drafted rightly, and the one that the model itself gives."""
    share = _share(window, "accepted", "drafts")
    return None if share is None else 1 + share


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _delta(old: Mapping[float, float], new: Mapping[float, float]) -> dict[float, float]:
    return {bound: max(0.0, count - old.get(bound, 0.0)) for bound, count in new.items()}


def quantile(buckets: Mapping[float, float], q: float) -> float | None:
    """As Prometheus' histogram_quantile: linear within the bucket; None without observations."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank, below, lower = q * total, 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if math.isinf(bound) or count == below:
                return lower
            # At most the bound, which floating-point numbers may miss by their last digit.
            return min(bound, lower + (bound - lower) * (rank - below) / (count - below))
        below, lower = count, bound
    return lower

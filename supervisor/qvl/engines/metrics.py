"""Engine figures from a Prometheus text: the few that we show, summed over labels that differ between versions.

SGLang's names are of 0.4.9 to 0.5.23. `gen_throughput` and `token_usage` go stale when a worker is idle, so rates come
from counters. The text is tens of kilobytes; only lines of wanted metrics reach the parser.
"""

import math
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
}
_COUNTERS = {
    "sglang:generation_tokens_total": "tokens",
    "sglang:prompt_tokens_total": "prompt_tokens",
    "sglang:num_requests_total": "requests",
    "sglang:realtime_tokens_total": "realtime_tokens",
}
_TTFT = "sglang:time_to_first_token_seconds_bucket"
_WANTED = tuple((*_GAUGES, *_COUNTERS, _TTFT))
_SUMMED = ("running", "queued")


class EngineSample(msgspec.Struct, frozen=True):
    """One scrape. `at` is CLOCK_MONOTONIC seconds; buckets map upper bound (s) to cumulative count."""

    at: float
    gauges: dict[str, float]
    counters: dict[str, float]
    ttft: dict[float, float]

    @property
    def busy(self) -> bool:
        return self.gauges.get("running", 0) > 0 or self.gauges.get("queued", 0) > 0


def parse(text: str, at: float) -> EngineSample:
    """ValueError where it is no Prometheus text."""
    lines = [line for line in text.splitlines() if line.startswith(_WANTED)]
    gauges: dict[str, float] = {}
    counters: dict[str, float] = {}
    ttft: dict[float, float] = {}
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            if not math.isfinite(sample.value):
                continue
            if name := _GAUGES.get(sample.name):
                old = gauges.get(name, 0.0)
                gauges[name] = old + sample.value if name in _SUMMED else max(old, sample.value)
            elif name := _COUNTERS.get(sample.name):
                counters[name] = counters.get(name, 0.0) + sample.value
            elif sample.name == _TTFT:
                bound = float(sample.labels["le"])
                ttft[bound] = ttft.get(bound, 0.0) + sample.value
    return EngineSample(at, gauges, counters, ttft)


def progressed(old: EngineSample | None, new: EngineSample) -> bool:
    """Whether any counter moved (a reset to a lower value is a move too)."""
    return old is None or old.counters != new.counters


def figures(window: list[EngineSample]) -> WorkerMetrics:
    """What to show: gauges of the newest scrape, the token rate since the one before, latencies of the whole window."""
    new = window[-1]
    old = window[-2] if len(window) > 1 else None
    rate = None
    if old is not None and new.at > old.at:
        rate = max(0.0, new.counters.get("tokens", 0.0) - old.counters.get("tokens", 0.0)) / (new.at - old.at)
    recent = _delta(window[0].ttft, new.ttft)
    running, queued = new.gauges.get("running"), new.gauges.get("queued")
    return WorkerMetrics(
        running=None if running is None else int(running),
        queued=None if queued is None else int(queued),
        tokens_per_s=None if rate is None else round(rate, 1),
        kv_usage=_rounded(new.gauges.get("kv_usage")),
        cache_hit_rate=_rounded(new.gauges.get("cache_hit_rate")),
        accept_length=_rounded(new.gauges.get("accept_length") or None),  # 0 where nothing is speculated
        ttft_p50_s=_rounded(quantile(recent, 0.5)),
        ttft_p95_s=_rounded(quantile(recent, 0.95)),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


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
            return lower + (bound - lower) * (rank - below) / (count - below)
        below, lower = count, bound
    return lower

"""The figures of `/metrics`, in SGLang's names, labels and buckets (0.5.18).

Only what the scheduler and the HTTP side count is kept; gauges are read when the page is asked for.
"""

from collections.abc import Iterable, Sequence

_TIME = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0)
BUCKETS: dict[str, Sequence[float]] = {
    "time_to_first_token_seconds": _TIME,
    "e2e_request_latency_seconds": (*_TIME, 600.0, 1200.0, 1800.0, 2400.0),
    "inter_token_latency_seconds": (
        *(0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08),
        *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0),
    ),
    "queue_time_seconds": (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0),
}
_HELP = {
    "prompt_tokens_total": "Number of prefill tokens processed.",
    "generation_tokens_total": "Number of generation tokens processed.",
    "num_requests_total": "Number of requests processed.",
    "num_aborted_requests_total": "Number of requests aborted.",
    "cached_tokens_total": "Number of cached prompt tokens by source (device/host/storage).",
    "realtime_tokens_total": "Total number of tokens processed (updated on each log interval).",
    "http_requests_total": "Total number of HTTP requests by endpoint and method",
    "http_responses_total": "Total number of HTTP responses by endpoint and status code",
    "time_to_first_token_seconds": "Histogram of time to first token in seconds.",
    "e2e_request_latency_seconds": "Histogram of End-to-end request latency in seconds",
    "inter_token_latency_seconds": "Histogram of inter-token latency in seconds.",
    "queue_time_seconds": "Histogram of queueing time in seconds.",
}
Label = tuple[str, str]
Labels = tuple[Label, ...]


class Metrics:
    """Counters and histograms, and the text of the page."""

    def __init__(self, model: str) -> None:
        self._model = (("engine_type", "unified"), ("model_name", model))
        self._rank = (*self._model, ("moe_ep_rank", "0"), ("pp_rank", "0"), ("tp_rank", "0"))
        self._counters: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {}

    def count(self, name: str, amount: float, *labels: Label) -> None:
        """Add to a counter of the tokenizer, which knows the model but no rank."""
        self._add(name, (*self._model, *labels), amount)

    def count_rank(self, name: str, amount: float, *labels: Label) -> None:
        """Add to a counter of the scheduler."""
        self._add(name, (*self._rank, *labels), amount)

    def count_http(self, name: str, *labels: Label) -> None:
        """Add one to a counter of the web server, which knows no model."""
        self._add(name, labels, 1)

    def observe(self, name: str, seconds: float, times: int, *labels: Label) -> None:
        """Add the same duration `times` times."""
        series = self._histograms.setdefault(name, {})
        key = (*(self._rank if name == "queue_time_seconds" else self._model), *labels)
        series.setdefault(key, _Histogram(BUCKETS[name])).add(seconds, times)

    def page(self, gauges: Iterable[tuple[str, float]]) -> str:
        lines: list[str] = []
        for name, counters in self._counters.items():
            lines += _head(name, "counter")
            lines += [_line(name, labels, value) for labels, value in counters.items()]
        for name, histograms in self._histograms.items():
            lines += _head(name, "histogram")
            for labels, histogram in histograms.items():
                lines += histogram.lines(name, labels)
        for name, value in gauges:
            lines += [*_head(name, "gauge"), _line(name, self._rank, value)]
        return "\n".join(lines) + "\n"

    def _add(self, name: str, labels: Labels, amount: float) -> None:
        series = self._counters.setdefault(name, {})
        series[labels] = series.get(labels, 0) + amount


class _Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float, times: int) -> None:
        at = next((index for index, bound in enumerate(self._bounds) if value <= bound), len(self._bounds))
        self._counts[at] += times
        self._sum += value * times

    def lines(self, name: str, labels: Labels) -> Iterable[str]:
        yield _line(f"{name}_sum", labels, self._sum)
        seen = 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            seen += count
            yield _line(f"{name}_bucket", (*labels, ("le", bound)), seen)
        yield _line(f"{name}_count", labels, seen)


def _head(name: str, kind: str) -> list[str]:
    about = _HELP.get(name, name.replace("_", " ").capitalize() + ".")
    return [f"# HELP sglang:{name} {about}", f"# TYPE sglang:{name} {kind}"]


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in sorted(labels))
    return f"sglang:{name}{{{inside}}} {float(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

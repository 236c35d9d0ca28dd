"""The top of a worker's screen: how it is in one sentence, where it serves, and what to do."""

from datetime import datetime

from qvl.model.status import GatewayStatus, WorkerMetrics, WorkerStatus
from qvl.model.worker import Phase

from qvl_tui.format import UNKNOWN, age, latency, percent, rate
from qvl_tui.paint import Line, Span, Tone, clip, join, wrap
from qvl_tui.sentences import reason, state, why
from qvl_tui.store import Store

_GAP: Span = ("   ", Tone.MUTED)


def banner_line(worker: WorkerStatus, store: Store, now: datetime | None, width: int) -> Line:
    """State, since when, why, and what comes next."""
    known = state(worker)
    asked = store.asked.get(worker.name)
    since = "" if now is None else f" for {age((now - worker.since).total_seconds())}"
    text = reason(worker) if worker.phase is Phase.FAILED else why(worker, now)
    line: Line = (
        (f" {known.glyph} {known.word}{since}", known.tone),
        (f"  {asked.verb} asked" if asked else "", Tone.ACCENT),
        (f" · {text}" if text else "", known.tone if known.tone in (Tone.WARN, Tone.BAD) else Tone.MUTED),
    )
    return clip(line, width)


def head_lines(worker: WorkerStatus, store: Store, now: datetime | None, width: int) -> tuple[Line, ...]:
    """Two lines of facts, and what to do where there is something to do."""
    lines: list[Line] = [clip(join(_facts(worker), _GAP), width), clip(join(_figures(worker, store), _GAP), width)]
    last = worker.last_exit
    todo = worker.hint or (last.hint if last is not None and not worker.ready else None)
    if todo:
        parts = wrap(todo, max(width - 4, 8))[:2]
        lines += [((" → " if n == 0 else "   ", Tone.ACCENT), (part, Tone.ACCENT)) for n, part in enumerate(parts)]
    return tuple(lines)


def _facts(worker: WorkerStatus) -> list[Line]:
    cards = ", ".join(str(gpu) for gpu in worker.gpus)
    facts: list[Line] = [
        ((f" {worker.endpoint or UNKNOWN}", Tone.STRONG),),
        ((worker.profile, Tone.TEXT), (" on ", Tone.FAINT), (worker.engine, Tone.TEXT)),
        (("pid ", Tone.FAINT), (str(worker.pid) if worker.pid else UNKNOWN, Tone.TEXT)),
    ]
    if cards:
        facts.append((("GPU ", Tone.FAINT), (cards, Tone.TEXT)))
    if worker.restarts:
        budget = f"/{worker.max_restarts}" if worker.max_restarts else ""
        facts.append((("restarts ", Tone.FAINT), (f"{worker.restarts}{budget}", Tone.WARN)))
    return facts


def _figures(worker: WorkerStatus, store: Store) -> list[Line]:
    if isinstance(worker, GatewayStatus):
        return _front(worker)
    figures = store.shown.metrics.get(worker.name)
    if figures is None or figures == WorkerMetrics():
        return [((" pool ", Tone.FAINT), (worker.pool, Tone.TEXT))]
    known = (
        ("running", rate(figures.running)),
        ("queued", rate(figures.queued)),
        ("tok/s", rate(figures.tokens_per_s)),
        ("ttft", latency(figures.ttft_p50_s)),
        ("KV", percent(figures.kv_usage)),
        ("cache hits", percent(figures.cache_hit_rate)),
        ("accepted", "" if figures.accept_length is None else f"{figures.accept_length:.1f}"),
    )
    spans: list[Line] = [((f"{label} ", Tone.FAINT), (value, Tone.TEXT)) for label, value in known if value]
    return [((" ", Tone.TEXT), *spans[0]), *spans[1:]]


def _front(front: GatewayStatus) -> list[Line]:
    """What a gateway does: whom it sends requests to, and how that goes."""
    behind = ", ".join(front.routed) or "nobody"
    external = [server for server in front.external if not server.healthy]
    lines: list[Line] = [
        ((" sends to ", Tone.FAINT), (behind, Tone.TEXT if front.routed else Tone.WARN)),
        (("requests ", Tone.FAINT), (rate(front.requests), Tone.TEXT)),
        (("failed ", Tone.FAINT), (rate(front.failed), Tone.WARN if front.failed else Tone.TEXT)),
        (("retried ", Tone.FAINT), (rate(front.retried), Tone.TEXT)),
    ]
    if external:
        lines.append((("away ", Tone.FAINT), (", ".join(server.url for server in external), Tone.WARN)))
    return lines

"""The workers, a line each. A ready one shows its figures; any other uses the same room to say why it is not and what
comes next, so that nothing important needs a second line."""

from dataclasses import dataclass
from datetime import datetime

from qvl.model.status import GatewayStatus, WorkerMetrics, WorkerStatus
from qvl.model.worker import Phase

from qvl_tui.format import UNKNOWN, bar, count, duration, latencies, percent, rate, spark
from qvl_tui.paint import Line, Span, Tone, cell_len, clip, cut, left, pad, right
from qvl_tui.sentences import kv_tone, state, waits_up, why
from qvl_tui.store import Store

_STATE = 15
_MARK = 3
_COUNTS = 19
"""Cells of the figures that are always there: run, queue, tok/s."""
_TTFT = 12
_HITS = 7
_ACCEPT = 8


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in cells; 0: left out. They depend on the screen and the names only, never on figures, so that nothing
    moves sideways while one looks."""

    name: int
    profile: int
    figures: int
    note: int
    spark: int
    ttft: int
    meter: int
    hits: int
    accept: int
    restarts: int
    gpu: int
    port: int


def columns(workers: list[WorkerStatus], width: int) -> Columns:
    name = min(max((cell_len(worker.name) for worker in workers), default=0), 28 if width >= 100 else 18)
    name = max(name, len("worker")) + 2
    profile = min(max((cell_len(worker.profile) for worker in workers), default=0), 20)
    profile = max(profile, len("profile")) + 2 if width >= 140 else 0
    restarts, gpu, port = (9, 6, 7) if width >= 112 else (0, 0, 0)
    room = width - _MARK - 1 - name - _STATE - profile - restarts - gpu - port
    kv = 5
    rest = room - _COUNTS - kv
    ttft = _TTFT if rest >= _TTFT else 0
    rest -= ttft
    hits = _HITS if rest >= _HITS else 0
    rest -= hits
    accept = _ACCEPT if rest >= 30 else 0
    rest -= accept
    meter = 0 if rest < 13 else 12 if rest >= 40 else 7
    rest -= meter
    chart = 0 if rest < 5 else min(rest, 25 if width >= 150 else 17 if width >= 100 else 11)
    figures = room - rest + chart
    note = room - figures if room - figures >= 16 else 0
    return Columns(name, profile, room - note, note, chart, ttft, meter, hits, accept, restarts, gpu, port)


def head(c: Columns, needle: str = "") -> Line:
    """The headings; a filter that hides rows stands over the names it was matched with."""
    figures = right("run", 4) + right("queue", 7) + right("tok/s", 8) + " " * c.spark
    figures += right("ttft 50/95", c.ttft) if c.ttft else ""
    figures += ("  " + left("kv cache" if c.meter > 8 else "kv", c.meter + 3)) if c.meter else right("kv", 5)
    figures += right("hits", c.hits) if c.hits else ""
    figures += right("accept", c.accept) if c.accept else ""
    name: Span = (left(f"/{needle}" if needle else "worker", c.name), Tone.ACCENT if needle else Tone.FAINT)
    text = left("state", _STATE) + left("profile", c.profile)
    text += (
        left(figures, c.figures + c.note) + right("restarts", c.restarts) + right("gpu", c.gpu) + right("port", c.port)
    )
    return (" " * _MARK, Tone.FAINT), name, (text, Tone.FAINT)


def row(worker: WorkerStatus, store: Store, now: datetime | None, c: Columns, chosen: bool) -> Line:
    known = state(worker)
    ask = store.asked.get(worker.name)
    word, tone = (f"{ask.verb} asked", Tone.ACCENT) if ask else (known.word, known.tone)
    if waits_up(worker) and not ask:
        word, tone = "waiting", Tone.WARN
    line: list[Span] = [
        (" › " if chosen else "   ", Tone.ACCENT),
        (left(worker.name, c.name - 2) + "  ", Tone.STRONG if chosen else Tone.TEXT),
        (known.glyph, known.tone),
        (left(" " + word, _STATE - 1), tone),
        (left(worker.profile, c.profile), Tone.MUTED),
    ]
    if worker.phase is Phase.RUNNING and worker.ready:
        if isinstance(worker, GatewayStatus):
            line += pad(clip(((" " + routing(worker), Tone.MUTED),), c.figures + c.note - 1), c.figures + c.note)
        else:
            note = why(worker, now)
            line += pad(_figures(worker, store, c), c.figures)
            line.append((left(f"  {note}" if note else "", c.note), Tone.WARN if worker.drift else Tone.MUTED))
    else:
        line += pad(_instead(worker, now, c.figures + c.note - 1), c.figures + c.note)
    restarts = f"{worker.restarts}" if worker.restarts else "·"
    line += [
        (right(restarts, c.restarts), Tone.WARN if worker.restarts else Tone.FAINT),
        (right(_gpus(worker), c.gpu), Tone.MUTED),
        (right(str(worker.port or UNKNOWN), c.port), Tone.MUTED),
    ]
    return tuple(span for span in line if span[0])


def _figures(worker: WorkerStatus, store: Store, c: Columns) -> Line:
    figures = store.shown.metrics.get(worker.name, WorkerMetrics())
    idle = not figures.running and not figures.queued
    kv = percent(figures.kv_usage)
    filled, empty = bar(figures.kv_usage, c.meter - 2 if c.meter else 0)
    accept = UNKNOWN if figures.accept_length is None else f"{figures.accept_length:.1f}"
    return (
        (right(_whole(figures.running), 4), Tone.MUTED if idle else Tone.TEXT),
        (right(_whole(figures.queued), 7), Tone.WARN if figures.queued else Tone.MUTED),
        (right(rate(figures.tokens_per_s), 8), Tone.MUTED if idle else Tone.STRONG),
        (" " if c.spark else "", Tone.TEXT),
        (spark(store.shown.samples(worker.name, "tokens_per_s"), c.spark - 1), Tone.CHART),
        (right(latencies(figures.ttft_p50_s, figures.ttft_p95_s), c.ttft), Tone.MUTED if idle else Tone.TEXT),
        ("  " if c.meter else "", Tone.TEXT),
        (filled, kv_tone(figures.kv_usage)),
        (empty, Tone.FAINT),
        (right(kv, 5), Tone.TEXT if figures.kv_usage else Tone.MUTED),
        (right(percent(figures.cache_hit_rate), c.hits), Tone.MUTED),
        (right(accept, c.accept), Tone.MUTED),
    )


def routing(gateway: GatewayStatus) -> str:
    """What goes through a gateway, in words."""
    servers = len(gateway.routed) + sum(server.healthy for server in gateway.external)
    parts = [f"routes to {count(servers, 'server')}"]
    if gateway.in_flight is not None:
        parts.append(f"{gateway.in_flight:,} in flight")
    if gateway.requests is not None:
        parts.append(f"{gateway.failed or 0:,} of {gateway.requests:,} failed")
    return " · ".join([*parts, *([gateway.error] if gateway.error else [])])


def _instead(worker: WorkerStatus, now: datetime | None, width: int) -> Line:
    """What a worker that is not ready says in the room of its figures."""
    known = state(worker)
    progress = worker.progress
    if worker.phase is Phase.STARTING and progress is not None:
        filled, empty = bar(None if progress.percent is None else progress.percent / 100, 16 if width < 70 else 24)
        eta = "" if progress.eta_s is None else f" · {duration(progress.eta_s)} left"
        done = "" if progress.percent is None else f"{progress.percent}%"
        text = f"  {progress.step}{eta}" + (f" · {worker.reason}" if worker.reason else "")
        line: Line = (
            (" ", Tone.TEXT),
            (filled, Tone.ACCENT),
            (empty, Tone.FAINT),
            (right(done, 5), Tone.STRONG),
            (text, Tone.MUTED),
        )
        return clip(line, width)
    tone = known.tone if known.tone in (Tone.WARN, Tone.BAD) else Tone.MUTED
    return ((cut(" " + why(worker, now), width), Tone.WARN if waits_up(worker) else tone),)


def _gpus(worker: WorkerStatus) -> str:
    """`0`, `0-3`, `0,2`; a UUID is cut to what tells it from others."""
    if not worker.gpus:
        return "–"
    indexes = [gpu for gpu in worker.gpus if isinstance(gpu, int)]
    if len(indexes) == len(worker.gpus) > 2 and indexes == list(range(indexes[0], indexes[0] + len(indexes))):
        return f"{indexes[0]}-{indexes[-1]}"
    return ",".join(str(gpu) if isinstance(gpu, int) else gpu.removeprefix("GPU-")[:4] for gpu in worker.gpus)


def _whole(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"

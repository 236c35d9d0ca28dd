"""What the table has no room for: where the selected worker serves, why its last process ended, what to do."""

from collections.abc import Callable
from datetime import datetime

from qvl.model.status import ExitStatus, WorkerStatus
from qvl.model.worker import Phase

from qvl_tui.format import area, clock, duration, latency, percent, rate
from qvl_tui.paint import BLANK, Line, Tone, cut, left, wrap
from qvl_tui.sentences import reason, state, why
from qvl_tui.store import Store

_LABEL = 11


def detail_lines(
    worker: WorkerStatus | None, store: Store, now: datetime | None, width: int, height: int
) -> tuple[Line, ...]:
    """`height` rows are there to be filled: what room the words leave goes to charts."""
    if worker is None:
        return (((" no worker is selected", Tone.FAINT),),)
    known = state(worker)
    since = None if now is None else duration((now - worker.since).total_seconds())
    lines: list[Line] = [
        ((" " + worker.name, Tone.STRONG), ("  ", Tone.TEXT), (f"{known.glyph} {known.word}", known.tone))
        + (((f" for {since}", Tone.MUTED),) if since else ()),
        BLANK,
    ]
    now_said = reason(worker) if worker.phase is Phase.FAILED else why(worker, now)
    if now_said:
        tone = known.tone if known.tone in (Tone.WARN, Tone.BAD) else Tone.TEXT
        lines += _field("now", now_said, width, tone, most=6)
    last = worker.last_exit
    todo = worker.hint or (last.hint if last and not worker.ready else None)
    if todo and todo not in now_said:
        lines += _field("do", todo, width, Tone.ACCENT)
    facts = _facts(worker, store, width)
    ended = _exit(last, todo, now_said, width) if last else []
    # Where it does not serve, why the last process ended comes before where the next one will.
    parts = [facts, ended] if worker.ready else [ended, facts]
    for part in filter(None, parts):
        lines += [BLANK, *part] if lines[-1] else part
    if worker.phase.has_process:
        lines += _charts(worker, store, width, height - len(lines))
    return tuple(lines)


def _facts(worker: WorkerStatus, store: Store, width: int) -> list[Line]:
    lines = _field("endpoint", worker.endpoint or "—", width)
    lines += _field("runs", f"{worker.profile} on {worker.engine}", width)
    lines += _field("process", f"pid {worker.pid}" if worker.pid else "none", width)
    if worker.restarts:
        budget = f" of {worker.max_restarts}" if worker.max_restarts else ""
        lines += _field("restarts", f"{worker.restarts}{budget}", width, Tone.WARN)
    for drift in worker.drift:
        lines += _field("drift", drift, width, Tone.WARN)
    if figures := store.shown.metrics.get(worker.name):
        hits = None if not figures.cache_hit_rate else f"{figures.cache_hit_rate:.0%} of prompts from cache"
        accepted = None if not figures.accept_length else f"{figures.accept_length:.1f} tokens accepted a step"
        for text in filter(None, (hits, accepted)):
            lines += _field("engine", text, width)
    return lines


_CHARTS: tuple[tuple[str, str, Callable[[float | None], str], float | None], ...] = (
    ("tokens_per_s", "tok/s", rate, None),
    ("running", "running", rate, None),
    ("kv_usage", "kv cache", percent, 1.0),
    ("queued", "queued", rate, None),
    ("ttft_p50_s", "ttft", latency, None),
)


def _charts(worker: WorkerStatus, store: Store, width: int, rows: int) -> list[Line]:
    """As many charts as there is room for, the most telling first; each has its label, and its largest value below."""
    tall = 4 if rows >= 25 else 3
    lines: list[Line] = []
    for figure, label, words, top in _CHARTS:
        values = store.shown.samples(worker.name, figure)
        known = [value for value in values[-(width - _LABEL - 2) :] if value is not None]
        if not known or len(lines) + tall + 1 > rows:
            continue
        notes = [label, f"≤ {words(max(known))}", *[""] * tall]
        lines.append(BLANK)
        for note, part in zip(notes, area(values, width - _LABEL - 2, tall, top), strict=False):
            lines.append(((left(f" {note}", _LABEL + 1), Tone.FAINT), (part, Tone.CHART)))
    return lines


def _exit(last: ExitStatus, todo: str | None, said: str, width: int) -> list[Line]:
    """What is said above already is left out."""
    how = f"signal {last.signal}" if last.signal is not None else f"exit {last.code}" if last.code is not None else ""
    lines = _field("last exit", ", ".join(filter(None, (clock(last.at), how, last.cause.value))), width)
    if last.evidence and last.evidence not in said:
        lines += _field("evidence", last.evidence, width, Tone.MUTED)
    if last.hint and last.hint != todo:
        lines += _field("hint", last.hint, width, Tone.ACCENT)
    return lines


def _field(label: str, text: str, width: int, tone: Tone = Tone.TEXT, most: int = 4) -> list[Line]:
    """A label and its text, wrapped to at most `most` lines."""
    room = max(width - _LABEL - 2, 8)
    wrapped = wrap(text, room) or [""]
    if len(wrapped) > most:
        wrapped = [*wrapped[: most - 1], cut(" ".join(wrapped[most - 1 :]), room)]
    return [
        ((left(f" {label}" if n == 0 else "", _LABEL + 1), Tone.FAINT), (part, tone)) for n, part in enumerate(wrapped)
    ]

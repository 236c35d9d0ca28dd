"""What a worker's engine has room for, in its own words at its start; and how its card's memory is shared by it."""

from qvl.model.detail import EngineCapacity, WorkerDetail
from qvl.model.gpu import GpuSample
from qvl.model.status import WorkerStatus

from qvl_tui.format import UNKNOWN
from qvl_tui.paint import Line, Tone, left
from qvl_tui.widgets.worker_section import LABEL, Section, fact, said

_TITLE = "capacity"


def capacity_section(
    worker: WorkerStatus, detail: WorkerDetail | None, gpus: tuple[GpuSample, ...], width: int, unknown: str
) -> Section:
    """`unknown`: why there is no detail."""
    capacity = detail.capacity if detail is not None else None
    if capacity is None:
        told = "its engine tells none" if worker.ready else "its engine has told none"
        return Section("capacity", _TITLE, tuple(said(unknown if detail is None else told, width, Tone.FAINT)))
    lines = _memory(worker, capacity, gpus, width)
    lines += fact("weights", _gib(capacity.weights), width)
    lines += fact("KV cache", _cache(capacity), width)
    lines += fact("context", _tokens(capacity.context_length), width)
    lines += fact("requests", UNKNOWN if capacity.max_running is None else f"{capacity.max_running:,} at once", width)
    lines += fact("left free", _gib(capacity.free), width)
    note = f"on each of {capacity.ranks} cards" if capacity.ranks > 1 else ""
    return Section("capacity", _TITLE, tuple(lines), note)


def _cache(capacity: EngineCapacity) -> str:
    parts = [_gib(capacity.kv_bytes)] if capacity.kv_bytes is not None else []
    if capacity.kv_tokens is not None:
        parts.append(_tokens(capacity.kv_tokens))
        if capacity.context_length:
            parts.append(f"{capacity.kv_tokens / capacity.context_length:.1f} × context")
    return " · ".join(parts) or UNKNOWN


def _gib(count: int | None) -> str:
    """In one unit, as exact as engines tell it: these are compared with each other."""
    return UNKNOWN if count is None else f"{count / (1 << 30):.1f} GiB"


def _tokens(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,} tokens"


def _memory(worker: WorkerStatus, capacity: EngineCapacity, gpus: tuple[GpuSample, ...], width: int) -> list[Line]:
    """A bar of the card: weights, cache, what else is taken, what is free. Each has a sign of its own. Only where all
    of it is known and adds up: a bar that is guessed would be believed."""
    totals = [gpu.memory_total for gpu in gpus if gpu.index in worker.gpus or gpu.uuid in worker.gpus]
    total = min((total for total in totals if total is not None), default=None)
    weights, cache, free = capacity.weights, capacity.kv_bytes, capacity.free
    if total is None or weights is None or cache is None or free is None:
        return []
    rest = total - weights - cache - free
    room = min(width - LABEL - 3, 48)
    if rest < 0 or room < 16:
        return []
    parts = (("█", weights, Tone.CHART), ("▓", cache, Tone.ACCENT), ("▒", rest, Tone.FAINT), ("░", free, Tone.FAINT))
    ends, so_far = [], 0
    for _, bytes_, _ in parts:
        so_far += bytes_
        ends.append(round(so_far / total * room))
    drawn: Line = ()
    for (glyph, _, tone), first, last in zip(parts, [0, *ends], ends, strict=False):
        drawn += ((glyph * (last - first), tone),)
    legend: Line = (
        (" " * (LABEL + 1), Tone.TEXT),
        ("█", Tone.CHART),
        (" weights  ", Tone.FAINT),
        ("▓", Tone.ACCENT),
        (" KV cache  ", Tone.FAINT),
        ("▒ other  ░ free", Tone.FAINT),
    )
    return [((left(f" {_gib(total)}", LABEL + 1), Tone.FAINT), *drawn), legend]

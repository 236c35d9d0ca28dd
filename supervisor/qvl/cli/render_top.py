"""Figures of GPUs and engines as one screen of text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from qvl.cli import table
from qvl.cli.render import PHASE_STYLES, cards, doing, indexes, unwell
from qvl.cli.table import Cell
from qvl.cli.terminal import Paint, plain
from qvl.cli.units import gibibytes, percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import GpuDoc, StatusDoc, WorkerDoc

BAR = 10
"""Columns of a bar."""


def top(doc: StatusDoc, *, now: datetime, width: int = 80, paint: Paint = plain) -> str:
    ready = sum(worker["ready"] for worker in doc["workers"])
    lines = [f"{now.astimezone():%H:%M:%S}  {ready} of {len(doc['workers'])} workers ready", ""]
    lines += gpus(doc["gpus"], width=width, paint=paint)
    if doc["gpus"] and doc["workers"]:
        lines.append("")
    lines += workers(doc["workers"], indexes(doc["gpus"]), now=now, width=width, paint=paint)
    return "\n".join(lines)


def gpus(docs: list[GpuDoc], *, width: int, paint: Paint = plain) -> list[str]:
    if not docs:
        return []
    rows: list[list[Cell]] = []
    for doc in docs:
        used, total = doc["memory_used"], doc["memory_total"]
        share = used / total if used is not None and total else None
        temperature, power = doc["temperature"], doc["power"]
        rows.append(
            [
                (str(doc["index"]), ""),
                (f"{bar(share)} {gibibytes(used)}/{gibibytes(total)} GiB", heat(share)),
                (f"{bar(doc['utilization'])} {percent(doc['utilization']):>4}", ""),
                ("-" if temperature is None else f"{temperature:.0f}°C", ""),
                ("-" if power is None else f"{power:.0f}W", ""),
                (doc["health"], "" if doc["health"] == "ok" else "bad"),
            ]
        )
    header = ["GPU", "MEMORY", "UTIL", "TEMP", "POWER", "HEALTH"]
    first, *rest = table.lines(header, rows, right="TEMP POWER", paint=paint)
    lines = [first]
    for doc, line in zip(docs, rest, strict=True):
        lines.append(line)
        lines += unwell(doc, width=width, paint=paint)
    return lines


def workers(
    docs: list[WorkerDoc], known: Mapping[str, int], *, now: datetime, width: int, paint: Paint = plain
) -> list[str]:
    """A row of figures for each worker; one that has none says what it is doing instead."""
    if not docs:
        return []
    rows: list[list[Cell]] = []
    for doc in docs:
        figures = doc["metrics"]
        rows.append(
            [
                (table.squeezed(doc["name"], 20), ""),
                (cards(doc["gpus"], known), ""),
                ("ready" if doc["ready"] else doc["phase"], PHASE_STYLES.get(doc["phase"], "")),
                (whole(figures["running"]), ""),
                (whole(figures["queued"]), "warn" if figures["queued"] else ""),
                (whole(figures["tokens_per_s"]), ""),
                (percent(figures["kv_usage"]), heat(figures["kv_usage"])),
                (percent(figures["cache_hit_rate"]), ""),
                (seconds(figures["ttft_p50_s"]), ""),
                (seconds(figures["ttft_p95_s"]), ""),
            ]
        )
    header = ["WORKER", "GPU", "STATE", "RUN", "WAIT", "TOK/S", "KV", "CACHE", "TTFT50", "TTFT95"]
    first, *rest = table.lines(header, rows, right="RUN WAIT TOK/S KV CACHE TTFT50 TTFT95", paint=paint)
    lines = [first]
    for doc, line in zip(docs, rest, strict=True):
        lines.append(line)
        happening = "" if doc["ready"] else doing(doc, now)
        said = ": ".join(part for part in (happening, doc["reason"] or "") if part and not doc["ready"])
        if said:
            lines += table.wrapped(said, width=width, first="    ", rest="    ")
    return lines


def bar(share: float | None) -> str:
    """`██████░░░░`, blank where the figure isn't known."""
    if share is None:
        return " " * BAR
    full = round(min(1.0, max(0.0, share)) * BAR)
    return "█" * full + "░" * (BAR - full)


def heat(share: float | None) -> str:
    return "warn" if share is not None and share >= 0.95 else ""


def whole(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.0f}"


def seconds(figure: float | None) -> str:
    """To three digits at most: `45ms`, `1.2s`."""
    if figure is None:
        return "-"
    return f"{figure * 1000:.0f}ms" if figure < 1 else f"{figure:.1f}s"

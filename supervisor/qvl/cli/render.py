"""The status as text: what is up, what isn't, why, and what comes next. Pure: a document and a time in, lines out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from qvl.cli import table
from qvl.cli.table import Cell
from qvl.cli.terminal import Paint, plain
from qvl.cli.units import age, count, duration, gibibytes, parse_time, percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import (
        GatewayDoc,
        GpuDoc,
        MetricsDoc,
        PoolDoc,
        StatusDoc,
        SupervisorDoc,
        SwitchDoc,
        WorkerDoc,
    )

PHASE_STYLES = {
    "running": "good",
    "parked": "good",
    "starting": "busy",
    "draining": "busy",
    "stopping": "busy",
    "releasing": "busy",
    "backoff": "warn",
    "failed": "bad",
    "stopped": "dim",
}
SWITCH_VERBS = {"switch": "switching to", "reset": "going back to", "apply": "applying", "restart": "restarting"}
LONGEST_NAME = 26
"""Columns for the name of a worker; a longer one is cut in the table, never in --json."""


def status(doc: StatusDoc, *, now: datetime, width: int = 80, paint: Paint = plain) -> str:
    """The whole answer of `qvlctl status`."""
    blocks = [
        supervisor(doc["supervisor"], now=now, width=width, paint=paint),
        pools(doc["pools"], now=now, width=width, paint=paint),
        workers(doc["workers"], indexes=indexes(doc["gpus"]), now=now, width=width, paint=paint),
        gpus(doc["gpus"], width=width, paint=paint),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def supervisor(doc: SupervisorDoc, *, now: datetime, width: int, paint: Paint = plain) -> list[str]:
    config = doc["config"]
    host = f" on {doc['host']}" if doc.get("host") else ""
    lines = [f"qvl {doc['version']}{host}, pid {doc['pid']}, up {age(doc['started_at'], now)}"]
    runs = f", runs {config['applied'] or 'none'}" if config["applied"] != config["revision"] else ""
    revision = f"{config['path']}, revision {config['revision'] or 'none'}{runs}"
    lines += table.wrapped(revision, width=width, first="config: ", rest="        ")
    if config["error"]:
        lines += note("error", config["error"], "bad", width=width, paint=paint)
    if config["pending"]:
        lines += note(
            "pending", "an edit waits: see `qvlctl plan`, then `qvlctl apply`", "warn", width=width, paint=paint
        )
    if lost := doc.get("lost_log_bytes", 0):
        text = f"{count(lost, 'byte')} of output could not be written: see whether the disk is full"
        lines += note("logs", text, "bad", width=width, paint=paint)
    return lines


def pools(docs: list[PoolDoc], *, now: datetime, width: int, paint: Paint = plain) -> list[str]:
    if not docs:
        return ["no pools: nothing is configured"]
    rows: list[list[Cell]] = []
    for doc in docs:
        ready = doc["ready"]
        style = "good" if ready == doc["total"] else "warn" if ready else "bad"
        profile = doc["profile"] + (" (override)" if doc["override"] else "")
        endpoint = doc["endpoint"] or ("-" if doc["total"] < 2 else "one per worker")
        rows.append([(doc["name"], ""), (profile, ""), (f"{ready}/{doc['total']}", style), (endpoint, "")])
    first, *rest = table.lines(["POOL", "PROFILE", "READY", "ENDPOINT"], rows, paint=paint)
    lines = [first]
    for doc, line in zip(docs, rest, strict=True):
        lines.append(line)
        if front := doc.get("gateway"):
            style = "" if front["ready"] else PHASE_STYLES.get(front["phase"], "bad")
            text = table.wrapped(gateway(front, doc["total"]), width=width, first="    gateway ", rest="            ")
            lines += [paint(line, style) for line in text]
        if doc["switch"]:
            lines += table.wrapped(switching(doc["switch"], now), width=width, first="    ", rest="    ")
            if why := doc["switch"].get("why"):
                lines += note("why", why, "warn", width=width, paint=paint, indent="    ")
    return lines


def gateway(doc: GatewayDoc, total: int) -> str:
    """`running, sends to 4 of 4; 1,234 requests, 3 in flight, 0 failed, 2 retried`, or why it doesn't."""
    if doc["phase"] != "running":
        return f"{doc['phase']}: {doc['reason']}" if doc["reason"] else doc["phase"]
    well = sum(server["healthy"] for server in doc["external"])
    elsewhere = f" and {well} of {len(doc['external'])} elsewhere" if doc["external"] else ""
    parts = [f"sends to {len(doc['routed'])} of {total}{elsewhere}"]
    if doc["requests"] is not None:
        broken = [f"{doc['broken']} lost with a worker"] if doc["broken"] else []
        now = [f"{doc['in_flight']} in flight"] if doc["in_flight"] is not None else []
        counts = [f"{doc['requests']:,} requests", *now, f"{doc['failed']} failed", f"{doc['retried']} retried"]
        parts.append(", ".join([*counts, *broken]))
    if trouble := doc["error"] or (None if doc["ready"] else doc["reason"]):
        parts.append(trouble)
    return "; ".join(parts)


def switching(doc: SwitchDoc, now: datetime) -> str:
    """`switching to eagle3: qwen3-vl-1 smoke test, 1 of 4 done (48%), for 42s`."""
    verb = SWITCH_VERBS.get(doc["kind"], doc["kind"])
    worker = f"{doc['worker']} " if doc["worker"] else ""
    share = f" ({doc['percent']}%)" if "percent" in doc else ""
    done = f"{doc['done']} of {doc['total']} done{share}, for {age(doc['started_at'], now)}"
    return f"{verb} {doc['to']}: {worker}{doc['step']}, {done}"


def workers(
    docs: list[WorkerDoc],
    *,
    now: datetime,
    width: int,
    indexes: Mapping[str, int] | None = None,
    paint: Paint = plain,
) -> list[str]:
    """The table of workers, each followed by what a row can't hold: why it is not serving, and what to do.

    `indexes`: UUID -> index of the host's cards.
    """
    if not docs:
        return []
    rows: list[list[Cell]] = []
    for doc in docs:
        phase = doc["phase"]
        rows.append(
            [
                (table.squeezed(doc["name"], LONGEST_NAME), ""),
                (cards(doc["gpus"], indexes or {}), ""),
                (phase, PHASE_STYLES.get(phase, "")),
                ("yes", "good") if doc["ready"] else ("no", ""),
                (str(doc["port"]), ""),
                (age(doc["since"], now), ""),
                (str(doc["restarts"]), "warn" if doc["restarts"] else ""),
            ]
        )
    header = ["WORKER", "GPU", "PHASE", "READY", "PORT", "FOR", "RST"]
    right = "PORT FOR RST"
    room = width - len(table.GAP) - len(table.lines(header, rows, right=right)[1])
    first, *rest = table.lines(header, rows, right=right, paint=paint)
    lines = [first]
    for doc, line in zip(docs, rest, strict=True):
        lines += _worker(doc, line, room, now=now, width=width, paint=paint)
    return lines


def _worker(doc: WorkerDoc, line: str, room: int, *, now: datetime, width: int, paint: Paint) -> list[str]:
    lines = [line]
    if doc["phase"] in ("running", "draining"):
        # Figures are worth the room that is left, and no line of their own: `top` has them all.
        happening = next((figures for figures in loads(doc["metrics"]) if len(figures) <= room), "")
    else:
        happening = doing(doc, now)
    if happening and len(happening) <= room:
        lines = [line + table.GAP + happening]
    elif happening:
        lines += table.wrapped(happening, width=width, first="    ", rest="    ")
    for label, text, style in reasons(doc):
        lines += note(label, text, style, width=width, paint=paint, indent="    ")
    return lines


def doing(doc: WorkerDoc, now: datetime) -> str:
    """What a worker does right now, or what comes next, in a few words."""
    phase, progress = doc["phase"], doc["progress"]
    if phase == "starting" and progress:
        return started(progress["step"], progress["percent"], progress["eta_s"])
    if phase == "backoff":
        if not doc["next_start_at"]:
            return "waits to start"
        left = (parse_time(doc["next_start_at"]) - now).total_seconds()
        return f"starts in {duration(left)}" if left > 0 else "starts now"
    if phase in ("running", "draining"):
        return loads(doc["metrics"])[0]
    if phase == "stopped" and doc["wanted"] == "up":
        return "is to start"
    return ""


def started(step: str, done: int | None, eta: float | None) -> str:
    """`weights 40%, 21s left`."""
    return step + ("" if done is None else f" {done}%") + ("" if eta is None else f", {duration(eta)} left")


def loads(doc: MetricsDoc) -> list[str]:
    """`3 running, 1 queued, 118 tok/s, kv 43%`, then the same in ever fewer words. Unknown figures are left out."""
    running = "" if doc["running"] is None else str(doc["running"])
    queued = str(doc["queued"]) if doc["queued"] else ""
    speed = f"{doc['tokens_per_s']:.0f} tok/s" if doc["tokens_per_s"] is not None and doc["running"] else ""
    cache = "" if doc["kv_usage"] is None else f"kv {percent(doc['kv_usage'])}"
    full = [f"{running} running" if running else "", f"{queued} queued" if queued else "", speed, cache]
    brief = [f"{running} run" if running else "", f"{queued} wait" if queued else "", speed, cache]
    return [", ".join(filter(None, full)), " ".join(filter(None, brief)), " ".join(filter(None, brief[:3])), speed]


def reasons(doc: WorkerDoc) -> list[tuple[str, str, str]]:
    """(label, sentence, style) for what keeps a worker from serving; nothing for one that is well or at rest."""
    found: list[tuple[str, str, str]] = []
    last = doc["last_exit"]
    trouble = doc["phase"] in ("failed", "backoff")
    if trouble or (doc["reason"] and not doc["ready"] and doc["phase"] != "stopped"):
        style = "bad" if doc["phase"] == "failed" else "warn"
        why = doc["reason"] or (f"ended: {last['cause']}" if last else "")
        if why:
            found.append(("why", why, style))
        if trouble and last and last["evidence"] and last["evidence"] not in why:
            found.append(("said", last["evidence"], ""))
        hint = doc.get("hint") or (last["hint"] if last and trouble else None)
        if hint:
            found.append(("hint", hint, ""))
    elif doc["reason"] and doc["phase"] == "stopped" and doc["wanted"] == "up":
        found.append(("why", doc["reason"], "warn"))
    if doc["drift"]:
        found.append(("drift", f"{', '.join(doc['drift'])}: taken up by its next restart", "warn"))
    return found


def gpus(docs: list[GpuDoc], *, width: int, paint: Paint = plain) -> list[str]:
    if not docs:
        return []
    rows: list[list[Cell]] = []
    for doc in docs:
        memory = f"{gibibytes(doc['memory_used'])}/{gibibytes(doc['memory_total'])} GiB"
        temperature, power = doc["temperature"], doc["power"]
        rows.append(
            [
                (str(doc["index"]), ""),
                (table.shortened(doc["name"], 30), ""),
                (memory, ""),
                (percent(doc["utilization"]), ""),
                ("-" if temperature is None else f"{temperature:.0f}°C", ""),
                ("-" if power is None else f"{power:.0f}W", ""),
                (doc["health"], "good" if doc["health"] == "ok" else "bad"),
            ]
        )
    header = ["GPU", "NAME", "MEMORY", "UTIL", "TEMP", "POWER", "HEALTH"]
    first, *rest = table.lines(header, rows, right="MEMORY UTIL TEMP POWER", paint=paint)
    lines = [first]
    for doc, line in zip(docs, rest, strict=True):
        lines.append(line)
        lines += unwell(doc, width=width, paint=paint)
    return lines


def unwell(doc: GpuDoc, *, width: int, paint: Paint = plain) -> list[str]:
    """Why a card isn't used, and how it is used again."""
    lines = []
    if reason := doc.get("reason"):
        lines += note("why", reason, "bad", width=width, paint=paint, indent="    ")
    if doc["health"] == "quarantined":
        hint = "once it is well, `qvlctl start` of a worker on it uses it again"
        lines += note("hint", hint, "", width=width, paint=paint, indent="    ")
    return lines


def note(label: str, text: str, style: str, *, width: int, paint: Paint, indent: str = "") -> list[str]:
    """`label: sentence`, wrapped, with its further lines below the sentence."""
    lead = f"{indent}{label}: "
    first, *rest = table.wrapped(text, width=width, first=lead, rest=" " * len(lead))
    return [indent + paint(f"{label}:", style) + first[len(lead) - 1 :], *rest]


def indexes(docs: list[GpuDoc]) -> dict[str, int]:
    return {doc["uuid"]: doc["index"] for doc in docs}


def cards(gpus: list[int | str], known: Mapping[str, int]) -> str:
    """`0`, `0-3`, `1,3`; a card that the host doesn't show is named by as much of its UUID as tells cards apart."""
    names = [known.get(gpu, gpu) if isinstance(gpu, str) else gpu for gpu in gpus]
    numbers = [name for name in names if isinstance(name, int)]
    if len(numbers) == len(names) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(str(name) if isinstance(name, int) else name.removeprefix("GPU-")[:8] for name in names) or "-"

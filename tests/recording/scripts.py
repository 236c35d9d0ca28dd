"""Recordings made by the real scribe from scripted frames, for readers of every kind."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from qvl.model.event import Change, Event, Frame, Heartbeat, Severity
from qvl.model.status import WorkerMetrics
from qvl.recording.scribe import Scribe
from qvl.recording.writer import Writer

from tests.tui.fleet import NOW, backoff, gpu, snapshot, worker

START = round(NOW.timestamp() * 1000)
"""Unix milliseconds at which scripted recordings begin."""

Step = tuple[float, Frame | str]
"""Seconds from START, and what came then; a text is the reason why the daemon is away."""


def doc(frame: Frame) -> dict[str, Any]:
    """A frame as the command line gets it."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(frame))
    return found


def record(
    path: Path,
    steps: Sequence[Step],
    *,
    interval: float = 2.0,
    logs: Sequence[tuple[float, str, int, bytes]] = (),
    documents: Sequence[tuple[float, str, bytes]] = (),
    end: float | None = None,
    whole: bool = True,
) -> Path:
    """`logs`: (seconds, worker, offset, bytes). `end`: seconds; None: with the last step. Without `whole` it is left
    as by a recorder that was killed."""
    writer = Writer(path, force=True)
    scribe = Scribe(writer, interval, logs=bool(logs))
    news: list[tuple[float, int, Any]] = [(at, 0, what) for at, what in steps]
    news += [(log[0], 1, log) for log in logs]
    news += [(document[0], 2, document) for document in documents]
    at = START
    for seconds, kind, what in sorted(news, key=lambda each: each[:2]):
        at = START + round(seconds * 1000)
        if kind == 1:
            scribe.logged(what[1], what[2], what[3], at)
            scribe.flush(at)
        elif kind == 2:
            scribe.document(what[1], what[2], at)
        else:
            scribe.take({"type": "away", "message": what} if isinstance(what, str) else doc(what), at)
        scribe.tick(at)
    if whole:
        scribe.end(START + round(end * 1000) if end is not None else at)
    else:
        scribe.flush(at)
        writer.abandon()
    return path


def event(seq: int, at: float, message: str, kind: str = "worker.phase", severity: Severity = Severity.INFO) -> Event:
    return Event(
        seq=seq,
        at=NOW + timedelta(seconds=at),
        kind=kind,
        message=message,
        severity=severity,
        worker="qwen3-vl-1",
    )


def ended(seq: int, at: float) -> Event:
    return event(seq, at, "ended: out-of-gpu-memory (code 1)", "worker.exit", Severity.WARNING)


def figures(at: float, *names: str) -> Change:
    """Figures that tell the moment: so many tokens a second as seconds have passed."""
    metrics = {name: WorkerMetrics(3, 0, float(at), 0.42, 0.61, None, 0.084, 0.21) for name in names}
    return Change(NOW + timedelta(seconds=at), metrics=metrics, gpus=(gpu(0, utilization=at % 100 / 100), gpu(1)))


def night(seconds: int = 1200) -> list[Step]:
    """Two workers for twenty minutes: figures each 5 s, an exit at 600 s that is over at 720 s, and from 900 to 930 s
    no daemon."""
    steps: list[Step] = [(0, snapshot(worker("qwen3-vl-0"), worker("qwen3-vl-1"), seq=10))]
    steps += [(0.1, event(seq, seq - 20.0, f"before the recording, {seq}")) for seq in range(1, 11)]
    for at in range(5, seconds, 5):
        if not 900 <= at < 930:
            steps.append((at, figures(at, "qwen3-vl-0", "qwen3-vl-1")))
            steps.append((at + 0.5, Heartbeat(NOW + timedelta(seconds=at + 0.5), 10)))
    steps.append((300, event(11, 300, "warm")))
    steps.append((600, ended(12, 600)))
    steps.append((600.1, Change(NOW + timedelta(seconds=600.1), workers=(backoff("qwen3-vl-1", restarts=1),))))
    steps.append((720, Change(NOW + timedelta(seconds=720), workers=(worker("qwen3-vl-1", restarts=1),))))
    steps.append((720.1, event(13, 720.1, "ready again")))
    steps.append((900, "the daemon broke off"))
    back = snapshot(worker("qwen3-vl-0"), worker("qwen3-vl-1", restarts=1), seq=14)
    steps.append((930, msgspec.structs.replace(back, at=NOW + timedelta(seconds=930))))
    steps.append((930.1, event(14, 929, "qvl-supervisor started", "daemon")))
    return sorted((step for step in steps if step[0] <= seconds), key=lambda step: step[0])

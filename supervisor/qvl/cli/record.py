"""record: writes down what happens on this host, for `qvlctl tui --replay`; and says what is in such a file."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from qvl.cli.context import Context
from qvl.cli.terminal import ProgressLine
from qvl.cli.units import count, duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from qvl.cli.recorder import Recorder
    from qvl.recording.scribe import Scribe
    from qvl.recording.writer import Writer

EXAMPLES = """examples:
  qvlctl record night.qvlrec --for 8h
  qvlctl record trouble.qvlrec --logs    until Ctrl-C, with what workers write
  qvlctl record --info night.qvlrec
  qvlctl tui --replay night.qvlrec
  zcat night.qvlrec | jq -c 'select(.type == "frame").frame'"""
INTERVAL = "2s"
TICK_S = 0.5


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    from qvl.cli.watching import seconds

    parser.epilog = EXAMPLES
    parser.add_argument("file", metavar="FILE", type=Path, help="what to record into; for its owner alone to read")
    parser.add_argument("--for", dest="span", type=some_time, metavar="D", help="end after 90s, 8h … (default: Ctrl-C)")
    parser.add_argument("--logs", action="store_true", help="with what the workers write from now on")
    parser.add_argument(
        "--interval",
        type=seconds,
        default=seconds(INTERVAL),
        metavar="D",
        help=f"take figures at most this often; changes of state always (default: {INTERVAL})",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE where it is there already")
    parser.add_argument("--info", action="store_true", help="say what is in FILE, and record nothing")
    return record


def some_time(text: str) -> float:
    from qvl.cli.watching import seconds

    if (value := seconds(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no time at all")
    return value


def record(context: Context, args: argparse.Namespace) -> int:
    if args.info:
        show(context, args.file)
        return 0
    from qvl.cli.recorder import Clock, Recorder
    from qvl.recording.scribe import Scribe
    from qvl.recording.writer import Writer

    context.client.status()  # no file is made where there is nothing to record
    clock = Clock()
    writer = Writer(args.file, force=args.force)
    scribe = Scribe(writer, args.interval, logs=args.logs)
    recorder = Recorder(context.client, scribe, clock, logs=args.logs)
    with until_told() as over:
        try:
            keep(recorder, scribe, writer, clock, over, args.span)
            scribe.end(clock())
        finally:
            writer.abandon()
            if writer.size == 0:
                args.file.unlink(missing_ok=True)
    if context.json:
        show(context, args.file)
    return 0


def keep(
    recorder: Recorder,
    scribe: Scribe,
    writer: Writer,
    clock: Callable[[], int],
    over: threading.Event,
    span: float | None,
) -> None:
    """Record until `over`, or for `span` seconds. Raises QvlError where the daemon refuses or says nothing, or the disk
    is full."""
    from qvl.model.error import ErrorCode, QvlError

    line = ProgressLine()
    began = time.monotonic()
    line.say(f"recording into {writer.path} " + ("until Ctrl-C" if span is None else f"for {duration(span)}"))
    away = False
    recorder.start()
    try:
        while not over.is_set() and (span is None or time.monotonic() - began < span):
            recorder.listen(TICK_S if span is None else min(TICK_S, max(0.0, span - (time.monotonic() - began))))
            scribe.flush(clock())
            if recorder.reason and away is recorder.connected:
                away = not recorder.connected
                line.say(f"{recorder.reason}; waiting for it to come back" if away else "the daemon is back")
            line.show(told(scribe, writer, time.monotonic() - began))
    finally:
        line.clear()
    if scribe.picture.status is None:
        raise QvlError(ErrorCode.UNREACHABLE, "nothing was recorded: the daemon said nothing in that time")
    line.say(f"recorded {told(scribe, writer, time.monotonic() - began)}: qvlctl tui --replay {writer.path}")


def told(scribe: Scribe, writer: Writer, seconds: float) -> str:
    """`12m30s, 1.2 MB, 34 events, 3 of 4 workers ready`"""
    workers = scribe.picture.workers
    ready = f"{sum(worker['ready'] for worker in workers)} of {count(len(workers), 'worker')} ready"
    lost = f" ({scribe.picture.lost} lost)" if scribe.picture.lost else ""
    return f"{duration(seconds)}, {size(writer.size)}, {count(scribe.events, 'event')}{lost}, {ready}"


def size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


@contextmanager
def until_told() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set: both are the way in which a recording ends well. What was ignored before us
    stays so, as under nohup."""
    over = threading.Event()

    def told(number: int, frame: FrameType | None) -> None:
        over.set()

    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = [signal.signal(number, told) for number in numbers]
    try:
        yield over
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# ---- what is in a file


def show(context: Context, path: Path) -> None:
    from qvl.recording.reader import Recording

    recording = Recording(path)
    try:
        known = facts(recording)
    finally:
        recording.close()
    if context.json:
        context.print_json({"version": 1, **known})
        return
    begin, end = (datetime.fromisoformat(known[name]).astimezone() for name in ("from", "to"))
    lines = {
        "file": f"{path}, {size(known['size'])}, by qvl {shown(known['qvl'])}",
        "host": shown(known["host"]) or "not known",
        "from": f"{begin:%Y-%m-%d %H:%M:%S}",
        "to": f"{end:%Y-%m-%d %H:%M:%S} ({duration((end - begin).total_seconds())})",
        "workers": shown(", ".join(known["workers"])) or "none",
        "events": f"{known['events']}, among them {count(known['exits'], 'unrequested end')}",
        "logs": "recorded" if known["logs"] else "not recorded",
    }
    for name, value in lines.items():
        print(f"{context.paint(f'{name:<8}', 'dim')} {value}")
    if not known["complete"]:
        why = known["damage"] or "it was cut off, or is still being recorded"
        print(f"it has no end: {why}; it can be replayed up to there", file=sys.stderr)


def shown(text: str) -> str:
    """What a file from anywhere says, so that it can't steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def facts(recording: Any) -> dict[str, Any]:
    """What `--info --json` says."""
    summaries = [block.summary for block in recording.blocks]
    return {
        "file": str(recording.path),
        "size": recording.size,
        "format": recording.opening.version,
        "qvl": recording.opening.qvl,
        "host": recording.opening.host,
        "from": datetime.fromtimestamp(recording.begin / 1000, UTC).isoformat(timespec="milliseconds"),
        "to": datetime.fromtimestamp(recording.end / 1000, UTC).isoformat(timespec="milliseconds"),
        "workers": recording.workers(),
        "events": sum(summary.events for summary in summaries),
        "exits": sum(summary.exits for summary in summaries),
        "logs": recording.opening.logs,
        "complete": recording.ended,
        "damage": recording.damage,
    }

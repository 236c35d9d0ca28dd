"""events: what happened, with its reason, a line each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from qvl.cli.context import Context, print_line_json
from qvl.cli.terminal import Paint
from qvl.cli.units import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import FrameDoc

EXAMPLES = """examples:
  qvlctl events
  qvlctl events -f
  qvlctl events --since 4711 --json | jq -r .message"""
LATEST = 10
"""Remembered events that -f begins with, as `journalctl -f` does with lines."""
STYLES = {"warning": "warn", "error": "bad"}


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = EXAMPLES
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what happens")
    parser.add_argument("--since", type=int, metavar="SEQ", help="only events after this number")
    return events


def events(context: Context, args: argparse.Namespace) -> int:
    past = context.client.past_events(args.since or 0)
    if args.follow and args.since is None:
        past = past[-LATEST:]
    for frame in past:
        show(context, frame)
    if not args.follow:
        return 0
    sys.stdout.flush()
    since = past[-1]["seq"] if past else args.since or 0
    for told in context.client.events(since=since):
        if told is not None and told.get("seq", since + 1) > since:
            show(context, told)
            sys.stdout.flush()
    return 0


def show(context: Context, frame: FrameDoc) -> None:
    """Events, and what was lost of them; a connection that is away is no data."""
    match frame["type"]:
        case "away":
            print(f"{frame['message']}; waiting for it to come back", file=sys.stderr)
        case "event" | "lost" if context.json:
            print_line_json(frame)
        case "event":
            print(line(frame, context.paint))
        case "lost":
            print(f"… {frame['lost']} events were lost: this reader was too slow")


def line(frame: FrameDoc, paint: Paint) -> str:
    """`4711  2026-01-31 12:00:00  qwen3-vl-0  message`, in the local time, as engines log."""
    at = f"{parse_time(frame['at']).astimezone():%Y-%m-%d %H:%M:%S}"
    whom = frame.get("worker") or frame.get("pool") or "-"
    return f"{frame['seq']:>6}  {at}  {whom:<14}  {paint(frame['message'], STYLES.get(frame.get('severity', ''), ''))}"

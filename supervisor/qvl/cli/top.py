"""top: one screen of figures, once or as they change."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from qvl.cli.context import Context, print_line_json
from qvl.cli.render_top import top as render
from qvl.cli.units import now_utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import StatusDoc

EXAMPLES = """examples:
  qvlctl top
  qvlctl top --watch"""
EVERY_S = 1.0


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = EXAMPLES
    parser.add_argument("--watch", action="store_true", help="show them anew every second, until Ctrl-C")
    return top


def top(context: Context, args: argparse.Namespace) -> int:
    if not args.watch:
        doc = context.client.status()
        if context.json:
            context.print_json(figures(doc))
        else:
            print(render(doc, now=now_utc(), width=context.width, paint=context.paint))
        return 0
    return watch(context)


def watch(context: Context) -> int:
    from qvl.cli.waiting import Fleet

    fleet: Fleet | None = None
    shown = 0.0
    for frame in context.client.events(changes=True, tick=EVERY_S):
        if frame is not None and frame["type"] == "away":
            print(f"{frame['message']}; waiting for it to come back", file=sys.stderr)
        elif fleet is None and frame is not None and frame["type"] == "snapshot":
            fleet = Fleet(frame["status"])
        elif fleet is not None and frame is not None:
            fleet.see(frame)
        if fleet is not None and time.monotonic() - shown >= EVERY_S:
            shown = time.monotonic()
            draw(context, fleet.document())
    return 0


def draw(context: Context, doc: StatusDoc) -> None:
    if context.json:
        print_line_json(figures(doc))
        return
    screen = render(doc, now=now_utc(), width=context.width, paint=context.paint)
    if sys.stdout.isatty():
        # Home, then each line cleared to its end, then what is below: rewriting in place doesn't flicker.
        print("\033[H" + "".join(f"{line}\033[K\n" for line in screen.splitlines()) + "\033[J", end="", flush=True)
    else:
        print(screen + "\n", flush=True)


def figures(doc: StatusDoc) -> dict[str, object]:
    """What `top` shows, for programs."""
    keys = ("name", "phase", "ready", "gpus", "metrics")
    return {
        "version": 1,
        "workers": [{key: value for key, value in worker.items() if key in keys} for worker in doc["workers"]],
        "gpus": doc["gpus"],
    }

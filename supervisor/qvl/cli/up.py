"""up: the daemon in the foreground of this terminal, with the terminal interface on top of it.

The daemon is a child of ours and ends with us. Without a terminal nothing is drawn: the status is printed once all is
ready, and the daemon serves until it is told to end, or for a while.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from qvl.cli.context import Context
from qvl.cli.watching import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.cli.foreground import Foreground

DEMO_SECONDS = 20.0
EXAMPLES = """examples:
  qvlctl up --demo                     four simulated GPUs, with traffic
  qvlctl up --config ./qvl.toml --state-dir ./state --socket ./qvl.sock
  qvlctl up --demo --for 10s | cat     without a terminal: the status, an end"""


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = EXAMPLES
    parser.add_argument("--demo", action="store_true", help="on simulated GPUs (or on --config FILE), under traffic")
    parser.add_argument(
        "--for",
        dest="serve_for",
        type=seconds,
        metavar="D",
        help="without a terminal: serve this long (default: until SIGTERM; with --demo 20s)",
    )
    return up


def up(context: Context, args: argparse.Namespace) -> int:
    from qvl.cli.foreground import Ended, Foreground

    try:
        if not args.demo:
            with Foreground(context.places.paths) as daemon:
                return present(context, daemon, args.serve_for)
        from qvl.cli.demo import demo_home

        given = Path(args.config) if args.config else None
        seconds = DEMO_SECONDS if args.serve_for is None else args.serve_for
        with demo_home(given) as home, Foreground(home.paths, env=home.env) as daemon, home.traffic(daemon.client):
            return present(context, daemon, seconds)
    except Ended:
        return 0


def present(context: Context, daemon: Foreground, serve_for: float | None) -> int:
    """The interface on a terminal, else the status and then patience."""
    if all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        from qvl_tui.main import run

        return run(daemon.paths.socket, owned=True)
    from qvl.cli import render
    from qvl.cli.units import now_utc

    daemon.wait_ready()
    doc = daemon.client.status()
    if context.json:
        context.print_json(doc)
    else:
        print(render.status(doc, now=now_utc(), width=context.width, paint=context.paint))
    sys.stdout.flush()
    daemon.serve(serve_for)
    return 0

"""tui: hands over to the Textual program, which is imported for this verb only."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from qvl.cli.context import Context

EXAMPLES = """examples:
  qvlctl tui
  qvlctl tui --host gpu1                   another host, by ssh
  qvlctl tui --host gpu1 --host me@gpu2    several in one view
  qvlctl tui --readonly --theme contrast
  qvlctl tui --replay night.qvlrec         a recording of `qvlctl record`
  qvlctl tui --web                         in the browser"""
THEMES = ("dark", "light", "contrast", "colorblind")
SHORTEST = 0.2
"""Seconds between two pictures: the daemon tells no figure more often."""


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = EXAMPLES
    parser.add_argument("--readonly", action="store_true", help="look only; keys that act are off")
    help_text = "seconds between two pictures of figures (default 2)"
    parser.add_argument("--interval", type=interval, metavar="SECONDS", help=help_text)
    parser.add_argument("--theme", choices=THEMES, help="for this run and the next (default: that of the last)")
    parser.add_argument(
        "--no-mouse", action="store_true", help="leave the mouse to the terminal, to mark and copy text"
    )
    parser.add_argument("--web", action="store_true", help="in the browser, served on loopback; needs qvl[web]")
    parser.add_argument("--web-port", type=int, default=0, metavar="N", help="for --web (default: a free port)")
    parser.add_argument("--replay", metavar="FILE", help="show a recording; needs no daemon")
    return tui


def interval(text: str) -> float:
    from qvl.cli.watching import seconds

    value = seconds(text)
    if value < SHORTEST:
        raise argparse.ArgumentTypeError(f"{text} is too often: {SHORTEST:g} s at least")
    return value


def tui(context: Context, args: argparse.Namespace) -> int:
    if args.no_color:
        os.environ["NO_COLOR"] = "1"  # which Textual reads when it is imported
    from qvl_tui.__main__ import main

    return main(words(context, args))


def words(context: Context, args: argparse.Namespace) -> list[str]:
    """The command line of `python -m qvl_tui`."""
    found = [f"--host={host}" for host in context.hosts]
    if args.replay is not None:
        found = [f"--replay={args.replay}"]
    else:
        socket = context.named_socket if context.hosts else context.places.socket()
        found += [f"--socket={socket}"] if socket else []
    found += ["--readonly"] if args.readonly else []
    found += [f"--interval={args.interval}"] if args.interval is not None else []
    found += [f"--theme={args.theme}"] if args.theme else []
    found += ["--no-mouse"] if args.no_mouse else []
    found += ["--web", f"--web-port={args.web_port}"] if args.web else []
    return found

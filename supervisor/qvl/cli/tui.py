"""tui: hands over to the Textual program, which is imported for this verb only."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from qvl.cli.context import Context


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = "examples:\n  qvlctl tui\n  ssh -t gpu1 qvlctl tui"
    return tui


def tui(context: Context, args: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        from qvl.model.error import ErrorCode, QvlError

        raise QvlError(
            ErrorCode.BAD_REQUEST, "the terminal interface needs a terminal", "over ssh: ssh -t HOST qvlctl tui"
        )
    if args.no_color:
        os.environ["NO_COLOR"] = "1"  # which Textual reads when it is imported
    from qvl_tui.__main__ import main

    return main(["--socket", context.places.socket()])

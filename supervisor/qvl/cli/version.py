"""version: of qvlctl, of the daemon, of each engine. `qvlctl --version` asks nobody."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from qvl import __version__
from qvl.cli.context import Context


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = "examples:\n  qvlctl version\n  qvlctl --version     without asking the daemon"
    return version


def version(context: Context, args: argparse.Namespace) -> int:
    from qvl.model.error import QvlError

    try:
        doc = context.client.version()
    except QvlError:
        # Our own version is known all the same.
        if context.json:
            context.print_json({"version": 1, "qvlctl": __version__, "daemon": None, "python": None, "engines": {}})
        else:
            print(f"qvlctl  {__version__}")
        raise
    if context.json:
        context.print_json({"version": 1, "qvlctl": __version__, **doc})
        return 0
    print(f"qvlctl  {__version__}")
    print(f"daemon  {doc['daemon']} (Python {doc['python']})")
    for name, found in doc["engines"].items():
        print(f"engine  {name} {found or 'not found'}")
    if doc["daemon"] != __version__:
        print("the daemon runs another version than this qvlctl: `qvlctl daemon restart` takes up the installed one")
    return 0

"""daemon restart: replaces the daemon's code. Workers keep serving; the new daemon adopts them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from qvl.cli.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import SupervisorDoc

RETRY_S = 0.1


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    from qvl.cli.watching import add_wait_options

    parser.epilog = "examples:\n  pip install --upgrade qvl && qvlctl daemon restart"
    parser.add_argument("action", choices=("restart",))
    add_wait_options(parser, timeout="1m")
    return restart


def restart(context: Context, args: argparse.Namespace) -> int:
    before = context.client.status()["supervisor"]
    accepted = context.client.restart_daemon()
    if not args.wait:
        if context.json:
            context.print_json({"version": 1, "outcome": "accepted", "accepted": [accepted]})
        else:
            print(accepted["message"])
        return 0
    after = new_daemon(context, before, args.timeout)
    if context.json:
        context.print_json({"version": 1, "outcome": "done", "accepted": [accepted], "supervisor": after})
    else:
        was = f", was {before['version']}" if before["version"] != after["version"] else ""
        print(f"the daemon runs anew: version {after['version']}{was}, pid {after['pid']}")
    return 0


def new_daemon(context: Context, before: SupervisorDoc, timeout: float) -> SupervisorDoc:
    """Waits for another daemon to answer. There is no stream to wait on while there is no daemon, so it knocks."""
    from qvl.model.error import ErrorCode, QvlError

    deadline = time.monotonic() + timeout
    while True:
        try:
            after = context.client.status()["supervisor"]
            if (after["pid"], after["started_at"]) != (before["pid"], before["started_at"]):
                return after
        except QvlError as error:
            if error.code is not ErrorCode.UNREACHABLE:
                raise
        if time.monotonic() >= deadline:
            message = f"no new daemon answers after {timeout:g} s"
            raise QvlError(ErrorCode.TIMED_OUT, message, "see why: journalctl -u qvl-supervisor -e")
        time.sleep(RETRY_S)

"""switch: changes what a pool runs, as a transaction that goes back by itself where it fails."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from qvl.cli import names
from qvl.cli.acts import refuse
from qvl.cli.context import Context
from qvl.cli.waiting import FAILED, TransactionGoal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import AcceptedDoc, PoolDoc

EXAMPLES = """examples:
  qvlctl switch eagle3 --dry-run        what would happen
  qvlctl switch eagle3 --pool qwen3-vl
  qvlctl switch --reset                 back to the profile of the file
  qvlctl switch --cancel                end a switch under way and go back"""


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    from qvl.cli.watching import add_wait_options

    parser.epilog = EXAMPLES
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("profile", nargs="?", metavar="PROFILE", help="the profile to run")
    what.add_argument("--reset", action="store_true", help="run the profile that the file names")
    what.add_argument("--cancel", action="store_true", help="end the transaction under way")
    parser.add_argument("--pool", metavar="POOL", help="which pool; not needed where there is only one")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")
    add_wait_options(parser, timeout=None)
    return switch


def switch(context: Context, args: argparse.Namespace) -> int:
    if args.cancel:
        return cancel(context, args.pool)
    if args.dry_run or not args.wait:
        doc = context.client.status()
        pool = names.one_pool(args.pool, doc["pools"], option=f"qvlctl switch {args.profile or '--reset'}")
        if args.dry_run:
            return dry_run(context, pool, args.profile)
        accepted = ask(context, pool, args.profile)
        return report(context, pool["name"], accepted, "accepted", accepted["message"])
    from qvl.cli.watching import Stream

    with Stream(context.client) as stream:
        pool = names.one_pool(args.pool, stream.first["pools"], option=f"qvlctl switch {args.profile or '--reset'}")
        accepted = ask(context, pool, args.profile)
        goal = TransactionGoal("switch", stream.fleet, seq=accepted["seq"], pool=pool["name"], profile=args.profile)
        verdict = stream.wait(goal, args.timeout)
    failed = verdict.state == FAILED
    code = report(context, pool["name"], accepted, verdict.state, "" if failed else verdict.message)
    if failed:
        refuse(verdict)
    return code


def ask(context: Context, pool: PoolDoc, profile: str | None) -> AcceptedDoc:
    if profile is not None:
        check_profile(context, profile)
    return context.client.switch(pool["name"], profile)


def cancel(context: Context, name: str | None) -> int:
    doc = context.client.status()
    busy = [pool for pool in doc["pools"] if pool["switch"]]
    pool = names.one_pool(name, busy if name is None and busy else doc["pools"], option="qvlctl switch --cancel")
    accepted = context.client.cancel_switch(pool["name"])
    return report(context, pool["name"], accepted, "accepted", accepted["message"])


def dry_run(context: Context, pool: PoolDoc, profile: str | None) -> int:
    from qvl.cli.planning import print_plan

    if profile is not None:
        check_profile(context, profile)
    print_plan(context, context.client.plan_switch(pool["name"], profile))
    return 0


def check_profile(context: Context, profile: str) -> None:
    known = [info["name"] for info in context.client.profiles()]
    if profile not in known:
        raise names.unknown("profile", profile, known)


def report(context: Context, pool: str, accepted: AcceptedDoc, outcome: str, message: str) -> int:
    if context.json:
        context.print_json({"version": 1, "pool": pool, "outcome": outcome, "accepted": [accepted]})
    elif message:
        print(message)
    return 0

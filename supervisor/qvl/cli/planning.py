"""plan and apply: what an edit would do, worker by worker, and doing it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from qvl.cli.context import Context
from qvl.cli.render_plan import plan_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import PlanDoc

CHANGES = 5
"""Exit code of `plan --exit-code` where the plan is not empty."""
PLAN_EXAMPLES = """examples:
  qvlctl plan                         what saving the live file has left to do
  qvlctl plan ./new.toml              what this file would do in its place
  qvlctl plan --exit-code; test $? = 5 && echo something would change"""
APPLY_EXAMPLES = """examples:
  qvlctl plan && qvlctl apply
  qvlctl apply --no-wait"""


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    if verb == "plan":
        parser.epilog = PLAN_EXAMPLES
        parser.add_argument("file", nargs="?", metavar="FILE", help="a file to take the live one's place")
        parser.add_argument("--exit-code", action="store_true", help=f"exit {CHANGES} where something would change")
        return plan
    from qvl.cli.watching import add_wait_options

    parser.epilog = APPLY_EXAMPLES
    add_wait_options(parser, timeout=None)
    return apply


def plan(context: Context, args: argparse.Namespace) -> int:
    from qvl.model.error import ErrorCode, QvlError

    file = absolute(args.file) if args.file else None
    try:
        doc = context.client.plan(file)
    except QvlError as error:
        if file is not None and error.code is ErrorCode.UNREACHABLE:
            refuse_if_faulty(file)
        raise
    print_plan(context, doc)
    return CHANGES if args.exit_code and changes(doc) else 0


def refuse_if_faulty(file: str) -> None:
    """What is wrong with a file can be told without the daemon that would plan it: QvlError with every fault."""
    from pathlib import Path

    from qvl.cli.check import load_with_flags
    from qvl.model.error import ErrorCode, QvlError

    if faults := load_with_flags(Path(file)).faults:
        raise QvlError(ErrorCode.REFUSED, "\n".join(map(str, faults)), f"mend {file}, then plan again")


def apply(context: Context, args: argparse.Namespace) -> int:
    """Makes the plan anew and applies just that one, so that nothing is applied that was not there to be seen."""
    client = context.client
    doc = client.plan()
    config = client.status()["supervisor"]["config"]
    if not changes(doc) and config["applied"] == doc["revision"] and not config["pending"]:
        return finish(context, doc, "done", "nothing to apply: what runs is what the file says")
    if not context.json:
        print("\n".join(plan_lines(doc, width=context.width, paint=context.paint)), file=sys.stderr)
    if not args.wait:
        return finish(context, doc, "accepted", client.apply(doc["id"])["message"])
    from qvl.cli.acts import refuse
    from qvl.cli.waiting import FAILED, TransactionGoal
    from qvl.cli.watching import Stream

    with Stream(client) as stream:
        accepted = client.apply(doc["id"])
        goal = TransactionGoal("apply", stream.fleet, seq=accepted["seq"], revision=doc["revision"])
        verdict = stream.wait(goal, args.timeout)
    if verdict.state == FAILED:
        if context.json:
            finish(context, doc, verdict.state, "")
        refuse(verdict)
    return finish(context, doc, verdict.state, verdict.message or "applied")


def changes(doc: PlanDoc) -> bool:
    return bool(touched(doc))


def touched(doc: PlanDoc) -> set[str]:
    return {step["worker"] for step in doc["steps"] if step["action"] != "keep"}


def print_plan(context: Context, doc: PlanDoc) -> None:
    if context.json:
        context.print_json(doc)
    else:
        print("\n".join(plan_lines(doc, width=context.width, paint=context.paint)))


def finish(context: Context, doc: PlanDoc, outcome: str, message: str) -> int:
    if context.json:
        context.print_json({"version": 1, "outcome": outcome, "plan": doc})
    else:
        print(message)
    return 0


def absolute(path: str) -> str:
    """The daemon works in another directory. Raises QvlError for a file that is not there: the daemon's own sentence
    would not tell a slip of the fingers from a file that only it can't see."""
    import os

    full = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(full):
        from qvl.model.error import ErrorCode, QvlError

        raise QvlError(
            ErrorCode.NOT_FOUND, f"there is no file {full}", "name a configuration file, or none for the live one"
        )
    return full

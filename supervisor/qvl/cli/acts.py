"""start, stop, restart and wait: each ends when what was asked for is so, and says why where it can't be."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from qvl.cli import names
from qvl.cli.context import Context
from qvl.cli.waiting import FAILED, READY, RESTARTED, STOPPED, Verdict, WorkerGoal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import AcceptedDoc, WorkerDoc

GOALS = {"start": READY, "stop": STOPPED, "restart": RESTARTED}
EXAMPLES = {
    "start": "qvlctl start all\n  qvlctl start qwen3-vl-0 --timeout 5m",
    "stop": "qvlctl stop qwen3-vl\n  qvlctl stop qwen3-vl-0 --no-wait",
    "restart": "qvlctl restart qwen3-vl-0\n  qvlctl restart all --timeout 30m",
    "wait": "qvlctl wait qwen3-vl --timeout 15m && run-my-benchmark\n  qvlctl wait all --for stopped",
}


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    from qvl.cli.watching import add_timeout, add_wait_options

    parser.epilog = f"examples:\n  {EXAMPLES[verb]}"
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="a worker, a pool, or all")
    if verb == "wait":
        goals = (READY, STOPPED)
        parser.add_argument("--for", dest="goal", choices=goals, default=READY, help="what for (default: ready)")
        add_timeout(parser, timeout="10m")
        return wait
    add_wait_options(parser, timeout="10m")
    return partial(act, verb)


def act(verb: str, context: Context, args: argparse.Namespace) -> int:
    if not args.wait:
        found = names.targets(args.targets, context.client.status())
        return report(context, ask(context, verb, found), (), "accepted", None)
    from qvl.cli.watching import Stream

    with Stream(context.client) as stream:
        found = names.targets(args.targets, stream.first)
        accepted = ask(context, verb, found)
        after = min(one["seq"] for one in accepted)
        # Nothing was read from the stream since its snapshot: this goal knows how the workers were before the act.
        goal = WorkerGoal(GOALS[verb], concerned(verb, found), stream.fleet, after=after, seen=stream.seq)
        verdict = stream.wait(goal, args.timeout)
    return report(context, accepted, reached(goal), STOPPED if verb == "stop" else READY, verdict)


def wait(context: Context, args: argparse.Namespace) -> int:
    from qvl.cli.watching import Stream

    with Stream(context.client) as stream:
        found = names.targets(args.targets, stream.first)
        goal = WorkerGoal(args.goal, workers_of(found), stream.fleet)
        verdict = stream.wait(goal, args.timeout)
    return report(context, [], reached(goal), args.goal, verdict)


def ask(context: Context, verb: str, found: list[names.Target]) -> list[AcceptedDoc]:
    return [context.client.act(verb, target.name, pool=target.is_pool) for target in found]


def workers_of(found: list[names.Target]) -> list[str]:
    return list(dict.fromkeys(name for target in found for name in target.workers))


def concerned(verb: str, found: list[names.Target]) -> list[str]:
    """The workers that an act reaches: the restart of a pool leaves its gateway alone."""
    if verb != "restart":
        return workers_of(found)
    return list(dict.fromkeys(n for target in found for n in target.workers if n not in target.gateways))


def reached(goal: WorkerGoal) -> tuple[WorkerDoc, ...]:
    return tuple(worker for name in goal.names if (worker := goal.fleet.find(name)) is not None)


def report(
    context: Context,
    accepted: list[AcceptedDoc],
    workers: tuple[WorkerDoc, ...],
    outcome: str,
    verdict: Verdict | None,
) -> int:
    """Prints what became of an act, and raises its failure."""
    failed = verdict is not None and verdict.state == FAILED
    if context.json:
        document = {"version": 1, "outcome": FAILED if failed else outcome, "accepted": accepted, "workers": workers}
        context.print_json(document)
    elif failed:
        pass
    elif verdict is None:
        for one in accepted:
            print(one["message"])
    else:
        for worker in workers:
            print(f"{worker['name']} {outcome}" + (f" at {worker['endpoint']}" if outcome == READY else ""))
    if verdict is not None and failed:
        refuse(verdict)
    return 0


def refuse(verdict: Verdict) -> None:
    """Raises a verdict that is a failure, with the evidence that its cause rests on."""
    from qvl.model.error import ErrorCode, QvlError

    last = verdict.worker["last_exit"] if verdict.worker else None
    message = verdict.message
    if last and last["evidence"] and last["evidence"] not in message:
        message += f"\n  said: {last['evidence']}"
    raise QvlError(ErrorCode.REFUSED, message, verdict.hint)

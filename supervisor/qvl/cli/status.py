"""status: the verb that is typed most, so the one that loads least."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from qvl.cli.context import Context

EXAMPLES = """examples:
  qvlctl status
  qvlctl status qwen3-vl-0
  qvlctl status --json | jq '.workers[] | select(.ready | not) | .name'"""


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = EXAMPLES
    parser.add_argument("workers", nargs="*", metavar="WORKER", help="only these workers, or those of these pools")
    return status


def status(context: Context, args: argparse.Namespace) -> int:
    if context.json and not args.workers:
        context.print_raw_json(context.client.raw("/v1/status"))
        return 0
    doc = context.client.status()
    if args.workers:
        from qvl.cli.names import chosen_workers, named_pools

        chosen = chosen_workers(args.workers, doc)
        pools = {worker["pool"] for worker in chosen} | named_pools(args.workers, doc)
        cards = {gpu for worker in chosen for gpu in worker["gpus"]}
        doc["workers"] = chosen
        doc["pools"] = [pool for pool in doc["pools"] if pool["name"] in pools]
        doc["gpus"] = [gpu for gpu in doc["gpus"] if gpu["index"] in cards or gpu["uuid"] in cards]
    if context.json:
        context.print_json(doc)
        return 0
    from qvl.cli import render
    from qvl.cli.units import now_utc

    print(render.status(doc, now=now_utc(), width=context.width, paint=context.paint))
    return 0

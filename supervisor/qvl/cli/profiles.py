"""profiles and show: which recipes there are, what one comes down to, and what a running engine made of it."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable

from qvl.cli import table
from qvl.cli.context import Context
from qvl.cli.names import unknown
from qvl.cli.render import note
from qvl.cli.terminal import Paint, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import ArgOriginDoc, ProfileDoc, ProfileInfoDoc, ResolvedDoc, ResolvedValueDoc
    from qvl.model.error import QvlError

EXAMPLES = """examples:
  qvlctl show eagle3                    where each argument comes from, and what
                                        the engine made of it where one runs it
  qvlctl show eagle3 --all              everything that the engine resolved
  qvlctl show eagle3 --pool qwen3-vl    as this pool would run it
  qvlctl show eagle3 --worker qwen3-vl-1"""

OPEN = "-"
"""Stands for what the profile doesn't set."""
SAME = "="
OTHER = "≠ "
"""Leads what the engine made of a value, where it isn't the value."""
NARROWEST = 24
"""Columns that a value has at least."""


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    if verb == "profiles":
        parser.epilog = "examples:\n  qvlctl profiles"
        return profiles
    parser.epilog = EXAMPLES
    parser.add_argument("profile", metavar="PROFILE")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--pool", metavar="POOL", help="as this pool runs it, or would")
    where.add_argument("--worker", metavar="WORKER", help="whose engine is asked; else the first that runs the profile")
    parser.add_argument("--all", action="store_true", help="everything that the engine resolved")
    return show


def profiles(context: Context, args: argparse.Namespace) -> int:
    docs = context.client.profiles()
    if context.json:
        context.print_json(docs)
    else:
        print("\n".join(profiles_lines(docs, context.paint)))
    return 0


def show(context: Context, args: argparse.Namespace) -> int:
    known = [doc["name"] for doc in context.client.profiles()]
    if args.profile not in known:
        raise unknown("profile", args.profile, known)
    pool = args.pool if args.worker is None else pool_of(context, args.worker, args.profile)
    doc = context.client.profile(args.profile, pool)
    running = doc.get("workers", [])
    if args.worker is not None:
        chosen = args.worker
    else:
        chosen = next((name for name in running if args.pool is None or belongs(name, args.pool)), None)
    answer, error = (None, None) if chosen is None else ask(context, chosen)
    if context.json:
        why = {"message": error.message, "hint": error.hint} if error is not None else None
        context.print_json({**doc, "resolved": answer, "resolved_error": why})
    else:
        lines = profile_lines(doc, answer, everything=args.all, width=context.width, paint=context.paint)
        if error is not None:
            lines += ["", *note("unresolved", error.message, "warn", width=context.width, paint=context.paint)]
            lines += note("hint", error.hint, "", width=context.width, paint=context.paint) if error.hint else []
        print("\n".join(lines))
    return 0


def ask(context: Context, worker: str) -> tuple[ResolvedDoc | None, QvlError | None]:
    """What the worker's engine says; what the profile is on paper is worth showing without it."""
    from qvl.model.error import ErrorCode, QvlError

    try:
        return context.client.resolved(worker), None
    except QvlError as error:
        if error.code is ErrorCode.UNREACHABLE:
            raise
        return None, error


def pool_of(context: Context, name: str, profile: str) -> str:
    """The pool of a worker. QvlError where there is no such worker, or it runs another profile."""
    from qvl.model.error import ErrorCode, QvlError

    workers = context.client.status()["workers"]
    worker = next((worker for worker in workers if worker["name"] == name), None)
    if worker is None:
        raise unknown("worker", name, [worker["name"] for worker in workers])
    if worker["profile"] != profile:
        text = f"worker {name} runs profile {worker['profile']}, not {profile}"
        raise QvlError(ErrorCode.CONFLICT, text, f"qvlctl show {worker['profile']} --worker {name}")
    return worker["pool"]


def belongs(worker: str, pool: str) -> bool:
    """`<pool>-<index>`, or `<pool>-<index>@<profile>` for a parked one."""
    return worker.partition("@")[0].rpartition("-")[0] == pool


def profiles_lines(docs: list[ProfileInfoDoc], paint: Paint = plain) -> list[str]:
    if not docs:
        return ["no profiles are configured"]
    rows = [
        [
            (doc["name"], ""),
            (doc["engine"], ""),
            (doc["model"] or "-", ""),
            (doc["extends"] or "-", ""),
            (", ".join(doc["used_by"]) or "-", "good"),
        ]
        for doc in docs
    ]
    return table.lines(["PROFILE", "ENGINE", "MODEL", "EXTENDS", "RUN BY"], rows, paint=paint)


def profile_lines(
    doc: ProfileDoc,
    resolved: ResolvedDoc | None = None,
    *,
    everything: bool = False,
    width: int = 80,
    paint: Paint = plain,
) -> list[str]:
    """Arguments and environment with their origins, what a worker's engine made of them, and the command line."""
    lines = [f"{doc['name']}: engine {doc['engine']}" + (f", model {doc['model']}" if doc["model"] else "")]
    lines += where(doc, resolved, width)
    rows = [[entry["key"], typed(entry["value"]), entry["origin"]] for entry in doc["args"]]
    if resolved is not None:
        rows = with_resolved(doc["args"], resolved, everything)
    if rows:
        header = ["ARGUMENT", "VALUE", "FROM", *(["RESOLVED"] if resolved is not None else [])]
        lines += ["", *columns(header, rows, width, paint)]
    if resolved is not None and everything and resolved["hidden"]:
        names = ", ".join(resolved["hidden"])
        lines += ["", *table.wrapped(names, width=width, first="hidden, as they may hold secrets: ", rest="    ")]
    if doc["env"]:
        rows = [[entry["key"], typed(entry["value"]), entry["origin"]] for entry in doc["env"]]
        lines += ["", *columns(["ENVIRONMENT", "VALUE", "FROM"], rows, width, paint)]
    if doc["raw_args"]:
        lines += ["", paint("RAW ARGUMENTS", "bold"), shlex.join(doc["raw_args"])]
    if doc["command"]:
        lines += ["", paint("COMMAND", "bold"), shlex.join(doc["command"])]
    return lines


def where(doc: ProfileDoc, resolved: ResolvedDoc | None, width: int) -> list[str]:
    """Which pool and which worker this is about."""
    lines = []
    pool = doc.get("pool")
    if pool is not None:
        settings = [f"{entry['key']} {typed(entry['value'])}" for entry in doc.get("place", []) if entry["value"] != []]
        lines += table.wrapped(", ".join(settings), width=width, first=f"in pool {pool}: ", rest="    ")
    elif "pool" in doc:
        lines.append("no pool runs it: see what it would be in one with --pool")
    if resolved is not None:
        version = f", {resolved['engine']} {resolved['version']}" if resolved["version"] else ""
        others = [name for name in doc.get("workers", []) if name != resolved["worker"]]
        also = f"; {', '.join(others)} run{'s' if len(others) == 1 else ''} it too" if others else ""
        lines += table.wrapped(f"resolved by {resolved['worker']}{version}{also}", width=width, first="", rest="    ")
    return lines


def with_resolved(args: list[ArgOriginDoc], resolved: ResolvedDoc, everything: bool) -> list[list[str]]:
    """A row for each argument, then one for what the profile leaves to the engine: what most want to know, or all."""
    by_name = {name: entry for entry in resolved["values"] for name in (entry["key"], *entry["names"])}
    rows, told = [], set()
    for arg in args:
        entry = by_name.get(arg["key"]) or by_name.get(arg["key"].removeprefix("no-"))
        made = "(hidden)" if arg["key"] in resolved["hidden"] else ""
        if entry is not None:
            told.add(entry["key"])
            made = compared(arg, entry)
        rows.append([arg["key"], typed(arg["value"]), arg["origin"], made])
    for entry in resolved["values"]:
        said = entry["common"] and entry["value"] not in (None, False)
        if entry["key"] not in told and (said or everything):
            rows.append([entry["key"], OPEN, OPEN, brief(entry["value"])])
    return rows


def compared(arg: ArgOriginDoc, entry: ResolvedValueDoc) -> str:
    if arg["origin"].startswith("profile ") and arg["key"] not in ("model", "model-path"):
        changed = entry["differs"] or entry["given"] != arg["value"]
    else:
        changed = typed(arg["value"]) != typed(entry["value"])
    if not changed:
        return SAME
    # A side port is another one at each start, and that is as it should be.
    return brief(entry["value"]) if arg["key"] == "nccl-port" else OTHER + brief(entry["value"])


def columns(header: list[str], rows: list[list[str]], width: int, paint: Paint) -> list[str]:
    """A table whose values are cut where it would be wider than the terminal; --json has all of them."""
    others = [max(len(header[at]), *(len(row[at]) for row in rows)) for at in range(len(header)) if at != 1]
    room = max(NARROWEST, width - sum(others) - len(table.GAP) * len(others))
    styled = [
        [
            (row[0], ""),
            (table.shortened(row[1], room), ""),
            (row[2], "dim"),
            *((text, "warn" if text.startswith(OTHER) else "dim" if text == SAME else "") for text in row[3:]),
        ]
        for row in rows
    ]
    return table.lines(header, styled, paint=paint)


def brief(value: object) -> str:
    """Long lists by their ends and how many there are."""
    if isinstance(value, list) and len(value) > 6:
        ends = [*map(typed, value[:3]), "…", typed(value[-1])]
        return f"[{', '.join(ends)}] ({len(value)})"
    return f"{value:.6g}" if isinstance(value, float) else table.shortened(typed(value), 60)


def typed(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

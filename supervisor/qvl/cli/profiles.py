"""profiles and show: which recipes there are, and what one comes down to."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable

from qvl.cli import table
from qvl.cli.context import Context
from qvl.cli.names import unknown
from qvl.cli.terminal import Paint, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import ArgOriginDoc, ProfileDoc, ProfileInfoDoc


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    if verb == "profiles":
        parser.epilog = "examples:\n  qvlctl profiles"
        return profiles
    parser.epilog = "examples:\n  qvlctl show eagle3"
    parser.add_argument("profile", metavar="PROFILE")
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
    doc = context.client.profile(args.profile)
    if context.json:
        context.print_json(doc)
    else:
        print("\n".join(profile_lines(doc, context.paint)))
    return 0


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


def profile_lines(doc: ProfileDoc, paint: Paint = plain) -> list[str]:
    """Arguments and environment with their origins, and the command line that comes of them."""
    lines = [f"{doc['name']}: engine {doc['engine']}" + (f", model {doc['model']}" if doc["model"] else "")]
    for title, entries in (("ARGUMENT", doc["args"]), ("ENVIRONMENT", doc["env"])):
        if entries:
            lines += ["", *origins(title, entries, paint)]
    if doc["raw_args"]:
        lines += ["", paint("RAW ARGUMENTS", "bold"), shlex.join(doc["raw_args"])]
    if doc["command"]:
        lines += ["", paint("COMMAND", "bold"), shlex.join(doc["command"])]
    return lines


def origins(title: str, entries: list[ArgOriginDoc], paint: Paint) -> list[str]:
    rows = [[(entry["key"], ""), (typed(entry["value"]), ""), (entry["origin"], "dim")] for entry in entries]
    return table.lines([title, "VALUE", "FROM"], rows, paint=paint)


def typed(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""logs: what a worker wrote, by the daemon, or from its files where no daemon answers.

Lines go through as bytes. A follower that loses the daemon waits for it and goes on at the very byte where it was.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable

from qvl.cli import names
from qvl.cli.context import Context, print_line_json
from qvl.cli.loglines import Filter, first_record
from qvl.model.loglines import LEVELS, level_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.cli.log_source import LogSource

EXAMPLES = """examples:
  qvlctl logs qwen3-vl-0 -f
  qvlctl logs qwen3-vl-0 --previous --level error    why the last run ended
  qvlctl logs qwen3-vl-0 --grep 'Decode batch' -n 20"""
PAGE = 2000
"""Lines looked at in one step where only some are shown."""
RECONNECT_S = 0.5


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = EXAMPLES
    parser.add_argument("worker", metavar="WORKER")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written")
    parser.add_argument("-n", "--lines", type=whole, default=100, metavar="N", help="the last N lines (default 100)")
    parser.add_argument("--previous", action="store_true", help="of the run before this one")
    parser.add_argument("--grep", type=pattern, metavar="RE", help="only lines that match the regular expression")
    parser.add_argument("--level", choices=tuple(LEVELS), default="info", help="only this bad or worse (default: info)")
    return logs


def whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)


def pattern(text: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error


def logs(context: Context, args: argparse.Namespace) -> int:
    from qvl.model.error import ErrorCode, QvlError

    if args.follow and args.previous:
        raise QvlError(ErrorCode.BAD_REQUEST, "--previous is over: it can't be followed", "leave out -f, or --previous")
    source = choose(context, args.worker)
    chosen = Filter(grep=args.grep, level=LEVELS[args.level])
    offset, lines = tail(source, args.lines, chosen, previous=args.previous)
    write = writer(context.json, args.worker)
    for line in lines:
        write(line)
    sys.stdout.flush()
    if args.follow:
        follow(source, offset, chosen, write)
    return 0


def choose(context: Context, worker: str) -> LogSource:
    """By the daemon where it answers and knows the worker, else the files, if there are any."""
    from qvl.cli.log_source import DaemonLog, FileLog
    from qvl.model.error import ErrorCode, QvlError

    # The files of another host are out of reach.
    files = None if context.hosts else FileLog(str(context.places.paths.log_dir / worker), worker)
    try:
        status = context.client.status()
    except QvlError as error:
        if error.code is not ErrorCode.UNREACHABLE or files is None or not files.exists():
            raise
        print(f"{error.message}; reading {files.directory}", file=sys.stderr)
        return files
    known = [doc["name"] for doc in status["workers"]]
    known += [front["name"] for pool in status["pools"] if (front := pool.get("gateway"))]
    if worker in known:
        return DaemonLog(context.client, worker)
    members = [doc["name"] for doc in status["workers"] if doc["pool"] == worker]
    if members:
        message = f"{worker} is a pool, and a log is a worker's"
        raise QvlError(ErrorCode.BAD_REQUEST, message, f"name one of {', '.join(members)}")
    if files is not None and files.exists():
        print(f"{worker} is no longer configured; reading {files.directory}", file=sys.stderr)
        return files
    raise names.unknown("worker", worker, known)


def tail(source: LogSource, count: int, chosen: Filter, *, previous: bool) -> tuple[int, list[bytes]]:
    """The last `count` lines that are chosen, and the offset after them all, at which a follower goes on."""
    offset, lines = source.page(count if chosen.open else PAGE, before=None, previous=previous)
    after = offset + sum(map(len, lines))
    if chosen.open:
        return after, lines
    found: list[bytes] = []
    while lines:
        # A page is cut where a record begins: what goes on with an older record is looked at together with that one.
        cut = first_record(lines)
        found = [*chosen.kept(lines[cut:]), *found]
        before = offset + sum(map(len, lines[:cut]))
        if len(found) >= count or before == 0:
            break
        offset, lines = source.page(PAGE, before=before, previous=previous)
    return after, found[-count:] if count else []


def follow(source: LogSource, offset: int, chosen: Filter, write: Callable[[bytes], None]) -> None:
    """Goes on from `offset` until interrupted. Raises QvlError only where the worker's log is gone for good."""
    from qvl.model.error import ErrorCode, QvlError

    told = False
    while True:
        try:
            for line in source.follow(offset):
                told = False
                offset += len(line)
                if chosen.keeps(line):
                    write(line)
                    sys.stdout.flush()
        except QvlError as error:
            if error.code is not ErrorCode.UNREACHABLE:
                raise
            if not told:
                print(f"{error.message}; waiting for it to come back", file=sys.stderr)
                told = True
        time.sleep(RECONNECT_S)


def writer(as_json: bool, worker: str) -> Callable[[bytes], None]:
    levels = {number: name for name, number in LEVELS.items()}

    def write_json(line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\n")
        print_line_json({"worker": worker, "level": levels[level_of(line)], "line": text})

    def write_plain(line: bytes) -> None:
        sys.stdout.buffer.write(line if line.endswith(b"\n") else line + b"\n")

    return write_json if as_json else write_plain

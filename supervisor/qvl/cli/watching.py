"""Waits on the daemon's event stream; never polls. What is done, failed or late is decided in `qvl.cli.waiting`."""

from __future__ import annotations

import argparse
import time

from qvl.cli.progress import Progress
from qvl.cli.units import duration
from qvl.cli.waiting import STOPPED, WAITING, Fleet, Goal, TransactionGoal, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from qvl.client.documents import FrameDoc
    from qvl.client.sync import Client
    from qvl.model.error import QvlError

PATIENCE = 90.0
"""Seconds that a wait goes on without a daemon: its restart is no reason to give up."""
TICK = 0.5
"""Seconds between looks at the deadline, and between changes of the times on the progress line."""


def add_wait_options(parser: argparse.ArgumentParser, *, timeout: str | None) -> None:
    help_text = "wait for the outcome, with progress on stderr (the default)"
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True, help=help_text)
    add_timeout(parser, timeout=timeout)


def add_timeout(parser: argparse.ArgumentParser, *, timeout: str | None) -> None:
    """`timeout`: the default as it would be typed; None: no end."""
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=None if timeout is None else seconds(timeout),
        metavar="D",
        help=f"end the waiting, and nothing else, after 90s, 5m … with exit code 4 (default: {timeout or 'no end'})",
    )


def seconds(text: str) -> float:
    """A duration on the command line. Raises ArgumentTypeError."""
    from qvl.config.units import UnitError, parse_duration

    try:
        return parse_duration(text)
    except UnitError as error:
        near = f" (write it like {error.nearest})" if error.nearest else ""
        raise argparse.ArgumentTypeError(f"{error}{near}") from error


class Stream:
    """The event stream with its first snapshot taken, so that an act can be asked for between that and the waiting."""

    def __init__(self, client: Client) -> None:
        self._frames: Generator[FrameDoc | None] = client.events(changes=True, tick=TICK, patience=PATIENCE)
        while (frame := next(self._frames)) is None or frame["type"] != "snapshot":
            pass
        self.first = frame["status"]
        self.fleet = Fleet(frame["status"])
        self.seq = frame["seq"]

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self._frames.close()

    def wait(self, goal: Goal, timeout: float | None) -> Verdict:
        """The verdict, DONE or FAILED. Raises QvlError TIMED_OUT, and UNREACHABLE where the daemon stays away."""
        progress = Progress(goal)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while (verdict := goal.verdict()).state == WAITING:
                if deadline is not None and time.monotonic() >= deadline:
                    raise timed_out(goal, timeout or 0.0)
                frame = next(self._frames)
                if frame is not None:
                    goal.see(frame)
                progress.update(frame)
        finally:
            progress.end()
        return verdict


def timed_out(goal: Goal, timeout: float) -> QvlError:
    from qvl.model.error import ErrorCode, QvlError

    if isinstance(goal, TransactionGoal):
        hint = "it goes on: look at it with `qvlctl status`, or end it with `qvlctl switch --cancel`"
        return QvlError(ErrorCode.TIMED_OUT, f"still under way after {duration(timeout)}", hint)
    behind = goal.behind()
    names = ", ".join(behind[:3]) + (f" and {len(behind) - 3} more" if len(behind) > 3 else "")
    worker = goal.fleet.find(behind[0])
    why = f": {worker['reason']}" if worker and worker["reason"] else ""
    state = f"{behind[0]} is {worker['phase'] if worker else 'gone'}{why}"
    word = "stopped" if goal.goal == STOPPED else "ready"
    message = f"{names} not {word} after {duration(timeout)} ({state})"
    return QvlError(ErrorCode.TIMED_OUT, message, f"see what it does: qvlctl logs {behind[0]} -f")

"""What is left of a worker's whole tree after a stop, after a crash of its root, and after one of the supervisor."""

import contextlib
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qvl.shim import proc

from benchmarks import marks
from benchmarks.holders import KILL_MODES, Holder, Systemds, daemon, systemds
from benchmarks.lab import RESPAWN_TIMEOUT, BenchmarkError, Lab, Word
from benchmarks.peers import QVL, Circus, Side, Supervisord
from benchmarks.report import Row, Section
from benchmarks.scale import Scale

NAME = "tree"
ROLES = {
    "child": "plain",
    "setsid": "a child in a session of its own",
    "daemon": "double-forked, in a session of its own",
    "deaf": "ignores SIGTERM",
    "orphan": "its parent has exited",
    "forker": "forks when it gets SIGTERM, and ends",
}
"""What the root of programs/tree.py has below it."""
SETTLED = 1.3
"""Seconds after which every supervisor takes a worker for started."""
LATER = 5.0
"""Seconds after "stopped" in which what is on its way out has ended."""
RETURNED = 3.0
"""Seconds, from the first sign of what a supervisor does after its return, in which it has done all of it."""
RETURN_TIMEOUT = 30.0

Opener = Callable[[str], contextlib.AbstractContextManager[Holder]]
"""Takes a mark; gives a supervisor that has begun to start its tree."""


@dataclass(slots=True)
class Found:
    """What was seen of one supervisor, a sample a run."""

    alive_at_once: list[float] = field(default_factory=list)
    alive_later: list[float] = field(default_factory=list)
    said_after: list[float] = field(default_factory=list)
    gone_after: list[float] = field(default_factory=list)
    overlap: list[float] = field(default_factory=list)
    back_after: list[float] = field(default_factory=list)
    serves: list[float] = field(default_factory=list)
    known: list[float] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    """Roles of those that a stop left for good."""
    overlapping: set[str] = field(default_factory=set)
    """Roles of those that were there when the new root came."""


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    pipes = lab.home()
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        lifeline = stack.enter_context(marks.Lifeline(pipes / "lifeline")).path
        openers = _daemons(lab, sides, lifeline, scale)
        if lab.boxes:
            try:
                box = stack.enter_context(systemds(lab, pipes))
                openers |= _units(box, lifeline, scale)
            except BenchmarkError as error:
                notes.append(f"systemd was not measured: {error}.")
        found = {name: Found() for name in openers}
        for _ in range(scale.trees):
            for case in (_stopped, _crashed, _supervisor_killed):
                with _all_up(openers, scale) as holders:
                    case(holders, found, scale)
    return Section(
        NAME, "What is left of a worker's tree", _rows(found), [*_notes(found, scale), *notes], tuple(found), ()
    )


def _daemons(lab: Lab, sides: Sequence[Side], lifeline: Path, scale: Scale) -> dict[str, Opener]:
    """Of each peer its defaults, and what its manual has for a program with children."""
    variants: list[Side] = []
    for side in sides:
        variants += [side, side.for_trees()] if isinstance(side, Supervisord | Circus) else [side]

    def opener(side: Side) -> Opener:
        return lambda mark: daemon(lab, side, mark, lifeline, scale.tree_stop, eager=scale.patience < 1)

    return {side.name: opener(side) for side in variants}


def _units(box: Systemds, lifeline: Path, scale: Scale) -> dict[str, Opener]:
    def opener(name: str) -> Opener:
        return lambda mark: box.unit(name, mark, lifeline, scale.tree_stop)

    return {name: opener(name) for name in KILL_MODES}


@contextlib.contextmanager
def _all_up(openers: dict[str, Opener], scale: Scale) -> Iterator[list[Holder]]:
    """Every supervisor with a new tree, all at the same time: they wait far more than they work."""
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(opener(secrets.token_hex(8))) for opener in openers.values()]
        for holder in holders:
            holder.wait_up()
        time.sleep(SETTLED * scale.patience)
        for holder in holders:
            there = sorted(member.role for member in marks.members(holder.mark))
            if there != sorted(("root", *ROLES)):
                raise BenchmarkError(f"the tree of {holder.name} is not complete before it is measured: {there}")
        yield holders


def _stopped(holders: Sequence[Holder], found: dict[str, Found], scale: Scale) -> None:
    with contextlib.ExitStack() as stack:
        later: list[tuple[Holder, marks.Watch, float, float]] = []
        for holder in holders:
            watch = stack.enter_context(marks.Watch(holder.mark))
            asked = time.monotonic()
            holder.stop()
            said = time.monotonic()
            at_once = marks.members(holder.mark)
            found[holder.name].alive_at_once.append(len(at_once))
            found[holder.name].said_after.append(said - asked)
            later.append((holder, watch, asked, said))
        for holder, watch, asked, said in later:
            time.sleep(max(0.0, said + LATER * scale.patience - time.monotonic()))
            left = marks.members(holder.mark)
            found[holder.name].alive_later.append(len(left))
            found[holder.name].left |= {member.role for member in left}
            if watch.gone_at is not None:
                found[holder.name].gone_after.append(watch.gone_at - asked)


def _crashed(holders: Sequence[Holder], found: dict[str, Found], scale: Scale) -> None:
    for holder in holders:
        old = holder.wait_up().number
        root = _root(holder, old)
        at = time.monotonic()
        if root is None or not proc.send_signal(root.pid, root.start, signal.SIGKILL):
            raise BenchmarkError(f"the root of {holder.name} was gone before it was killed")
        born = holder.beacon.wait(lambda words: len(words) > 1, f"a new root of {holder.name}", RESPAWN_TIMEOUT, "born")
        left = [member for member in marks.members(holder.mark) if member.root == old]
        found[holder.name].overlap.append(len(left))
        found[holder.name].overlapping |= {member.role for member in left}
        found[holder.name].back_after.append(born[1].at - at)


def _supervisor_killed(holders: Sequence[Holder], found: dict[str, Found], scale: Scale) -> None:
    old = {holder.name: holder.wait_up() for holder in holders}
    for holder in holders:
        holder.kill_supervisor()
    for holder in holders:
        _wait_until_it_acts(holder, old[holder.name])
    time.sleep(RETURNED * scale.patience)
    for holder in holders:
        worker = old[holder.name]
        roots = {member.root for member in marks.members(holder.mark) if member.role == "root"}
        found[holder.name].serves.append(int(holder.answer() == worker.number))
        found[holder.name].known.append(int(worker.pid in (holder.pids() or ())))
        found[holder.name].copies.append(len(roots))


def _wait_until_it_acts(holder: Holder, worker: Word) -> None:
    """Until it knows the worker, or has started another."""
    until = time.monotonic() + RETURN_TIMEOUT
    while len(holder.beacon.heard("born")) == 1 and worker.pid not in (holder.pids() or ()):
        if time.monotonic() > until:
            raise BenchmarkError(f"{holder.name} neither knew its worker nor started one after its return")
        time.sleep(0.05)


def _root(holder: Holder, number: int) -> marks.Member | None:
    """The machine's view of a root that is known by what it said."""
    roots = (member for member in marks.members(holder.mark) if (member.root, member.role) == (number, "root"))
    return next(roots, None)


def _rows(found: dict[str, Found]) -> list[Row]:
    def row(figure: str, unit: str, samples: Callable[[Found], list[float]]) -> Row:
        return Row(figure, unit, {name: samples(seen) for name, seen in found.items()})

    whole = len(ROLES) + 1
    return [
        row("stop: alive when it says stopped", f"of {whole}", lambda f: f.alive_at_once),
        row(f"stop: alive {LATER:g} s later", f"of {whole}", lambda f: f.alive_later),
        row("stop: says stopped after", "s", lambda f: f.said_after),
        row("stop: last process gone after", "s", lambda f: f.gone_after),
        row("root killed with -9: old ones alive when the new root starts", f"of {len(ROLES)}", lambda f: f.overlap),
        row("root killed with -9: new root after", "s", lambda f: f.back_after),
        row("supervisor killed with -9 and back: the worker serves", "1 is yes", lambda f: f.serves),
        row("… and is known to it", "1 is yes", lambda f: f.known),
        row("… and copies of that one worker", "1 is right", lambda f: f.copies),
    ]


def _notes(found: dict[str, Found], scale: Scale) -> Iterator[str]:
    yield (
        "The tree: a root, which serves HTTP and ends at SIGTERM without a thought for the others; "
        + "; ".join(f"{role} ({what})" for role, what in ROLES.items())
        + "."
    )
    yield (
        f"Each has {scale.tree_stop} s from SIGTERM to SIGKILL, and its defaults otherwise. *Group*: supervisord with "
        "`stopasgroup` and `killasgroup`; *children*: circus with `stop_children`; systemd: `Restart=always` with "
        "`KillMode=control-group` (the default), `mixed` and `process`."
    )
    yield (
        "Stopped is what `qvlctl stop`, `supervisorctl stop`, `circusctl stop --waiting` and `systemctl stop` say by "
        "returning. Times count from the request; where something stays for good, there is no last end."
    )
    yield _who("Left by a stop", {name: seen.left for name, seen in found.items()})
    yield _who("Still there when the new root starts", {name: seen.overlapping for name, seen in found.items()})
    if others := [name for name, seen in found.items() if name != QVL and QVL in found and _as_clean(seen, found[QVL])]:
        yield f"In all these counts as good as qvl: {' · '.join(others)}."
    yield (
        "What outlives its root has a second to end by itself under qvl, all of the stop's time under systemd's "
        "`control-group`, and none under `mixed`: hence most of the difference between their times. A new root waits "
        'for `backoff = "1s"` besides under qvl, for up to 5 s under circus and for 0.1 s under systemd.'
    )
    yield (
        "circus looks for the children once more before it signals each, and finds none where the root has ended by "
        "then; so it is chance whom its `stop_children` reaches here."
    )
    yield (
        "systemd is PID 1, which can't be killed: `kill -9 1` did nothing, so it executed itself anew (`systemctl "
        "daemon-reexec`). A second copy that finds the port taken waits for it with its whole tree, as a server that "
        "binds once its model is loaded would hold the memory of a card for a second time."
    )


def _who(what: str, roles: dict[str, set[str]]) -> str:
    alike: dict[str, list[str]] = {}
    for name, those in roles.items():
        left = "nothing" if not those else "all" if set(ROLES) <= those else ", ".join(r for r in ROLES if r in those)
        alike.setdefault(left, []).append(name)
    return f"{what}: " + "; ".join(f"{left} ({' · '.join(names)})" for left, names in alike.items()) + "."


def _as_clean(theirs: Found, ours: Found) -> bool:
    return (
        max(theirs.alive_at_once) <= max(ours.alive_at_once)
        and max(theirs.alive_later) <= max(ours.alive_later)
        and max(theirs.overlap) <= max(ours.overlap)
        and (min(theirs.serves), min(theirs.known)) >= (min(ours.serves), min(ours.known))
        and max(theirs.copies) <= max(ours.copies)
    )

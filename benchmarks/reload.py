"""What a saved file costs: how soon it is noticed and applied, and whom that restarts who need not be."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from qvl.client.sync import Client

from benchmarks.lab import RESPAWN_TIMEOUT, BenchmarkError, Lab, Running, Word, answers, free_ports
from benchmarks.peers import CIRCUS, QVL, SUPERVISORD, Fleet, Installation, Side
from benchmarks.report import Row, Section
from benchmarks.scale import Scale

NAME = "reload"
PROGRAMS = 4
SETTLED = 1.3
"""Seconds after which every supervisor has done what an edit led to: supervisord's startsecs is 1."""
LOOK = 0.01
"""Seconds between two looks at qvl's events, which carry their times themselves."""


Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Program:
    """One of the programs, each of which has a section of its own."""

    name: str
    port: int
    argument: str = "a"
    stop_seconds: int = 10


def measure(lab: Lab, sides: Sequence[Side], scale: Scale) -> Section:
    noticed: Samples = {QVL: []}
    policy, added, changed, hit_by_policy, hit_by_change = (_samples(sides) for _ in range(5))
    with contextlib.ExitStack() as stack:
        fleets: list[tuple[Running, Apart]] = []
        for side in sides:
            apart = Apart(side)
            fleets.append((stack.enter_context(lab.running(apart, ("serve.py",), workers=PROGRAMS)), apart))
        for running, _ in fleets:
            running.wait_up()
        for turn in range(scale.reloads):
            for running, apart in fleets:
                name, settle = apart.name, SETTLED * scale.patience
                edited = apart.programs[turn % PROGRAMS]
                time.sleep(settle)
                before = _pids(running)
                # An edit of how a program is looked after, not of the program.
                done = apart.edit(replace(edited, stop_seconds=edited.stop_seconds + 1))
                policy[name].append(done.applied)
                noticed[QVL] += [] if done.noticed is None else [done.noticed]
                time.sleep(settle)
                hit_by_policy[name].append(len(_changed(before, running)))

                more = Program(f"more{turn}", free_ports(1))
                at = time.monotonic()
                apart.edit(more)
                added[name].append((_first_word(running, more.port) - at) * 1000)
                time.sleep(settle)

                before, old = _pids(running), running.worker(edited.port)
                at = time.monotonic()
                with ThreadPoolExecutor(1) as beside:  # who applies an edit says so later than it serves again
                    edit = beside.submit(apart.edit, replace(apart.program(edited.name), argument=f"a{turn}"))
                    running.successor(old)
                    changed[name].append((answers(edited.port) - at) * 1000)
                    edit.result()
                time.sleep(settle)
                hit_by_change[name].append(len(_changed(before, running) - {edited.port}))
    return Section(
        NAME,
        f"The file is edited, with {PROGRAMS} programs",
        (
            Row("save to plan", "ms", noticed),
            Row("a policy key of one program: save to applied", "ms", policy),
            Row("… programs restarted by it", f"of {PROGRAMS}", hit_by_policy),
            Row("one more program: save to its first line", "ms", added),
            Row("an argument of one program: save to serving again", "ms", changed),
            Row("… others restarted by it", f"of {PROGRAMS - 1}", hit_by_change),
        ),
        (
            "The policy key is the time from SIGTERM to SIGKILL: qvl `stop.term`, supervisord `stopwaitsecs`, circus "
            "`graceful_timeout`.",
            "qvl notices by itself, 0.2 s after the last write; for the others somebody types `supervisorctl reread` "
            "and `supervisorctl update`, or `circusctl reloadconfig --waiting`: typed at once here, and it counts "
            "from the save until they return.",
        ),
    )


def _samples(sides: Sequence[Side]) -> Samples:
    return {side.name: [] for side in sides}


def _first_word(running: Running, port: int) -> float:
    """When the program on this port said that it is up."""

    def is_up(words: list[Word]) -> bool:
        return any(word.port == port for word in words)

    heard = running.beacon.wait(is_up, f"a new program of {running.side.name}", RESPAWN_TIMEOUT)
    return next(word.at for word in heard if word.port == port)


def _pids(running: Running) -> dict[int, int]:
    return {port: running.worker(port).pid for port in running.fleet.ports}


def _changed(before: Mapping[int, int], running: Running) -> set[int]:
    """The ports whose program is another process now."""
    return {port for port, pid in _pids(running).items() if pid != before[port]}


@dataclass(frozen=True, slots=True)
class Done:
    """Milliseconds from the save."""

    applied: float
    noticed: float | None = None
    """Until there was a plan, for whom makes one."""


class Apart:
    """A supervisor whose programs have sections of their own, so that each can be edited alone."""

    def __init__(self, side: Side) -> None:
        self.name = side.name
        self.programs: list[Program] = []
        self._side = side

    def install(self, home: Path, fleet: Fleet) -> Installation:
        self._layout = LAYOUTS[self.name]
        made = self._side.install(home, fleet)
        self._file, self._home, self._fleet = home / self._layout.file, home, fleet
        self._head = self._file.read_text().partition(self._layout.programs)[0]
        self._control = made.status[:-1]
        self._client = Client(str(home / "qvl.sock"))
        self.programs = [Program(f"p{number}", port) for number, port in enumerate(fleet.ports)]
        self._save()
        return made

    def program(self, name: str) -> Program:
        return next(program for program in self.programs if program.name == name)

    def edit(self, program: Program) -> Done:
        """Save the file with this program, in the place of the one of its name; return when that is applied."""
        names = [other.name for other in self.programs]
        if program.name in names:
            self.programs[names.index(program.name)] = program
        else:
            self.programs.append(program)
        since = self._events(0)[-1]["seq"] if self.name == QVL else 0
        wall, at = time.time(), time.monotonic()
        self._save()
        if self.name == QVL:
            return self._applied(since, wall)
        for words in self._layout.reload:
            _run(*self._control, *words)
        return Done((time.monotonic() - at) * 1000)

    def _save(self) -> None:
        """As editors do: a new file takes the old one's place."""
        new = self._file.with_suffix(".new")
        new.write_text(self._head + "".join(self._layout.section(p, self._fleet, self._home) for p in self.programs))
        new.replace(self._file)

    def _events(self, since: int) -> Sequence[Any]:
        return [frame for frame in self._client.past_events(since) if "seq" in frame]

    def _applied(self, since: int, saved: float) -> Done:
        until = time.monotonic() + RESPAWN_TIMEOUT
        while time.monotonic() < until:
            kinds = {event["kind"]: event for event in self._events(since) if event["kind"] in ("plan", "apply")}
            if "apply" in kinds:
                planned, applied = (datetime.fromisoformat(kinds[kind]["at"]).timestamp() for kind in ("plan", "apply"))
                return Done((applied - saved) * 1000, (planned - saved) * 1000)
            time.sleep(LOOK)
        raise BenchmarkError(f"qvl applied no edit within {RESPAWN_TIMEOUT:g} s")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a supervisor's file is written and taken up."""

    file: str
    programs: str
    """Where the part of the fleet's own file begins that has the programs."""
    section: Callable[[Program, Fleet, Path], str]
    reload: tuple[tuple[str, ...], ...] = ()
    """What somebody types after an edit."""


def _qvl(program: Program, fleet: Fleet, home: Path) -> str:
    name = program.name
    return (
        f'[profiles.{name}]\nengine = "bench"\nraw_args = ["{program.argument}"]\n'
        f'[pools.{name}]\nprofile = "{name}"\ngpus = "none"\nport = {program.port}\n'
        f"[pools.{name}.stop]\nterm = {program.stop_seconds}\n"
    )


def _supervisord(program: Program, fleet: Fleet, home: Path) -> str:
    return (
        f"[program:{program.name}]\ncommand = {fleet.words(str(program.port))} {program.argument}\n"
        f"stdout_logfile = {home}/log/{program.name}.log\nredirect_stderr = true\n"
        f"stopwaitsecs = {program.stop_seconds}\n"
    )


def _circus(program: Program, fleet: Fleet, home: Path) -> str:
    return (
        f"[watcher:{program.name}]\ncmd = {fleet.words(str(program.port))} {program.argument}\n"
        f"numprocesses = 1\ncopy_env = true\ngraceful_timeout = {program.stop_seconds}\n"
        f"stdout_stream.class = FileStream\nstdout_stream.filename = {home}/log/{program.name}.log\n"
    )


LAYOUTS = {
    QVL: Layout("qvl.toml", "[profiles.", _qvl),
    SUPERVISORD: Layout("supervisord.ini", "[program:", _supervisord, (("reread",), ("update",))),
    CIRCUS: Layout("circus.ini", "[watcher:", _circus, (("--timeout", "60", "reloadconfig", "--waiting"),)),
}


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{command[0]} exited with {done.returncode}: {(done.stderr or done.stdout).strip()}")

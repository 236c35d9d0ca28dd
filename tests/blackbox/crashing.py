"""A daemon that dies at a chosen one of its own steps, and what has to be true of the one that follows it.

The steps are the crash points of `qvl.host.crashpoint`. All daemons of a laboratory look into one file for the number
of points that are still to pass, so any of them can be made mortal, for the length of one act, without a restart: the
successor of one crash is the victim of the next.
"""

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from qvl.client.documents import WorkerDoc
from qvl.host import crashpoint
from qvl.model.error import ErrorCode, QvlError

from tests.blackbox.harness import Daemon, Table

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds for what takes one: the machine has other work."""

QUIET = 0.3
"""Seconds without a crash point after which an act counts as over."""

CALM = 0.1
"""Seconds between two questions to a daemon that is waited for."""

LOOK = 0.05
"""Seconds between two looks at which processes there are."""

YOUNG = 2.0
"""Seconds in which a process may still turn into something else."""

COUNTING = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done"
"""A worker whose every line can be accounted for."""

BYSTANDER: Table = {
    "engines": {"counting": {"kind": "command", "command": ["/bin/sh", "-c", COUNTING], "ready": "started"}},
    "profiles": {"counting": {"engine": "counting"}},
}


class Laboratory:
    """One state directory and its daemons. `bystander`: with a worker `aside-0`, to which nothing may ever happen."""

    def __init__(self, daemon: Daemon, *, bystander: bool = True) -> None:
        self.daemon = daemon
        self.bystander: WorkerDoc | None = None
        self._wants_bystander = bystander
        self._countdown = daemon.root / "countdown"
        self._roots = RootWatch(daemon.state / "workers")
        self._last: dict[str, Any] = {}
        """The records as the last victim left them."""
        self._tmpdirs: set[Path] = set()
        """All temporary directories that were ever linked to."""
        self.recurring: set[str] = set()
        """Workers that are forgotten and come again, and then are numbered from 1 again."""
        if bystander:
            aside: Table = {"profile": "counting", "gpus": "none", "workers": 1, "port": daemon.port + 7}
            daemon.edit(BYSTANDER, {"pools": {"aside": {**aside, "stop": {"drain": "0s", "term": "5s"}}}})

    def __enter__(self) -> "Laboratory":
        self._roots.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._roots.stop()

    # ---- life and death

    def start(self) -> None:
        """A daemon, mortal as soon as `arm` says so."""
        self.daemon.start(env={crashpoint.VARIABLE: str(self._countdown)})

    def begin(self) -> None:
        """The first daemon, with its bystander at work."""
        self.start()
        if self._wants_bystander:
            self.bystander = self.ready("aside-0")

    def arm(self, number: int, part: str = "") -> None:
        """Have the daemon die at the `number`th of the points with `part` in their name."""
        new = self._countdown.with_suffix(".new")
        new.write_text(f"{number} {part}".rstrip())
        new.replace(self._countdown)

    def disarm(self) -> None:
        self._countdown.unlink(missing_ok=True)

    def dies_during(self, act: Callable[[], object], number: int, part: str = "") -> str | None:
        """The name of the crash point at which the daemon died during `act`; None where the act came to its end."""
        self.arm(number, part)
        try:
            act()
            self._until_quiet()
        except QvlError as error:
            if error.code is not ErrorCode.UNREACHABLE:
                raise
        if self._countdown.exists():
            self.disarm()
            with contextlib.suppress(QvlError):
                self.daemon.client.status()  # what was about to be counted has been
            self.disarm()
        process = self.daemon.process
        assert process is not None
        if process.poll() is None and self.daemon.answers():
            return None
        code = process.wait(PATIENCE)
        self._last = self.records()
        self._tmpdirs |= {link.readlink() for link in self._tmp_entries() if link.is_symlink()}
        if code == 0:  # it was told to stop
            return None
        assert code == -signal.SIGKILL, f"it ended by itself\n{self.daemon.said()[-4000:]}"
        return self.point()

    def start_mortal(self) -> None:
        """A daemon that may die before it answers: QvlError."""
        self.daemon.spawn(env={crashpoint.VARIABLE: str(self._countdown)})
        calmly(lambda: self.daemon.answers() or self.has_ended, "the socket")
        self.daemon.client.status()

    @property
    def has_ended(self) -> bool:
        """Whether the last daemon has."""
        return self.daemon.process is not None and self.daemon.process.poll() is not None

    def succeed(self) -> None:
        """The successor: what it finds at once is what its predecessor left."""
        self.start()
        status = self.daemon.status
        pools = [pool["name"] for pool in status["pools"]]
        for document in status["workers"]:
            if (left := self._last.get(document["name"])) is not None and document["pool"] in pools:
                _is_continued(left, document)

    def point(self) -> str:
        """The crash point at which the last daemon died."""
        points: list[str] = re.findall(r"^crash point: (.*)$", self.daemon.said(), re.MULTILINE)
        return points[-1]

    def _until_quiet(self) -> None:
        seen, since = "", time.monotonic()

        def quiet() -> bool:
            nonlocal seen, since
            now = self._countdown.read_text() if self._countdown.exists() else "gone"
            if now != seen:
                seen, since = now, time.monotonic()
            return now == "gone" or time.monotonic() - since > QUIET

        calmly(quiet, "the last crash point of the act")

    # ---- waiting

    def until(self, predicate: Callable[[WorkerDoc], object], what: str, name: str = "chat-0") -> WorkerDoc:
        """The worker, once it satisfies `predicate`."""
        seen: WorkerDoc | None = None

        def found() -> WorkerDoc | None:
            nonlocal seen
            seen = next((w for w in self.daemon.status["workers"] if w["name"] == name), None)
            return seen if seen is not None and predicate(seen) else None

        try:
            worker = calmly(found, f"{name}: {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}, last seen: {seen}") from None
        assert worker is not None
        return worker

    def ready(self, name: str = "chat-0", *, not_pid: int | None = None) -> WorkerDoc:
        return self.until(lambda w: w["ready"] and w["pid"] != not_pid, "ready", name)

    def in_phase(self, phase: str, name: str = "chat-0") -> WorkerDoc:
        return self.until(lambda w: w["phase"] == phase, f"phase {phase}", name)

    # ---- what is there

    def records(self) -> dict[str, Any]:
        """Every worker's record on disk, by name."""
        found = {}
        for file in sorted((self.daemon.state / "workers").glob("*/record.json")):
            found[file.parent.name] = json.loads(file.read_bytes())["record"]
        return found

    def runs(self, name: str) -> list[Any]:
        """The starts of a worker, as its log has them."""
        file = self.daemon.logs / name / "runs"
        return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []

    def _tmp_entries(self) -> list[Path]:
        """The temporary directories of all workers' runs, or the links to them."""
        return [path for path in self.daemon.state.glob("workers/*/*") if path.name == "tmp"]

    def tree(self, name: str) -> tuple[set[int], set[int]]:
        """The shims and the root processes of a worker that live now."""
        bundle = self.daemon.state / "workers" / name
        shims = {pid for pid in _pids() if _bundle_of(pid) == bundle and _stat(pid) is not None}
        return shims, {pid for pid in _pids() if (stat := _stat(pid)) and stat.parent in shims and stat.leads}

    # ---- what has to be

    def has_one_tree(self, name: str) -> None:
        """One shim and one root process, which is the one that the status names."""

        def one() -> bool:
            shims, roots = self.tree(name)
            return len(shims) == 1 and roots == {self.daemon.worker(name)["pid"]}

        calmly(one, f"one shim and one root of {name}")  # a shim whose worker ended takes a moment to go

    def has_no_tree(self, name: str) -> None:
        calmly(lambda: self.tree(name) == (set(), set()), f"no process of {name}")

    def check(self) -> None:
        """What holds of every worker whenever all have settled."""
        for worker in self.daemon.status["workers"]:
            name = worker["name"]
            if worker["pid"] is None:
                self.has_no_tree(name)
            else:
                self.has_one_tree(name)
                calmly(lambda w=worker: self._roots.sees(w["name"], w["pid"]), f"the watch sees {name}")  # type: ignore[misc]
            generations = [run["generation"] for run in self.runs(name)]
            if name not in self.recurring:
                assert generations == sorted(set(generations)), f"{name}: a start has happened twice: {generations}"
            self._has_put_away(name, alive=worker["pid"] is not None)
        assert not self._roots.doubles, f"two root processes of one worker at once: {self._roots.doubles}"
        numbers = [event["seq"] for event in self.daemon.events()]
        assert numbers == sorted(set(numbers)), "events are numbered twice"
        assert "Traceback" not in self.daemon.said()
        if self.bystander is not None:
            self._is_unharmed(self.bystander)

    def _has_put_away(self, name: str, *, alive: bool) -> None:
        secrets = self.daemon.socket.parent / "secrets" / name
        calmly(lambda: not secrets.exists(), f"no secrets of {name} on disk")
        tmpdir = self.daemon.state / "workers" / name / "tmp"
        assert tmpdir.exists() == alive, f"{tmpdir} {'is missing' if alive else 'has stayed'}"

    def _is_unharmed(self, before: WorkerDoc) -> None:
        now = self.ready(before["name"])
        for field in ("pid", "restarts", "wanted", "profile", "since", "phase", "last_exit"):
            assert now[field] == before[field], f"{before['name']} was not concerned: {field}"
        numbers = [int(n) for n in re.findall(rb"^line (\d+)$", self.daemon.log(before["name"]), re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1)), "a line is lost, or there twice"
        assert len(self.runs(before["name"])) == 1

    def stop_and_look(self) -> None:
        """Stop the daemon as an operator does: nothing of any worker stays but records and logs."""
        self.daemon.stop(timeout=PATIENCE)
        self.is_put_away()

    def is_put_away(self) -> None:
        """No process, no secret, nothing of a run."""
        calmly(lambda: not self.daemon.processes(), "no process")
        secrets = self.daemon.socket.parent / "secrets"
        assert not secrets.exists() or not list(secrets.iterdir()), f"secrets have stayed: {list(secrets.iterdir())}"
        tmpdirs = [path for path in {*self._tmp_entries(), *self._tmpdirs} if os.path.lexists(path)]
        assert not tmpdirs, f"temporary directories have stayed: {tmpdirs}"
        # One name for each file, which the next write replaces: they can't become many.
        for left in self.daemon.state.rglob("*.new"):
            assert left.with_name(left.name.removeprefix(".").removesuffix(".new")).exists(), f"{left} has stayed"


def _is_continued(left: Mapping[str, Any], now: WorkerDoc) -> None:
    """A worker in the first status of a new daemon is what its record says, or already one step further."""
    name = left["name"]
    assert now["wanted"] == left["wanted"], f"{name}: wanted {left['wanted']} is forgotten"
    process = left["process"]
    lives = process is not None and (stat := _stat(process["pid"])) is not None and stat.start == process["pid_start"]
    may_have_ended = left["phase"] in ("starting", "running", "draining", "stopping") and not lives
    counts = {left["restarts"], left["restarts"] + may_have_ended, 0 if left["trial"] else left["restarts"]}
    assert now["restarts"] in counts, f"{name}: restarts is {now['restarts']} after {left['restarts']}"
    if left["phase"] == "backoff" and left["wanted"] == "up":
        due = left["deadline"]["at"] - time.monotonic() + time.time()
        if now["phase"] == "backoff":
            assert now["next_start_at"] is not None
            at = datetime.fromisoformat(now["next_start_at"]).timestamp()
            assert abs(at - due) < 0.2, f"{name}: the next start moved by {at - due:g} s"
        else:
            assert due <= time.time(), f"{name}: phase {now['phase']} before its backoff was over"
    if left["phase"] == "running" and lives and not left["trial"]:
        assert now["pid"] == process["pid"], f"{name} was serving"


def calmly(predicate: Callable[[], T], what: str) -> T:
    """`wait_until` that leaves the processors to those who are waited for."""
    deadline = time.monotonic() + PATIENCE
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what} (last value: {value!r})"
        time.sleep(CALM)
    return value


class RootWatch(threading.Thread):
    """Looks for two living root processes of one worker. What it finds is in `doubles`."""

    def __init__(self, bundles: Path) -> None:
        super().__init__(daemon=True)
        self.doubles: list[tuple[str, int, int]] = []
        self._bundles = bundles
        self._over = threading.Event()
        self._seen: dict[int, float] = {}
        self._shims: dict[int, str] = {}
        self._living: dict[str, set[tuple[int, int]]] = {}

    def run(self) -> None:
        while not self._over.wait(LOOK):
            self._look(time.monotonic())

    def stop(self) -> None:
        self._over.set()
        self.join()

    def sees(self, name: str, pid: int) -> bool:
        """Whether a root process is among those that are watched."""
        return any(pid == root for root, _ in self._living.get(name, ()))

    def _look(self, now: float) -> None:
        present = _pids()
        self._seen = {pid: self._seen.get(pid, now) for pid in present}
        self._shims = {pid: name for pid, name in self._shims.items() if pid in self._seen}
        young = [pid for pid, since in self._seen.items() if now - since < YOUNG]
        for pid in young:
            if (bundle := _bundle_of(pid)) is not None and bundle.parent == self._bundles:
                self._shims[pid] = bundle.name
        for pid in young:
            stat = _stat(pid)
            if stat is not None and stat.leads and stat.parent in self._shims:
                self._living.setdefault(self._shims[stat.parent], set()).add((pid, stat.start))
        for name, roots in self._living.items():
            alive = {root for root in roots if (stat := _stat(root[0])) is not None and stat.start == root[1]}
            self._living[name] = alive
            if len(alive) > 1:
                first, second, *_ = sorted(pid for pid, _ in alive)
                if (name, first, second) not in self.doubles:
                    self.doubles.append((name, first, second))


class _Stat:
    """A living process of /proc, zombies excluded (proc(5))."""

    def __init__(self, pid: int, fields: list[str]) -> None:
        self.parent = int(fields[1])
        self.start = int(fields[19])
        self.leads = int(fields[3]) == pid
        """Whether it leads its session, as a worker's root does and what it forks does not."""


def _stat(pid: int) -> _Stat | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else _Stat(pid, fields)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _bundle_of(pid: int) -> Path | None:
    """The directory of a process that is a shim."""
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_bytes() == b"qvl-shim\n":
            return Path(os.readlink(f"/proc/{pid}/cwd"))
    return None

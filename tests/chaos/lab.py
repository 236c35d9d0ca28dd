"""One fleet with all that looks at it: plays a round, waits until all is well, and checks what must hold."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from qvl.model.error import QvlError
from qvl.shim import proc

from tests.chaos import invariants
from tests.chaos.checks import EXPECTED, Breach, Checks
from tests.chaos.draw import SIMULATED
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.invariants import Seen
from tests.chaos.load import Load
from tests.chaos.watch import Watch

WELL = 60.0
"""Seconds after the last obstacle has gone in which all has to be well; a few would do on a quiet machine."""
PLAYED = 150.0
"""Seconds that a fault may take with all its own waits."""


class Outcome(NamedTuple):
    breaches: list[Breach]
    seconds: float
    """From the end of the last fault until all was well."""
    well: bool


class Lab:
    def __init__(self, root: Path, disk: Path | None) -> None:
        self.fleet = Fleet(root, disk)
        self.load = Load({name: self.fleet.ports[name] for name in SIMULATED})
        self.watch = Watch(self.fleet)
        self.checks = Checks(self.fleet, self.load, self.watch)
        self.usage: list[tuple[int, int]] = []
        """Descriptors and KiB of the daemon, each time that all was well."""
        self.well = WELL
        self._mute: dict[str, float] = {}

    # ---- beginning and end

    def begin(self) -> Outcome:
        """Start everything; the first look at what the daemon takes is made once all has answered requests."""
        begun = time.monotonic()
        self.fleet.mount()
        self.fleet.begin()
        self.watch.start()
        self.load.start()
        breaches = self._settle([]) or self.checks.after([], begun, victims=EXPECTED)
        return Outcome(breaches, time.monotonic() - begun, not breaches)

    def end(self) -> list[Breach]:
        """Stop the daemon, which ends its workers. Nothing may be left, and the books are closed."""
        breaches: list[Breach] = []
        self.load.stop()
        try:
            self.fleet.stop(timeout=60)
        except (AssertionError, OSError, TimeoutError) as error:
            breaches.append((2, f"the daemon does not stop: {error}"))
        else:
            until = time.monotonic() + 5
            while (left := self.fleet.processes()) and time.monotonic() < until:
                time.sleep(0.05)
            if left:
                breaches.append((2, f"left after the stop: {left}"))
        self.checks.checked[2] += 1
        self.watch.stop()
        breaches += self.checks.books(ended=True)
        return breaches

    def close(self) -> None:
        """Let go, whatever is left."""
        self.load.stop()
        self.watch.stop()
        self.fleet.close()
        self.fleet.unmount()

    # ---- a round

    def play(self, faults: Sequence[Fault]) -> Outcome:
        begun = time.monotonic()
        breaches = self._run(faults)
        over = time.monotonic()
        unwell = self._settle(faults)
        if unwell:
            return Outcome([*breaches, *unwell], time.monotonic() - over, False)
        victims = frozenset().union(*(fault.victims for fault in faults))
        return Outcome([*breaches, *self.checks.after(faults, begun, victims)], time.monotonic() - over, True)

    def _run(self, faults: Sequence[Fault]) -> list[Breach]:
        failed: list[Breach] = []

        def run(fault: Fault) -> None:
            time.sleep(fault.draw.at)  # the moment is part of the fault
            try:
                fault.play()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                failed.append((1, f"{fault} could not be played: {type(error).__name__}: {error}"))

        threads = [threading.Thread(target=run, args=(fault,), daemon=True) for fault in faults]
        for thread in threads:
            thread.start()
        for thread, fault in zip(threads, faults, strict=True):
            thread.join(PLAYED)
            if thread.is_alive():
                failed.append((1, f"{fault} is not over after {PLAYED:g} s"))
        return failed + [(1, sentence) for fault in faults for sentence in fault.told]

    # ---- until all is well

    def _settle(self, faults: Sequence[Fault]) -> list[Breach]:
        """Wait until nothing is to be complained about; what is still so in the end."""
        until = time.monotonic() + self.well
        looks: list[Callable[[], list[Breach]]] = [
            lambda: self._up(faults),
            self._applied,
            lambda: [(1, sentence) for fault in faults for sentence in fault.complaints()],
            self._no_strays,
        ]
        later: list[Callable[[], list[Breach]]] = [self._losses, self._flat]
        calm = 0.0
        self._mute.clear()
        while True:
            breaches = next((found for look in looks if (found := look())), [])
            if breaches:
                calm = 0.0
            else:
                calm = calm or time.monotonic()
                breaches = [(7, f"{name} answers no request") for name in self.load.unserved(calm)]
                breaches = breaches or next((found for look in later if (found := look())), [])
            if not breaches:
                self.checks.checked.update((1, 2, 4, 6, 7))
                return []
            if time.monotonic() > until:
                return breaches
            time.sleep(0.1)

    def _up(self, faults: Sequence[Fault]) -> list[Breach]:
        if not self.fleet.alive:
            assert self.fleet.process is not None
            return [(8, f"the daemon has ended by itself with {self.fleet.process.returncode}")]
        status = self.fleet.look()
        if status is None:
            return [(8, "the daemon does not answer")]
        workers = status["workers"]
        for worker in workers:
            quiet = worker["wanted"] == "up" and not worker["ready"] and not worker["reason"]
            self._mute[worker["name"]] = self._mute.get(worker["name"], 0) + 0.1 if quiet else 0
        if any(fault.may_fail for fault in faults):
            for worker in workers:
                if worker["phase"] == "failed" and worker["hint"]:  # it says what to do: mend this, then start it
                    with contextlib.suppress(QvlError):
                        self.fleet.client.act("start", worker["name"], pool=False)
        complaints = invariants.unexplained(workers, self._mute) + invariants.unready(workers, EXPECTED)
        return [(1, sentence) for sentence in complaints]

    def _applied(self) -> list[Breach]:
        try:
            revision = self.fleet.revision_of_file()
            file = self.fleet.file
            if file["error"] is not None and "rejected" in file["error"]:
                # Another fault of this round hit a worker on trial. Who wants the edit all the same says so.
                self.fleet.client.apply(self.fleet.client.plan()["id"])
        except QvlError as error:
            return [(1, f"the file is not applied: {error.message}")]
        if file["applied"] != revision or file["error"] is not None or file["pending"]:
            return [(1, f"the file (revision {revision}) is not applied: {dict(file)}")]
        return []

    def _no_strays(self) -> list[Breach]:
        status = self.fleet.look()
        if status is None:
            return [(8, "the daemon does not answer")]
        roots = {worker["name"]: worker["pid"] for worker in status["workers"]}
        complaints = invariants.strays(self.seen(), self.fleet.pid, roots) + self.fleet.zombies()
        return [(2, sentence) for sentence in complaints]

    def seen(self) -> list[Seen]:
        """The processes of this run."""
        read = [proc.read(pid) for pid in self.fleet.processes()]
        return [Seen(p.pid, p.ppid, p.comm, self.fleet.worker_of_shim(p)) for p in read if p is not None]

    def _losses(self) -> list[Breach]:
        """What the logs say was lost is what the status counts, for the runs that are under way."""
        status = self.fleet.look()
        counted = status["supervisor"]["lost_log_bytes"] if status else None
        told = self.checks.told_losses()
        if told is None:
            return [(1, "the state on disk knows of no process of a worker that is up")]
        if counted != told:
            return [(4, f"the status counts {counted} lost bytes of output, the logs say {told}")]
        return []

    def _flat(self) -> list[Breach]:
        try:
            now = self.fleet.usage()
        except (OSError, StopIteration):
            return [(8, "the daemon is gone")]
        breaches = [(6, sentence) for sentence in invariants.growth(self.usage[0] if self.usage else now, now)]
        if not breaches:
            self.usage.append(now)
        return breaches


def describe(lab: Lab) -> dict[str, Any]:
    """For whoever looks for the reason of a breach."""
    document: dict[str, Any] = {"status": lab.fleet.look()}
    with contextlib.suppress(QvlError):
        document["events"] = lab.fleet.events()
    document["processes"] = [one._asdict() for one in lab.seen()]
    document["daemon"] = lab.fleet.pid if lab.fleet.alive else None
    document["load"] = os.getloadavg()
    return document

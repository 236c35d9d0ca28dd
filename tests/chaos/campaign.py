"""Round after round for as long as there is time, and at the end the figures."""

import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from tests.chaos import churn, faults, obstacles
from tests.chaos.checks import Breach
from tests.chaos.draw import Draw, draw
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.invariants import INVARIANTS
from tests.chaos.lab import Lab, describe

FAULTS: dict[str, type[Fault]] = {
    "kill-daemon": faults.KillDaemon,
    "restart-daemon": faults.RestartDaemon,
    "pause-daemon": faults.PauseDaemon,
    "hangups": faults.Hangups,
    "kill-many": faults.KillMany,
    "kill-shim": faults.KillShim,
    "kill-root": faults.KillRoot,
    "stop-root": faults.StopRoot,
    "kill-child": faults.KillChild,
    "stop-child": faults.StopChild,
    "steal-port": obstacles.StealPort,
    "block-port": obstacles.BlockPort,
    "hold-gpu": obstacles.HoldGpu,
    "xid": obstacles.Xid,
    "fill-disk": obstacles.FillDisk,
    "edit-args": churn.EditArgs,
    "edit-policy": churn.EditPolicy,
    "add-pool": churn.AddPool,
    "break-config": churn.BreakConfig,
    "mute-watchers": churn.MuteWatchers,
    "half-requests": churn.HalfRequests,
    "half-completions": churn.HalfCompletions,
}


class Violation(NamedTuple):
    round: int
    breach: Breach
    faults: str


class Campaign:
    """`root`: an empty directory. `small_disk`: whether a disk may be mounted below it."""

    def __init__(self, seed: int, root: Path, out: TextIO, *, small_disk: bool, only: tuple[str, ...] = ()) -> None:
        self.violations: list[Violation] = []
        self._seed = seed
        self._root = root
        self._out = out
        self._small_disk = small_disk
        self._only = only
        self._rounds = 0
        self._played: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._checked: Counter[int] = Counter()
        self._usage: list[tuple[int, int]] = []
        self._requests = 0
        self._fleets = 0

    def run(self, seconds: float, rounds: int = 0) -> None:
        """Begin no round after `seconds`, nor more than `rounds` of them where that is not 0."""
        until = time.monotonic() + seconds
        lab = self._new_lab()
        try:
            while lab is not None and time.monotonic() < until and not 0 < rounds <= self._rounds:
                self._rounds += 1
                if not self._round(lab, self._rounds):
                    self._let_go(lab)  # what is not well would be found in every round from now on
                    lab = self._new_lab()
            if lab is not None:
                self._report(0, lab.end(), "the final stop", lab)
        finally:
            if lab is not None:
                self._let_go(lab)

    def _new_lab(self) -> Lab | None:
        self._fleets += 1
        root = self._root / f"fleet-{self._fleets}"
        root.mkdir()
        lab = Lab(root, root / "small-disk" if self._small_disk else None)
        outcome = lab.begin()
        self._say(f"{len(lab.fleet.ports) - 1} workers are up after {outcome.seconds:.1f} s")
        self._report(self._rounds, outcome.breaches, "the start", lab)
        if outcome.well:
            return lab
        self._let_go(lab)
        return None

    def _let_go(self, lab: Lab) -> None:
        self._checked += lab.checks.checked
        self._usage += lab.usage
        self._requests += lab.load.answered
        lab.close()

    def _round(self, lab: Lab, number: int) -> bool:
        """Whether all was well in the end."""
        drawn = draw(self._seed, number, self._only)
        played = [_fault(lab.fleet, one) for one in drawn]
        outcome = lab.play(played)
        what = ", ".join(map(str, played))
        fds, rss = lab.usage[-1]
        well = f"well after {outcome.seconds:4.1f} s, {fds} fds, {rss / 1024:.1f} MiB" if outcome.well else "NOT WELL"
        self._say(f"round {number:3}  {well:38}  {what}")
        self._played.update(fault.draw.kind for fault in played if fault.left_out is None)
        self._left_out.update(fault.draw.kind for fault in played if fault.left_out is not None)
        self._report(number, outcome.breaches, what, lab)
        return outcome.well

    def _report(self, number: int, breaches: Sequence[Breach], what: str, lab: Lab) -> None:
        if not breaches:
            return
        kept = self._root / f"round-{number}"
        for breach in breaches:
            self.violations.append(Violation(number, breach, what))
            self._say(f"  VIOLATION of {breach[0]} ({INVARIANTS[breach[0]]}), seed {self._seed}, round {number}:")
            self._say(f"    {breach[1]}")
        with contextlib.suppress(OSError, shutil.Error):  # what can't be copied is missed, no more
            _keep(lab, kept)
        self._say(f"  what there is to see lies in {kept}")

    def summary(self) -> None:
        """The figures of the whole run."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self._played.items()))
        self._say(f"rounds: {self._rounds}, faults: {self._played.total()} ({kinds})")
        if self._left_out:
            left = ", ".join(f"{kind} {count}" for kind, count in sorted(self._left_out.items()))
            self._say(f"drawn and not played to the end: {left}")
        checks = ", ".join(f"{number}: {count}" for number, count in sorted(self._checked.items()))
        self._say(f"invariants checked: {self._checked.total()} times ({checks}); requests answered: {self._requests}")
        if self._usage:
            (fds, rss), (fds_now, rss_now) = self._usage[0], self._usage[-1]
            most = max(rss for _, rss in self._usage)
            self._say(
                f"daemon: {fds} descriptors, {rss} KiB at first; {fds_now}, {rss_now} KiB at last; {most} KiB most"
            )
        self._say(f"violations: {len(self.violations)}")
        for violation in self.violations:
            number, sentence = violation.breach
            self._say(f"  seed {self._seed} round {violation.round} [{violation.faults}] {number}: {sentence[:300]}")

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)


def _fault(fleet: Fleet, one: Draw) -> Fault:
    return FAULTS[one.kind](fleet, one)


def _keep(lab: Lab, kept: Path) -> None:
    kept.mkdir(exist_ok=True)
    (kept / "seen.json").write_text(json.dumps(describe(lab), indent=1))
    shutil.copy(lab.fleet.journal, kept)
    shutil.copy(lab.fleet.config_file, kept)
    ignore = shutil.ignore_patterns("*.sock", "ballast", "tmp")
    for folder in (lab.fleet.state, lab.fleet.logs):
        shutil.copytree(folder, kept / folder.name, ignore=ignore, symlinks=True, dirs_exist_ok=True)

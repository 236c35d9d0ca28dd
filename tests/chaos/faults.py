"""What is done to the daemon and to processes. A fault is played once, in a thread of its own.

Each says whom it may cost a process (`victims`) and by which causes, so that whatever else ends is a violation.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from qvl.shim import proc

from tests.chaos.draw import COUNTER, SIMULATED, Draw
from tests.chaos.fleet import Fleet, Tree
from tests.support import wait_until

ROOT_PATIENCE = 10.0
"""Seconds that a fault waits for its victim to be there: another fault may just have ended it."""


class Fault:
    """`told`: what went against the rules while it was played, in sentences."""

    causes: ClassVar[frozenset[str]] = frozenset()
    """Why a victim may end, beside that it was asked to by the fault itself."""
    kills_daemon: ClassVar[bool] = False
    may_fail: ClassVar[bool] = False
    """It may leave victims `failed`, and they have to be started once it is over: their hint says so."""

    def __init__(self, fleet: Fleet, draw: Draw) -> None:
        self.fleet = fleet
        self.draw = draw
        self.told: list[str] = []
        self.left_out: str | None = None
        """Why it could not be played."""
        self.cut: set[int] = set()
        """Roots whose output was cut off with their shim."""

    @property
    def victims(self) -> frozenset[str]:
        return frozenset()

    def play(self) -> None:
        """Do it, hold it, take the obstacle away again."""
        raise NotImplementedError

    def complaints(self) -> list[str]:
        """What is not well yet after it was played."""
        return []

    def hit(self, process: proc.Process, sig: int) -> bool:
        if not proc.send_signal(process.pid, process.start, sig):
            self.left_out = "it was gone already"
            return False
        return True

    def __str__(self) -> str:
        return f"{self.draw}" + (f" ({self.left_out})" if self.left_out else "")


# ---- the daemon


class KillDaemon(Fault):
    """Up to three times in a row: a daemon that has just begun to take over dies too."""

    kills_daemon = True

    def play(self) -> None:
        for number in range(1 + self.draw.variant % 3):
            time.sleep(self.draw.seconds / 5 if number else 0)
            self.fleet.crash()
            time.sleep(self.draw.seconds / 2)  # how long it is away is part of the fault
            self.fleet.begin()


class RestartDaemon(Fault):
    kills_daemon = True

    def play(self) -> None:
        program = Path(sys.prefix, "bin", "qvlctl")
        done = subprocess.run(
            [program, "--socket", str(self.fleet.socket), "daemon", "restart", "--timeout", "60s"],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        if done.returncode != 0:
            self.told.append(f"qvlctl daemon restart: exit code {done.returncode}: {done.stderr.strip()}")


class PauseDaemon(Fault):
    """It stands still for a while, as on a host without a moment to spare: nobody is to blame for what it missed."""

    def play(self) -> None:
        process = self.fleet.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(2 * self.draw.seconds)
        finally:
            process.send_signal(signal.SIGCONT)


class Hangups(Fault):
    """SIGHUP, which reads the file anew. Never before the daemon answers: until then a reload is nobody's right."""

    def play(self) -> None:
        count = 20 + self.draw.variant % 180
        for _ in range(count):
            if self.fleet.serving.is_set() and self.fleet.process is not None:
                self.fleet.process.send_signal(signal.SIGHUP)
            time.sleep(self.draw.seconds / count)


# ---- processes of a worker


class OnWorker(Fault):
    @property
    def victims(self) -> frozenset[str]:
        return frozenset({self.draw.worker})

    def tree(self) -> Tree | None:
        """The victim's, once it has a root and, where it is a simulated engine, children."""
        trees: list[Tree] = []

        def look() -> bool:
            tree = self.fleet.trees().get(self.draw.worker)
            if tree is None or tree.root is None or (not tree.children and not self.draw.worker.startswith("count")):
                return False
            trees.append(tree)
            return True

        try:
            wait_until(look, ROOT_PATIENCE, f"a tree of {self.draw.worker}")
        except AssertionError:
            self.left_out = "nothing to hit"
            return None
        return trees[0]

    def scheduler(self, tree: Tree) -> proc.Process | None:
        found = next((child for child in tree.children if child.comm.startswith("sglang::sched")), None)
        self.left_out = None if found else "no scheduler"
        return found


class KillShim(OnWorker):
    causes = frozenset({"killed", "requested", "unknown"})

    def play(self) -> None:
        if (tree := self.tree()) is not None and tree.root is not None:
            self.cut.add(tree.root.pid)
            self.hit(tree.shim, signal.SIGKILL)


class KillRoot(OnWorker):
    causes = frozenset({"killed"})

    def play(self) -> None:
        if (tree := self.tree()) is not None and tree.root is not None:
            self.hit(tree.root, signal.SIGKILL)


class KillChild(OnWorker):
    # While it starts, SGLang takes the kernel's OOM killer for the likely reason, and so do we.
    causes = frozenset({"killed", "engine-crash", "out-of-host-memory"})

    def play(self) -> None:
        if (tree := self.tree()) is not None and (child := self.scheduler(tree)) is not None:
            self.hit(child, signal.SIGKILL)


class KillMany(Fault):
    """About half of all shims and roots at the same moment."""

    causes = KillShim.causes | KillRoot.causes

    @property
    def victims(self) -> frozenset[str]:
        rng = random.Random(self.draw.variant)
        return frozenset(name for name in (*SIMULATED, COUNTER) if rng.random() < 0.5)

    def play(self) -> None:
        rng = random.Random(self.draw.variant + 1)
        what = {name: rng.choice(("shim", "root", "both")) for name in sorted(self.victims)}
        trees = self.fleet.trees()
        for name, tree in trees.items():
            if name not in what or tree.root is None:
                continue
            if what[name] != "root":
                self.cut.add(tree.root.pid)
                self.hit(tree.shim, signal.SIGKILL)
            if what[name] != "shim":
                self.hit(tree.root, signal.SIGKILL)


class Stop(OnWorker):
    """A process that is stopped computes nothing: it has to be noticed, and ended with its tree."""

    causes = frozenset({"hang", "start-stalled"})

    def __init__(self, fleet: Fleet, draw: Draw) -> None:
        super().__init__(fleet, draw)
        self._stopped: proc.Process | None = None

    def whom(self, tree: Tree) -> proc.Process | None:
        raise NotImplementedError

    def play(self) -> None:
        tree = self.tree()
        victim = self.whom(tree) if tree is not None else None
        if victim is not None and self.hit(victim, signal.SIGSTOP):
            self._stopped = victim

    def complaints(self) -> list[str]:
        if self._stopped is not None and proc.is_alive(self._stopped.pid, self._stopped.start):
            return [f"pid {self._stopped.pid} ({self._stopped.comm}) of {self.draw.worker} is stopped and still there"]
        return []


class StopRoot(Stop):
    def whom(self, tree: Tree) -> proc.Process | None:
        return tree.root


class StopChild(Stop):
    def whom(self, tree: Tree) -> proc.Process | None:
        return self.scheduler(tree)


def ourselves() -> int:
    """The pid by which a stranger of ours is known."""
    return os.getpid()

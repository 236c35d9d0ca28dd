"""One end of a worker as its user meets it: what is told, what is left, and how soon it serves again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from qvl.client.documents import ExitDoc, WorkerDoc

from tests.blackbox.harness import Daemon
from tests.sglang.conftest import Row
from tests.sglang.traffic import complete
from tests.sglang.tree import Tree
from tests.support import wait_until

START = 300.0
"""Seconds that a start may take on a busy machine; some 18 on a quiet one."""
END = 90.0
"""Seconds that an end may take on a busy machine; SGLang's own take up to 8."""

Tell = Callable[[Row], None]


@dataclass
class Run:
    """One process of the worker, from where the test takes notice of it."""

    daemon: Daemon
    pid: int
    restarts: int
    tree: Tree
    began: float = field(default_factory=time.monotonic)
    """When it was struck: `struck` sets it anew."""
    told: float = 0.0
    """Seconds from there until the daemon told the end."""
    left: list[str] = field(default_factory=list)
    exit: ExitDoc | None = None

    @classmethod
    def of(cls, daemon: Daemon, worker: WorkerDoc) -> "Run":
        assert worker["pid"] is not None
        return cls(daemon, worker["pid"], worker["restarts"], Tree(worker["pid"]))

    def struck(self) -> None:
        """What ends it happens now."""
        self.tree.look()
        self.began = time.monotonic()

    def over(self, timeout: float = END) -> WorkerDoc:
        """Wait until the daemon tells how it ended. At that moment nothing of it may be left."""

        def ended(worker: WorkerDoc) -> bool:
            return worker["pid"] != self.pid and worker["last_exit"] is not None

        worker = self.daemon.until(ended, f"the end of {self.pid}", timeout=timeout)
        self.left = self.tree.left()
        self.told = time.monotonic() - self.began
        self.exit = worker["last_exit"]
        return worker

    def serves_again(self) -> str:
        """Wait until another process answers requests; seconds since this one was struck."""
        serving(self.daemon, self.pid)
        return f"{time.monotonic() - self.began:.1f}"

    def starts_again(self) -> str:
        """Wait until another process has been started, and let the next test have it before it serves."""
        starting(self.daemon, self.pid)
        return f"new start after {time.monotonic() - self.began:.1f}"

    def row(self, event: str, again: str) -> Row:
        end = self.exit
        assert end is not None
        how = f"signal {end['signal']}" if end["signal"] is not None else f"exit {end['code']}"
        why = shown(self.daemon, end["evidence"])
        cause = f"{end['cause']} ({how})" + (f": {why}" if why else "")
        return Row(event, cause, ", ".join(self.left) or "nothing", again)


def shown(daemon: Daemon, evidence: str | None) -> str:
    """Evidence as the table has room for it."""
    text = (evidence or "").replace(str(daemon.root), "").removeprefix("ERROR:").strip()
    return text if len(text) <= 64 else text[:63] + "…"


def starting(daemon: Daemon, old: int | None = None) -> Run:
    """The worker's next process, seen before it serves."""

    def begun(worker: WorkerDoc) -> bool:
        assert worker["phase"] != "failed", worker
        return worker["phase"] == "starting" and worker["pid"] not in (None, old)

    return Run.of(daemon, daemon.until(begun, "a new process starts", timeout=60))


def serving(daemon: Daemon, old: int | None = None) -> Run:
    """The worker's process, once it answers a request."""

    def up(worker: WorkerDoc) -> bool:
        assert worker["phase"] != "failed", worker
        return worker["ready"] and worker["pid"] != old

    worker = daemon.until(up, "ready", timeout=START)
    assert complete(daemon)["choices"]
    return Run.of(daemon, worker)


def unrequested(run: Run, tell: Tell, event: str, again: Callable[[], str]) -> WorkerDoc:
    """What holds of every end that came from outside."""
    worker = run.over()
    after = "?"
    try:
        after = again()
    finally:
        tell(run.row(event, after))
    assert not run.left
    assert worker["restarts"] == run.restarts + 1
    assert worker["wanted"] == "up"
    assert run.exit is not None
    assert run.exit["evidence"]
    return worker


def alone(daemon: Daemon) -> None:
    """Nothing but the daemon is left of all that it started, shims included."""
    assert daemon.process is not None
    pid = daemon.process.pid
    wait_until(lambda: list(daemon.processes()) == [pid], 10, "the daemon is alone")


def profile(**settings: object) -> dict[str, object]:
    return {"profiles": {"standard": settings}}

"""How a simulated engine ends: at once, of a failure, of its children, or after SGLang's slow diagnostics.

The only place that ends the process or signals its children. A drain, which decides nothing here, is the server's.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from qvl.simulator import processes
from qvl.simulator.arguments import Settings
from qvl.simulator.console import Console
from qvl.simulator.failures import MISUSE, Failure, written
from qvl.simulator.gpu import Card
from qvl.simulator.processes import Child

# Seconds that SGLang takes; `Settings.pace` scales them.
_SETTLE = 5.0
_COREDUMP_WAIT = 60.0


class Ends:
    def __init__(
        self,
        settings: Settings,
        console: Console,
        children: list[Child],
        card: Card,
        stopped: Callable[[bool], None],
    ) -> None:
        """`stopped` is told when a child is halted (SIGSTOP) and when it goes on."""
        self._pace = settings.pace
        self._model = settings.text("model_path")
        self._console = console
        self._children = children
        self._card = card
        self._stopped = stopped
        self._starting = True

    def watch(self) -> None:
        """Take SIGQUIT and the end of a child for what SGLang takes them for: a dead scheduler. One that is halted
        computes nothing meanwhile."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGQUIT, self._on_quit)
        loop.add_signal_handler(signal.SIGCHLD, self._on_child_signal)
        self._on_child_signal()  # of what came before
        for child in self._children:
            loop.add_reader(child.descriptor, self._on_child_end, child)

    def started(self) -> None:
        """From here on a dead child has diagnostics made of it."""
        self._starting = False

    def fail(self, failure: Failure) -> NoReturn:
        """End as SGLang does when its start goes wrong."""
        if failure.child:
            self._kill_children(failure.child)
        self._say(failure.lines)
        self.end(failure.code)

    def end(self, code: int) -> NoReturn:
        """End at once; a negative code is a signal. Only an end with code 0 cleans up."""
        if code == 0:
            self._card.leave()
        self._kill_children(signal.SIGKILL)
        if code < 0:
            processes.kill_self(-code)
        os._exit(code)

    def crash(self, misuse: str) -> NoReturn:
        """The scheduler dies of an exception; the parent follows after its diagnostics."""
        self._say(MISUSE[misuse])
        self.die(scheduler_lives=False)

    def die(self, scheduler_lives: bool) -> NoReturn:
        """Mute but listening, for 5 s, or for 65 s while a scheduler lives: SGLang blocks its own event loop here."""
        self._console.log("SIGQUIT received. signum=None, frame=None. It usually means one child failed.", "error")
        self._console.log("Sleeping 5 seconds before crash diagnostics to let GPU activity settle.", "error")
        time.sleep(_SETTLE * self._pace)
        wanted = os.environ.get("SGLANG_CUDA_COREDUMP_BEFORE_CRASH", "true").lower() not in ("false", "0", "no")
        if not scheduler_lives:
            self._console.log("No live scheduler processes found; skipping py-spy and CUDA coredump.", "error")
        elif wanted:
            self._console.log("Waiting 60.0 seconds for CUDA coredumps before exiting.", "error")
            time.sleep(_COREDUMP_WAIT * self._pace)
        self.log_kill(include_parent=True)
        self.end(-signal.SIGKILL)

    def _on_quit(self) -> None:
        if self._starting:
            self._console.log("Received sigquit from a child process. It usually means the child failed.", "error")
            self.log_kill(include_parent=True)
            self.end(-signal.SIGKILL)
        self.die(scheduler_lives=True)

    def _on_child_signal(self) -> None:
        for child in self._children:
            if (halted := child.halted()) is not None:
                self._stopped(halted)

    def _on_child_end(self, child: Child) -> None:
        asyncio.get_running_loop().remove_reader(child.descriptor)
        self._children.remove(child)
        code = child.exit_code()
        if self._starting:
            self._console.raw(f"RuntimeError: Rank 0 scheduler died during initialization (exit code: {code}).\n")
            self.end(1)
        self._console.log(
            f"Subprocess {child.name} (pid={child.pid}) crashed with exit code {code}. "
            "Triggering SIGQUIT for cleanup...",
            "error",
        )
        self.die(scheduler_lives=any(other.name != "detokenizer" for other in self._children))

    def log_kill(self, include_parent: bool) -> None:
        """Say that the process tree is about to be killed."""
        pid = os.getpid()
        self._console.log(f"kill_process_tree called: parent_pid={pid}, include_parent={include_parent}, pid={pid}")

    def _say(self, lines: tuple[str, ...]) -> None:
        scheduler = next((child.pid for child in self._children), 0)
        for stamped, text in written(lines, pid=os.getpid(), child=scheduler, model=self._model):
            self._console.log(text, "error") if stamped else self._console.raw(f"{text}\n")

    def _kill_children(self, number: int) -> None:
        for child in self._children:
            child.kill(number)

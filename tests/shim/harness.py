"""Real shims with real workers in a temporary directory, and a way to be sure that none stays."""

import asyncio
import sys
from pathlib import Path

from qvl.shim import client, logread, proc
from qvl.shim.records import Answer, Bootstrap, ExitRecord

from tests.support import wait_until

SHELL_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


class Bench:
    """Where one test's worker lives: its bundle, its log, its shim."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bundle = root / "bundle"
        self.log_dir = root / "log"
        self.bundle.mkdir(mode=0o700)
        self.answers: list[Answer] = []

    def bootstrap(
        self,
        *argv: str,
        generation: int = 1,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        max_size: int = 1_000_000,
        keep: int = 5,
        secrets: tuple[str, ...] = (),
    ) -> Bootstrap:
        return Bootstrap(
            worker="chat-0",
            generation=generation,
            bundle=str(self.bundle),
            argv=list(argv),
            env=SHELL_ENV if env is None else env,
            cwd=str(cwd or self.root),
            log_dir=str(self.log_dir),
            max_size=max_size,
            keep=keep,
            secrets=list(secrets),
        )

    async def launch(self, bootstrap: Bootstrap, *, python: str = sys.executable, timeout: float = 10) -> Answer:
        answer = await client.launch(bootstrap, python=python, timeout=timeout)
        self.answers.append(answer)
        return answer

    def start(self, bootstrap: Bootstrap) -> Answer:
        """Launch from a loop that ends at once, as a daemon does that crashes after the launch."""
        return asyncio.run(self.launch(bootstrap))

    def log(self) -> bytes:
        return b"".join(Path(segment.path).read_bytes() for segment in logread.segments(self.log_dir))

    def wait_gone(self, timeout: float = 20) -> ExitRecord:
        """Wait for the shim's own end; return what it left on record."""
        shim = self.answers[-1]
        wait_until(lambda: not proc.is_alive(shim.shim_pid, shim.shim_start), timeout, "end of the shim")
        record = client.read_exit(self.bundle)
        assert record is not None
        return record

    def clean(self) -> None:
        """End what a failed test left: first the workers, for the shims know them, then the shims."""
        for answer in self.answers:
            if not proc.is_alive(answer.shim_pid, answer.shim_start):
                continue
            for process in proc.descendants(answer.shim_pid):
                proc.send_signal(process.pid, process.start, 9)
            try:
                wait_until(lambda a=answer: not proc.is_alive(a.shim_pid, a.shim_start), 10, "end of a shim")  # type: ignore[misc]
            finally:
                proc.send_signal(answer.shim_pid, answer.shim_start, 9)


def shell(script: str) -> tuple[str, str, str]:
    return ("sh", "-c", script)


def python(script: str, *args: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", script, *args)

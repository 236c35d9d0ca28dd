"""A real systemd for tests: PID 1 of fresh namespaces over a throw-away overlay of this machine's root.

The box sees the machine's files (the virtual environment of this checkout, say) and can change none of them; what it
writes, starts and listens on is gone when it is, but for folders that are named as kept. The machine's own init may be
anything. Boots in about 0.3 s.

Needs root and the Debian packages `systemd` (installed, not running) and `util-linux`. Where the machine still has
version 1 control groups, MemoryMax= and the like don't act inside; the tree of groups and `cgroup.kill` do.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import wait_until
from tests.systemd.box_init import SYSTEMD, Settings

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def missing_prerequisite() -> str | None:
    """What this machine lacks for a box, as a sentence; None if nothing."""
    if not sys.platform.startswith("linux"):
        return "a box needs Linux"
    if os.geteuid() != 0:
        return "a box needs root: it makes namespaces and mounts"
    if not Path(SYSTEMD).exists():
        return f"a box needs the package systemd: there is no {SYSTEMD}"
    for program in ("nsenter", "pivot_root"):
        if shutil.which(program, path=ENVIRONMENT["PATH"]) is None:
            return f"a box needs the package util-linux: there is no {program}"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "a box needs overlayfs: the kernel doesn't have it, or its module isn't loaded"
    return None


MADE_ANEW = (Path("/tmp"), Path("/run"), Path("/dev"))
"""What a box has of its own, empty, in front of the machine's."""


def _needs_bind(path: Path) -> bool:
    """Whether a box wouldn't show `path` by itself."""
    hidden = any(path.is_relative_to(folder) for folder in MADE_ANEW)
    return hidden or path.stat().st_dev != Path("/").stat().st_dev


class Box:
    """A booted systemd. `with Box(folder) as box:`, or start() and stop(), as often as one likes.

    Its processes are exactly those of one pid namespace: stop() ends that namespace and can meet no other process. It
    ends too when the test run is killed, since the process that holds it waits for the end of a pipe.
    """

    def __init__(
        self, folder: Path, visible: Iterable[Path] = (), kept: Iterable[str] = (), target: str = "basic.target"
    ) -> None:
        """`folder` is made, used for mount points and a console log. `visible`: paths that the box must show.

        Those on the root file system it shows anyway, but for what lies below the folders that every boot makes anew;
        the others are bound, read-only. `kept`: folders of the box that
        begin empty and whose content the next start() finds again, as a disk's after a reboot.
        """
        self.folder = folder
        self.console = folder / "console.log"
        self._visible = sorted({path.resolve() for path in visible})
        self._kept = tuple(kept)
        self._target = target
        self._holder: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._spawned: list[subprocess.Popen[bytes]] = []
        self.holder = 0
        """The process that keeps the box alive."""

    def start(self, timeout: float = 60) -> None:
        """Boot; returns when systemd has come up, AssertionError with what there is to read when it hasn't."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings: Settings = {
            "folder": str(self.folder),
            "visible": [str(path) for path in self._visible if _needs_bind(path)],
            "kept": {path: self._disk(path) for path in self._kept},
            "target": self._target,
        }
        with self.console.open("wb") as console:
            self._holder = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("box_init.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                start_new_session=True,  # Ctrl-C is for the test run, which then closes the pipe
            )
        self.holder = self._holder.pid
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        try:
            self._holder.stdin.write(json.dumps(settings).encode() + b"\n")
            self._holder.stdin.flush()
            answer = self._holder.stdout.readline()
            assert answer, f"the box did not start:\n{self._console_end()}"
            self._pid = json.loads(answer)["pid"]
            try:
                wait_until(self._is_up, timeout, "the box's systemd is up")
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self._early_journal()}") from None
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process of the box at once and forget what it wrote. Again: nothing."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.communicate(timeout=30)
        while self._spawned:
            with self._spawned.pop() as program, suppress(BrokenPipeError):  # waits for it: it went with its namespace
                assert program.stdin is not None
                program.stdin.close()

    def power_off(self, timeout: float = 60) -> None:
        """Shut down in order, as `systemctl poweroff` does, then stop()."""
        self.exec("systemctl", "--no-block", "poweroff")
        wait_until(lambda: not self.running, timeout, "the box has powered off")
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the box's PID 1 lives."""
        return self._holder is not None and self._holder.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def exec(
        self, *command: str | Path, check: bool = True, timeout: float = 60, input: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside as root; with `check`, a failure is an AssertionError with what it printed."""
        assert self.running, f"the box is down:\n{self._console_end()}"
        done = subprocess.run(
            ["nsenter", "--target", str(self._pid), "--all", "--", *command],
            stdin=subprocess.DEVNULL if input is None else None,
            input=input,
            capture_output=True,
            timeout=timeout,
            env=ENVIRONMENT,
            check=False,
        )
        if check and done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise AssertionError(f"in the box, {' '.join(map(str, command))}: exit {done.returncode}\n{said}")
        return done

    def spawn(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a program inside as root that goes on, to be spoken to by its stdin and stdout.

        It ends with the box, or by itself when its stdin does; a signal to what is returned here would not reach it.
        """
        program = subprocess.Popen(
            ["nsenter", "--target", str(self._pid), "--all", "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        self._spawned.append(program)
        return program

    def outside(self, path: str) -> Path:
        """Where the machine sees a file of the box, for as long as the box runs; sockets can be connected to."""
        return Path(f"/proc/{self._pid}/root{path}")

    def read(self, *command: str | Path) -> str:
        """What a command inside prints, without the last line break."""
        return self.exec(*command).stdout.decode().rstrip("\n")

    def put(self, source: Path | str, destination: str, mode: int = 0o644) -> None:
        """Write a file inside: a copy of the machine's `source`, or the text `source`."""
        content = source.read_bytes() if isinstance(source, Path) else source.encode()
        script = 'mkdir -p "${1%/*}" && cat >"$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"'
        self.exec("sh", "-ec", script, "put", destination, f"{mode:o}", input=content)

    def get(self, path: str) -> bytes:
        """A file of the box."""
        return self.exec("cat", path).stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit as systemd has them."""
        lines = self.read("systemctl", "show", unit, f"--property={','.join(properties)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, unit: str, *options: str) -> str:
        """What the unit logged and what systemd logged about it."""
        self.exec("journalctl", "--sync")
        return self.read("journalctl", "--no-pager", "--output=short-monotonic", f"--unit={unit}", *options)

    def _disk(self, path: str) -> str:
        """The machine's folder that is the box's `path`."""
        disk = self.folder / "kept" / path.lstrip("/")
        disk.mkdir(parents=True, exist_ok=True)
        return str(disk)

    def _is_up(self) -> bool:
        """Whether it has booted. Until PID 1 is systemd, the answer is "offline" or none."""
        assert self.running, f"the box's PID 1 has ended:\n{self._console_end()}"
        state = self.exec("systemctl", "is-system-running", check=False, timeout=10).stdout.decode().strip()
        return state in ("running", "degraded")

    def _early_journal(self) -> str:
        """What keeps it from coming up, as far as a half-booted system can say."""
        if not self.running:
            return ""
        jobs = self.exec("systemctl", "list-jobs", check=False, timeout=10).stdout
        return (jobs + self.exec("journalctl", "--no-pager", "-n", "40", check=False, timeout=10).stdout).decode()

    def _console_end(self) -> str:
        return self.console.read_text(errors="replace")[-4000:] if self.console.exists() else "(no console)"

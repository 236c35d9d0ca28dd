"""A real sshd of our own on loopback, with keys and configurations in a directory that goes with it.

No file of the user is read or written: ssh is run with `-F`, by the variable that users have for it.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import pytest

from tests.support import wait_until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
QVLCTL = Path(sys.prefix, "bin", "qvlctl")
NOWHERE = "nowhere.invalid"
"""A name that RFC 6761 has nobody resolve."""


def needed() -> None:
    """Skips where there is no sshd; in the integration that is a failure."""
    if SSHD is None or shutil.which("ssh") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("sshd is not installed: apt-get install openssh-server")
        pytest.skip("sshd is not installed: apt-get install openssh-server")


class Sshd:
    """`box` is this host behind it; `other` is the same again; `dead` a port that nobody listens on."""

    def __init__(self, *settings: str) -> None:
        """`settings`: more lines for sshd_config."""
        self.root = Path(tempfile.mkdtemp(prefix="qvl-sshd-", dir="/tmp"))
        self.run = self.root / "run"
        self.run.mkdir(mode=0o700)
        self.port, self.dead_port = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host", "user"):
            self._keygen("-N", "", "-f", str(self.root / name))
        (self.root / "authorized").write_bytes((self.root / "user.pub").read_bytes())
        lines = (
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.root}/host",
            f"AuthorizedKeysFile {self.root}/authorized",
            f"PidFile {self.root}/pid",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "MaxStartups 100",
            *settings,
        )
        (self.root / "sshd_config").write_text("\n".join(lines) + "\n")
        self.config = self.configure("config")

    def configure(self, name: str, key: str = "user", **changes: str) -> Path:
        """An ssh_config for its clients; `changes` are keywords of it."""
        values = {
            "User": getpass.getuser(),
            "HostName": "127.0.0.1",
            "IdentityFile": str(self.root / key),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": str(self.root / f"known-{name}"),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "accept-new",
            # What many have in theirs, and what must not get in the way.
            "LocalForward": f"127.0.0.1:{self.dead_port} 127.0.0.1:1",
            "ControlMaster": "auto",
            "ControlPath": f"{self.root}/%n",
            "ControlPersist": "10m",
            "RemoteCommand": "echo no shell for you",
            "RequestTTY": "yes",
            **changes,
        }
        body = "".join(f"  {key} {value}\n" for key, value in values.items())
        dead = f"Host dead\n  HostName 127.0.0.1\n  Port {self.dead_port}\n"
        (self.root / name).write_text(f"{dead}Host box other\n  Port {self.port}\n{body}")
        return self.root / name

    def environment(self, config: Path | None = None) -> dict[str, str]:
        """For qvlctl: it finds this sshd, and keeps its sockets where they are seen."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "LC_ALL": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.run),
            "QVL_SSH": f"ssh -F {config or self.config}",
        }

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists, for the child that it shuts in there
        with (self.root / "journal").open("ab") as journal:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self.root / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
            )
        wait_until(self._answers, 10, "sshd")

    def stop(self) -> None:
        """Takes no connection any more, and cuts those that there are."""
        sessions = self.sessions()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def cut(self) -> None:
        """Ends every connection; new ones are taken."""
        cut = self.sessions()
        assert cut, "no connection to cut"
        for pid in cut:
            os.kill(pid, signal.SIGKILL)

    def sessions(self) -> list[int]:
        """The pids of its children: a connection each."""
        if self._process is None:
            return []
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == self._process.pid]

    @property
    def log_ins(self) -> int:
        return self.said().count("Accepted publickey")

    def said(self) -> str:
        return (self.root / "journal").read_text(errors="replace")

    def clients(self) -> list[int]:
        """The pids of qvlctl's connections on this side."""
        wanted = f"{self.run}/qvl-ssh-".encode()
        found = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
                if words[0] == b"ssh" and any(wanted in word for word in words) and b"exec sh" in words:
                    found.append(pid)
        return found

    def left(self) -> list[str]:
        """What of qvlctl's is still there: private directories, and processes that know of them."""
        found = [str(path) for path in self.run.iterdir()]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if f"{self.run}/qvl-ssh-" in words:
                    found.append(words)
        return found

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as knock:
            return knock.recv(4) == b"SSH-"
        return False

    def _keygen(self, *words: str) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", *words], check=True, stdin=subprocess.DEVNULL)

    def __enter__(self) -> "Sshd":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                wait_until(lambda: not self.left(), 5, f"nothing is left, but {self.left()}")
        finally:
            self.stop()
            shutil.rmtree(self.root, ignore_errors=True)


def _parent(pid: int) -> int:
    try:
        return int(Path("/proc", str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _free_ports(count: int) -> list[int]:
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]
    finally:
        for holder in holders:
            holder.close()

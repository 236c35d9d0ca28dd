"""A socket of another host's daemon as a socket here, for as long as one wants it.

One authentication is enough: the same connection asks where the socket is and carries it. Where the user's own master
connection is up, it goes through that. A connection that was lost is made anew when the socket is next asked for, but
only without questions: those are for the beginning, when no interface has the terminal.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress

from qvl.client.ssh import command, probe
from qvl.client.ssh.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.model.error import QvlError

ANSWER_SECONDS = 30.0
"""For a connection that nobody is asked about: name, route, keys, and the answer to where the socket is."""
MASTER_SECONDS = 10.0
"""For the answer over a connection that is up already; after that it is taken for a dead one."""
QUIET_SECONDS = 10.0
"""For what ssh does on this host alone."""
PAUSE = 1.0
"""Seconds in which a failure is everybody's answer: several may wait for one connection."""
NO_DAEMON_PAUSE = 10.0
"""The same where the host was reached, and the next try is another log-in."""
PROMPT_PAUSE = 60.0
"""The same where a user would be needed: refused log-ins get an address banned."""
LONGEST_SOCKET = 107 - len("/c.0123456789abcdef")
"""Bytes of a directory whose sockets can be bound; ssh binds its control socket by a longer name first."""


class Tunnel:
    """`host` as ssh takes it; `socket`: an absolute path over there, None for the usual places.

    All methods may be called from any thread; `close` ends an `open` under way. Every failure is a QvlError UNREACHABLE
    in the words of ssh.
    """

    def __init__(self, host: str, socket: str | None = None) -> None:
        self.host = host
        self._wanted = socket
        self._remote: str | None = None
        self._making = threading.Lock()
        self._closed = False
        self._directory: str | None = None
        self._connection: Connection | None = None
        self._dead_master = False
        """The user's own master connection is up and does not answer."""
        self._again_at = 0.0
        """A monotonic time: until then `socket` does not try."""
        self._pause = PAUSE
        self._failure: QvlError | None = None
        self.needs_prompt = False
        """The last try failed for want of a user to answer ssh's questions."""

    @property
    def where(self) -> str:
        """What is connected to, for a sentence."""
        remote = self._remote or self._wanted
        return f"{remote} on {self.host}" if remote else self.host

    @property
    def alive(self) -> bool:
        return self._connection is not None and self._connection.alive

    @property
    def failure(self) -> QvlError | None:
        """Why the last try to connect failed; None after one that did not."""
        return self._failure

    def open(self, *, prompts: bool) -> str:
        """The socket here. `prompts`: ssh may ask for a password, a code, or whether to trust a host, on the terminal.

        The path stays the same for the life of the tunnel.
        """
        with self._making:
            if not self.alive:
                self._make(prompts)
            return self.place()

    def socket(self) -> str:
        """The same without questions, and without trying again right after a try that would have needed some."""
        with self._making:
            if not self.alive:
                if self._failure is not None and time.monotonic() < self._again_at:
                    raise self._failure
                self._make(prompts=False)
            return self.place()

    def place(self) -> str:
        """Where the socket here is, or will be once there is a connection."""
        self._directory = self._directory or private_directory()
        return f"{self._directory}/s"

    def close(self) -> None:
        """Ends the connection and removes the directory. It does not wait for `open`: that fails then."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
        elif self._directory is not None:
            with suppress(FileNotFoundError):
                os.rmdir(self._directory)

    def trouble(self, error: Exception) -> QvlError:
        """What the failure of a request over this tunnel means."""
        connection = self._connection
        words = "" if connection is None else connection.words("open failed")
        hint = f"see how it is: ssh {self.host} systemctl status qvl-supervisor"
        if connection is None or not connection.alive:
            said = _last_line(words) or "ssh ended"
            return probe.unreachable(f"the connection to {self.host} is lost: {said}", f"see: ssh {self.host} true")
        if command.refused_forward(words):
            hint += "; or its sshd forwards no unix sockets (AllowStreamLocalForwarding)"
            return probe.unreachable(f"no daemon answers at {self.where}", hint)
        what = "has said nothing for too long" if isinstance(error, TimeoutError) else f"broke off: {error}"
        return probe.unreachable(f"the daemon at {self.where} {what}", hint)

    def _make(self, prompts: bool) -> None:
        """Connects. Raises QvlError, which is then what `failure` says."""
        from qvl.model.error import QvlError

        self.needs_prompt, self._pause = False, PAUSE
        try:
            self._connect(prompts)
            self._failure = None
        except QvlError as error:
            self._failure = error
            self._again_at = time.monotonic() + self._pause
            raise

    def _connect(self, prompts: bool) -> None:
        settings = self._settings()
        master = self._master_of_user(settings)
        directory = os.path.dirname(self.place())
        control = master or f"{directory}/c"
        limited = command.setting(settings, "connecttimeout") is not None
        patience = None if prompts and limited else command.CONNECT_SECONDS
        if self._closed:
            raise probe.unreachable(f"the connection to {self.host} was given up")
        if self._connection is not None:
            self._connection.hand_over()
        if master is None:
            # An ssh that was killed leaves its control socket, and the next one would do without.
            with suppress(FileNotFoundError):
                os.unlink(control)
        self._connection = connection = Connection(
            command.connect(self.host, control, master=master is None, prompts=prompts, patience=patience),
            probe.script(self._wanted),
            directory,
            prompts=prompts,
            echo=prompts and os.isatty(2),
        )
        if self._closed:
            connection.close()
        try:
            lines = connection.answer(MASTER_SECONDS if master else None if prompts else ANSWER_SECONDS)
            self._pause = NO_DAEMON_PAUSE
            self._remote = probe.choose(self.host, probe.parse(lines))
            self._forward(connection, control, self._remote, undo=master is not None)
            connection.forget()
            return
        except TimeoutError:
            connection.stop()
            self._dead_master = master is not None
        except EOFError:
            connection.stop()
            raise self._no_connection(connection, prompts) from None
        except BaseException:
            connection.stop()
            raise
        if not self._dead_master:
            raise probe.unreachable(f"{self.host} did not answer", f"see: ssh {self.host} true")
        self._connect(prompts)

    def _no_connection(self, connection: Connection, prompts: bool) -> QvlError:
        words = connection.words()
        told = _last_line(words) or "ssh ended without a word"
        if not prompts and command.needs_prompt(words):
            self.needs_prompt = True
            hint = f"ssh would have to ask you something: leave, and come back with --host {self.host}"
            return probe.unreachable(f"{self.host} can't be reached without a question: {told}", hint)
        return probe.unreachable(
            f"{self.host} can't be reached: {told}", f"see whether it works by itself: ssh {self.host}"
        )

    def _forward(self, connection: Connection, control: str, remote: str, *, undo: bool) -> None:
        local = self.place()
        with suppress(FileNotFoundError):
            os.unlink(local)  # of the connection before this one
        if undo:
            connection.undo(command.cancel(self.host, control, local, remote))
        ran = _quiet(command.forward(self.host, control, local, remote))
        if ran.returncode != 0:
            said = _last_line(ran.stderr) or "ssh gave no reason"
            raise probe.unreachable(f"no way to {self.where}: {said}", f"see: ssh {self.host} true")

    def _settings(self) -> list[str]:
        try:
            ran = _quiet(command.settings(self.host))
        except OSError as error:
            hint = "install the OpenSSH client, or name one with QVL_SSH"
            raise probe.unreachable(f"{error.filename} can't be run: {error.strerror}", hint) from error
        if ran.returncode != 0:
            said = _last_line(ran.stderr) or f"it ended with {ran.returncode}"
            raise probe.unreachable(
                f"ssh refuses {self.host}: {said}", f"see whether it works by itself: ssh {self.host}"
            )
        return ran.stdout.splitlines()

    def _master_of_user(self, settings: list[str]) -> str | None:
        """The control socket of a connection that the user has already, so that nothing is asked twice."""
        control = command.setting(settings, "controlpath")
        if control is None or self._dead_master or not os.path.exists(control):
            return None
        return control if _quiet(command.check(self.host, control)).returncode == 0 else None


def private_directory() -> str:
    """A new directory that is ours alone, at a path short enough for sockets in it."""
    import tempfile

    bases = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
    for base in bases:
        if os.path.isabs(base) and os.access(base, os.W_OK) and len(os.fsencode(base)) < LONGEST_SOCKET - 20:
            return tempfile.mkdtemp(prefix="qvl-ssh-", dir=base)
    raise probe.unreachable(f"no directory for a socket: tried {', '.join(filter(None, bases))}", "set TMPDIR")


def _quiet(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Something that ssh does on this host alone."""
    try:
        null = subprocess.DEVNULL
        return subprocess.run(words, stdin=null, capture_output=True, text=True, check=False, timeout=QUIET_SECONDS)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"{words[0]} did not end within {QUIET_SECONDS:.0f} s")


def _last_line(words: str) -> str:
    """Printable: some of it comes from the other side."""
    line = words.strip().rpartition("\n")[2].strip()
    return "".join(char if char.isprintable() else "?" for char in line)

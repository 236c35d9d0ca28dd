"""Tells systemd how the daemon is: the sending half of the sd_notify(3) protocol.

Written out instead of taken from the package `sdnotify` 0.3.2, which sends on a blocking socket (systemd busy: our
loop stands still), encodes latin-1 (a status with a "·" or a CJK profile name is lost without a word), reads
NOTIFY_SOCKET on its own, and leaks its socket where there is none.

It never blocks, never raises, and decides nothing: when to be ready and when to ping is the control loop's to say.
Without NOTIFY_SOCKET every call is a no-op, so that the daemon is the same program in a terminal.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)

STATUS_LIMIT = 1024
"""Bytes of STATUS text that are sent. systemd throws away a datagram past 4096 bytes (its NOTIFY_BUFFER_MAX)."""

MANAGER_VARIABLES = frozenset(
    {
        # Spoken to the main process alone: a worker that inherited them could declare the service ready or alive.
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "FDSTORE",
        # About this run of the service: false as soon as a worker has outlived it.
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
        "MAINPID",
        "MANAGERPID",
        "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE",
        "CREDENTIALS_DIRECTORY",
        # The daemon's own folders.
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "CACHE_DIRECTORY",
        "LOGS_DIRECTORY",
        "CONFIGURATION_DIRECTORY",
    }
)
"""What systemd puts into a service's environment (systemd.exec(5)) and a worker must not inherit."""


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """A copy of `env` without what systemd meant for the daemon alone."""
    return {name: value for name, value in env.items() if name not in MANAGER_VARIABLES}


class Notifier:
    """A non-blocking line to the service manager that started this process."""

    watchdog_interval: float | None
    """Seconds between two calls of `watchdog()`: half of what systemd allows, as sd_watchdog_enabled(3) advises.
    None: nobody watches."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        if self._address is not None:
            # Python opens it close-on-exec. Not connected: systemd binds the path anew when it re-executes itself.
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.watchdog_interval = _watchdog_interval(environ)
        self._owed: bytes | None = None
        self._complained = False

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """The service does its work; also ends a reload, a refused one too (else `systemctl reload` hangs)."""
        self._send("READY=1", *_status_lines(status), must_arrive=True)

    def reloading(self) -> None:
        """A reload begins. `ready()` must follow."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", must_arrive=True)

    def stopping(self, status: str = "") -> None:
        """The service has begun to stop."""
        self._send("STOPPING=1", *_status_lines(status), must_arrive=True)

    def status(self, text: str) -> None:
        """One line for `systemctl status`; line breaks become spaces, the excess is cut, "" clears it."""
        self._send(f"STATUS={_one_line(text)}")

    def watchdog(self) -> None:
        """The control loop turns."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """Starting or stopping goes on: don't lose patience within `seconds` from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={max(0, round(seconds * 1_000_000))}")

    def close(self) -> None:
        """Give the socket back; later calls are no-ops."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str, must_arrive: bool = False) -> None:
        """Send one datagram, or drop it where systemd's queue is full.

        A state (`must_arrive`) that found the queue full is sent before the next message instead: a lost READY=1 is a
        start that times out. Only the newest is owed, since it says what the older one led to.
        """
        message = "\n".join(lines).encode()
        if must_arrive or (self._owed is not None and self._send_bytes(self._owed)):
            self._owed = None
        if self._owed is None and not self._send_bytes(message) and must_arrive:
            self._owed = message

    def _send_bytes(self, message: bytes) -> bool:
        """False: the queue is full, and trying later makes sense."""
        if self._socket is None or self._address is None:
            return True
        try:
            self._socket.sendto(message, self._address)
        except BlockingIOError:
            return False
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("systemd's notification socket can't be used: %s", error.strerror or error)
        return True


def _address(value: str) -> str | None:
    """The socket's address as the kernel takes it; None where there is none, or one of a family that isn't ours."""
    if value.startswith("@"):
        return "\0" + value[1:]
    return value if value.startswith("/") else None


def _status_lines(text: str) -> list[str]:
    """The STATUS= line of a message that may go without one."""
    return [f"STATUS={_one_line(text)}"] if text else []


def _one_line(text: str) -> str:
    """`text` as the protocol can carry it: one line, valid UTF-8, at most STATUS_LIMIT bytes."""
    data = " ".join(text.split()).encode(errors="replace")
    if len(data) > STATUS_LIMIT:
        data = data[: STATUS_LIMIT - len("…".encode())].decode(errors="ignore").encode() + "…".encode()
    return data.decode()


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Half of WATCHDOG_USEC in seconds, where it is meant for this very process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        usec = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return usec / 2_000_000 if usec > 0 else None

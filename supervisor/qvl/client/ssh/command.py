"""What ssh is run with, and what its words mean. Pure, but for reading QVL_SSH.

The user's own configuration holds: names, keys, jumps, agents, and a master connection of theirs if one is up. What a
configuration may ask for beyond a plain connection (a terminal, a command, forwards, a master in the background) is
switched off, since this connection carries one socket.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONNECT_SECONDS = 10
"""For a connection without a user at it, and for one whose configuration sets no limit."""
ALIVE_SECONDS = 5
ALIVE_MISSED = 3
"""A connection is given up after this many questions without an answer, so within 20 s."""

_PLAIN = (
    "RequestTTY=no",
    "RemoteCommand=none",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ControlPersist=no",
    f"ServerAliveInterval={ALIVE_SECONDS}",
    f"ServerAliveCountMax={ALIVE_MISSED}",
)


def program(env: Mapping[str, str] = os.environ) -> list[str]:
    """`ssh`, or the words of QVL_SSH: another client, or `ssh -F FILE`."""
    from shlex import split

    return split(env.get("QVL_SSH", "")) or ["ssh"]


def settings(host: str) -> list[str]:
    """Prints what the user's configuration comes to for a host; connects to nothing."""
    return [*program(), "-G", "--", host]


def setting(lines: Iterable[str], name: str) -> str | None:
    """A value from the answer to `settings`; None where it is not set."""
    for line in lines:
        key, _, value = line.partition(" ")
        if key == name and value != "none":
            return value
    return None


def check(host: str, control: str) -> list[str]:
    """Succeeds where a master is up behind a control socket."""
    return _through(control, "check", (), host)


def connect(host: str, control: str, *, master: bool, prompts: bool, patience: int | None) -> list[str]:
    """A connection with a shell that reads its script from stdin.

    `master`: this connection is the one behind `control`, else it goes through that. `patience`: seconds for the
    connection to be made; None leaves it to the user's configuration.
    """
    options = [*_PLAIN, f"ControlMaster={'yes' if master else 'no'}", f"ControlPath={escaped(control)}"]
    if not prompts:
        options.append("BatchMode=yes")
    if patience is not None:
        options.append(f"ConnectTimeout={patience}")
    return [*program(), "-T", *(word for option in options for word in ("-o", option)), "--", host, "exec sh"]


def forward(host: str, control: str, local: str, remote: str) -> list[str]:
    return _through(control, "forward", (local, remote), host)


def cancel(host: str, control: str, local: str, remote: str) -> list[str]:
    return _through(control, "cancel", (local, remote), host)


def _through(control: str, request: str, sockets: Sequence[str], host: str) -> list[str]:
    """A request to a master. Without the user's configuration: its forwards would be asked for as well."""
    between = ["-L", ":".join(map(escaped, sockets))] if sockets else []
    return [*program(), "-F", "none", "-S", escaped(control), "-O", request, *between, "--", host]


def escaped(path: str) -> str:
    """A path as ssh takes it: % and : have meanings of their own there."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace("%", "%%")


def needs_prompt(words: str) -> bool:
    """Whether ssh might have got on with somebody to answer its questions."""
    lower = words.lower()
    return any(sign in lower for sign in ("permission denied", "host key verification failed", "passphrase"))


def refused_forward(words: str) -> bool:
    """Whether the other side opened no way to the socket. Why is only in its sshd's log: nobody listens, or it forwards
    no unix sockets."""
    return "open failed" in words

"""Finds out why systemd stops us: to start us again, or for good.

A SIGTERM looks the same for `systemctl restart` and `systemctl stop`, but the first must leave the workers serving.
systemd knows: while it waits for us to go, the job that it works off is still queued under its own type. Measured with
systemd 252, the question takes 10 ms.

Asked through `systemctl`, not D-Bus: for root it speaks to systemd's private socket and so needs no message bus (which
a shutdown may already have taken away), and it is there wherever systemd is. `list-jobs` has it in one call, while
`show -p Job` gives only a number.

It only asks. What an answer means for the workers, and what "can't tell" means, is the caller's to say.
"""

import logging
import os
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

log = logging.getLogger(__name__)

_COMES_BACK = frozenset({"restart", "try-restart", "start"})
"""Job types that end with us running. `start`: someone typed `start` while the stop was still going on."""


class Unit(NamedTuple):
    """A unit and the service manager that runs it."""

    name: str
    user: bool
    """Whether that is a user's manager (`systemctl --user`)."""


def stop_is_restart(unit: str | None = None, timeout: float = 2.0) -> bool | None:
    """Whether the SIGTERM that this process has just got will be followed by a new start.

    None: can't tell. Either no systemd started this process, or it has no job for us (a `kill` by hand), or it did not
    answer within `timeout` seconds. `unit` is by default the one that this process was started as. Blocks: call it in
    a thread.
    """
    job = job_type(unit, timeout)
    if job in _COMES_BACK:
        return True
    return False if job == "stop" else None


def job_type(unit: str | None = None, timeout: float = 2.0) -> str | None:
    """What systemd is doing to the unit: "stop", "restart", "start" …; "" for nothing; None where it can't be asked."""
    own = own_unit()
    if own is None:
        return None
    name = own.name if unit is None else unit
    # Without a name: the argument is a glob, in which the \x2d of an escaped unit name means something else.
    listing = _ask(own, timeout, "list-jobs", "--full", "--plain", "--no-legend")
    return None if listing is None else find_job(listing, name)


def delegates(unit: Unit, timeout: float = 2.0) -> bool:
    """Whether systemd leaves the control groups below the unit's own to it. Blocks."""
    return (_ask(unit, timeout, "show", "--property=Delegate", "--", unit.name) or "").strip() == "Delegate=yes"


def _ask(unit: Unit, timeout: float, *words: str) -> str | None:
    """What the unit's manager answers to `systemctl WORDS…`; None where it can't be asked."""
    command = ["systemctl", *(["--user"] if unit.user else []), "--no-pager", *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env={**os.environ, "LC_ALL": "C"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("systemd can't be asked about %s (systemctl %s): %s", unit.name, words[0], _sentence(error))
        return None
    return done.stdout.decode(errors="replace")


def find_job(listing: str, unit: str) -> str:
    """The type of the unit's job in what `systemctl list-jobs` printed; "" where it has none."""
    for line in listing.splitlines():
        match line.split():
            case [_, name, kind, *_] if name == unit:
                return kind
    return ""


def own_unit(environ: Mapping[str, str] | None = None) -> Unit | None:
    """The service that systemd started this very process as; None for a shell, a container or another's child."""
    environ = os.environ if environ is None else environ
    # Set since systemd 248. A child of some other service (a CI runner, a terminal of a desktop) lies in that service's
    # control group too, but that service's jobs say nothing of us.
    if environ.get("SYSTEMD_EXEC_PID", str(os.getpid())) != str(os.getpid()):
        return None
    own = _cgroup("self")
    # In a container systemd's tree begins at the group of its PID 1, wherever the host put that.
    root = _cgroup("1").removesuffix("/init.scope").rstrip("/")
    return unit_of(own.removeprefix(root) if own.startswith(root + "/") else own)


def unit_of(cgroup: str) -> Unit | None:
    """The service of a control group's path, looking through sub-groups that the service made itself."""
    # systemd puts "_" before a name that the kernel would take for a file of its own.
    parts = [part.removeprefix("_") for part in cgroup.split("/") if part and not part.endswith(".slice")]
    if parts and parts[0].startswith("user@") and parts[0].endswith(".service"):
        return Unit(parts[1], user=True) if len(parts) > 1 and parts[1].endswith(".service") else None
    return Unit(parts[0], user=False) if parts and parts[0].endswith(".service") else None


def _cgroup(pid: str) -> str:
    """The path of a process's control group in systemd's own hierarchy; "" where there is none to see."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    groups = [line.split(":", 2)[1:] for line in lines]
    # Version 2 first; hosts with version 1 have the hierarchy by name, and next to it perhaps an unused version 2.
    paths = [path for wanted in ("", "name=systemd") for controllers, path in groups if controllers == wanted]
    return next((path for path in paths if path != "/"), "")


def _sentence(error: Exception) -> str:
    """What went wrong, with systemctl's own words where it had any."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {error.timeout:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        words = bytes(error.stderr or b"").decode(errors="replace").strip()
        return words or f"systemctl ended with {error.returncode}"
    return str(error)

"""A control group for each worker, below the service's own, where systemd has delegated that to us.

A process can leave its parent and its session, but not its control group: what is in it is the worker's, whoever the
shim was and whether it lives. Without delegation (a terminal, a container, `Delegate=no`) there are none, and a tree is
known by its shim, its session and the word in its environment (`qvl.daemon.ending`).

The service's own group keeps the daemon and the shims; it gets no controllers for its children, since before systemd
254 a service whose group has some can't be started again (EBUSY: no processes beside controllers, cgroups(7)). With
`DelegateSubgroup=` the daemon lives one level down, and each worker's memory is accounted for by itself.
"""

import contextlib
import logging
import os
from pathlib import Path

from qvl.daemon.systemd_job import delegates, own_unit
from qvl.host.cgroup import own_cgroup
from qvl.shim import proc

log = logging.getLogger(__name__)

WORKERS = "workers"


def delegated_root() -> Path | None:
    """The group of our own service, if systemd leaves what is below it to us. Asks systemd: call it in a thread."""
    unit, own = own_unit(), own_cgroup()
    if unit is None or own is None or not delegates(unit):
        return None
    root = next((path for path in (own, *own.parents) if path.name.removeprefix("_") == unit.name), None)
    if root is not None and root != own:
        _account_for_memory(root)
    return root


def _account_for_memory(root: Path) -> None:
    """Have the workers' groups count their own OOM kills."""
    workers = root / WORKERS
    with contextlib.suppress(OSError):
        workers.mkdir(exist_ok=True)
        for group in (root, workers):
            (group / "cgroup.subtree_control").write_text("+memory")


class Groups:
    """`root`: the group that is ours to divide, None for none."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def make(self, worker: str) -> str:
        """The group of a worker, as a path; empty where it can't have one."""
        if self._root is None:
            return ""
        path = self._root / WORKERS / worker
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            log.warning("worker %s gets no control group %s: %s", worker, path, error.strerror)
            return ""
        return str(path)


def members(group: str) -> list[proc.Process]:
    """The living processes in a group and in what an engine has made below it."""
    found = []
    for folder, _, _ in os.walk(group):
        with contextlib.suppress(OSError):
            pids = Path(folder, "cgroup.procs").read_text().split()
            found += [member for pid in pids if (member := proc.read(int(pid))) is not None]
    return [member for member in found if member.state not in proc.DEAD_STATES]


def kill(group: str) -> None:
    """SIGKILL to all of a group at once, where the kernel can (5.14)."""
    with contextlib.suppress(OSError):
        fd = os.open(f"{group}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"1")
        finally:
            os.close(fd)


def remove(group: str) -> None:
    """Take away an empty group, with those that an engine has made in it."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)

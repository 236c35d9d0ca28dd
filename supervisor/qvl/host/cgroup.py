"""The kernel's control groups (version 2): where a process is, and how often the OOM killer was there.

Facts from cgroups(7) and the kernel's admin-guide/cgroup-v2: a group is a directory, its path is the line `0::…` of
/proc/PID/cgroup, and `memory.events` counts for the group with all below it.
"""

from pathlib import Path


def own_cgroup(pid: int | str = "self", proc: Path = Path("/proc")) -> Path | None:
    """The directory of a process's control group; None where there is no version 2, or it can't be seen."""
    mount = _mount_point(proc)
    if mount is None:
        return None
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    # A group outside of our namespace's root is told as /../…: nothing that we could look into.
    return mount / path.lstrip("/") if path is not None and "/.." not in path else None


def oom_kills(cgroup: Path) -> int | None:
    """How many processes of this group, or of the nearest one around it that accounts for memory, the kernel has
    killed for want of memory; None where none does."""
    for group in (cgroup, *cgroup.parents):
        try:
            words = (group / "memory.events").read_text().split()
        except OSError:
            continue
        found = dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill")
        return int(found) if found is not None and found.isdecimal() else None
    return None


def _mount_point(proc: Path) -> Path | None:
    """Where the hierarchy of version 2 is mounted: /sys/fs/cgroup, or below it beside version 1."""
    try:
        lines = (proc / "self" / "mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if rest.split(" ", 1)[0] == "cgroup2":
            return Path(fields.split()[4])
    return None

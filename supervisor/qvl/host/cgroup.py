"""The kernel's control groups (version 2): where a process is, and how often the OOM killer was there.

Facts from cgroups(7) and the kernel's admin-guide/cgroup-v2: a group is a directory, its path is the line `0::…` of
/proc/PID/cgroup, and `memory.events` counts for the group with all below it.
"""

import re
from pathlib import Path, PurePosixPath


def own_cgroup(pid: int | str = "self", proc: Path = Path("/proc")) -> Path | None:
    """The directory of a process's control group; None where there is no version 2, or it can't be seen."""
    mount = _mount(proc)
    if mount is None:
        return None
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    # A group outside of our namespace's root is told as /../…: nothing that we could look into.
    if path is None or "/.." in path:
        return None
    point, root = mount
    try:
        # A container without a namespace of its own sees a part of the tree mounted, and the paths of the whole.
        return point / PurePosixPath(path).relative_to(root)
    except ValueError:
        return None


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


def _mount(proc: Path) -> tuple[Path, str] | None:
    """Where the hierarchy of version 2 is mounted (/sys/fs/cgroup, or below it beside version 1), and which of its
    groups is there: fields 5 and 4 of mountinfo, proc_pid_mountinfo(5)."""
    try:
        lines = (proc / "self" / "mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if rest.split(" ", 1)[0] == "cgroup2":
            root, point = (_unescaped(field) for field in fields.split(" ")[3:5])
            if not root.startswith("/.."):  # of another namespace: how its paths and ours go together isn't told
                return Path(point), root
    return None


def _unescaped(field: str) -> str:
    """The kernel writes a space, a tab, a line's end and a backslash as \\ and three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)

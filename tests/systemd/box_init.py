"""Becomes PID 1 of a box: makes the namespaces, lays a throw-away root over the machine's, and executes systemd.

Run by box.py as a program of its own (`python -I -S box_init.py`), since namespaces are taken by processes and a test
run must keep its own. Standard library only. Speaks to box.py in two lines of a protocol:

- stdin: one JSON line (Settings); then the box lives until stdin ends, whatever the reason the test run ended for;
- stdout: one JSON line, {"pid": N}, the box's PID 1 as the outside sees it.

It signals one process, its own child, which it hasn't waited for yet; the kernel ends what lives in that pid namespace.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
import uuid
from pathlib import Path
from typing import NoReturn, TypedDict

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

SYSTEMD = "/lib/systemd/systemd"

MASKED = (
    # They would act on the machine: its kernel's settings, modules and devices aren't in any namespace of ours.
    "systemd-sysctl.service",
    "systemd-modules-load.service",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-timesyncd.service",
    # They would wait for, or fail on, what a box has not.
    "systemd-remount-fs.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-networkd-wait-online.service",
    "NetworkManager-wait-online.service",
    "getty.target",
)

_libc = ctypes.CDLL(None, use_errno=True)


class Settings(TypedDict):
    """What box.py asks for."""

    folder: str
    """A folder of the box's own on the machine: mount points for the time of the set-up, empty afterwards."""
    visible: list[str]
    """Folders on other file systems than `/` that the box shows too, read-only."""
    kept: dict[str, str]
    """Folders of the box, and the machine's folder that each of them is, to be found again by the next box."""
    target: str
    """What systemd boots."""


def _check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    arguments = (source.encode(), bytes(target), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _check(_libc.mount(*arguments), f"mount {kind or source} on {target}")


def bind_read_only(source: Path, target: Path) -> None:
    """Show `source` at `target`. The kernel takes the two flags only one after the other."""
    mount(str(source), target, flags=MS_BIND | MS_REC)
    mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def unshare(flags: int) -> None:
    """unshare(2); `os.unshare` came with Python 3.12."""
    _check(_libc.unshare(flags), "unshare")


# --- outside: holds the box ---


def hold(settings: Settings) -> int:
    """Start the box, say its pid, keep it until stdin ends or it ends itself, and take its control groups away."""
    unshare(CLONE_NEWNS)
    mount("none", Path("/"), flags=MS_REC | MS_PRIVATE)
    # A control group of the box's own is the root of what systemd sees. The machine may have version 2 mounted
    # anywhere or, with version 1, nowhere; so we mount it ourselves.
    groups = Path(settings["folder"], "cgroup")
    groups.mkdir(exist_ok=True)
    mount("none", groups, "cgroup2")
    group = groups / f"qvl-box-{os.getpid()}"
    group.mkdir()
    # Opened here: the kernel judges a move by the namespace in which the file was opened.
    with (groups / _own_group().lstrip("/") / "cgroup.procs").open("w", buffering=1) as home:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        unshare(CLONE_NEWPID | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)
        pid = os.fork()
        if pid == 0:
            become_systemd(settings)
        # Back out, or systemd meets a process in its root group that has no pid in its namespace.
        home.write(str(os.getpid()))
    try:
        print(json.dumps({"pid": pid}), flush=True)
        _until_stdin_ends_or(pid)
    finally:
        # Not waited for yet, so the number can't be another's. With PID 1 the kernel kills all else in the namespace,
        # and the wait returns only when it has.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        _remove_groups(group)
    return 0


def _own_group() -> str:
    """Our control group (version 2)."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))


def _until_stdin_ends_or(pid: int) -> None:
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == ended or os.read(0, 4096) == b"":
                os.close(ended)
                return


def _remove_groups(group: Path) -> None:
    """Remove a tree of control groups. The dead leave theirs a moment after they are waited for."""
    deadline = time.monotonic() + 5
    while group.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        time.sleep(0.005)


# --- inside: PID 1 ---


def become_systemd(settings: Settings) -> NoReturn:
    """Set up the root and execute systemd; never comes back."""
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should the holder itself be killed
        unshare(CLONE_NEWNS)  # only here: the holder needs the machine's root to clean up
        mount("none", Path("/"), flags=MS_REC | MS_PRIVATE)
        socket.sethostname("qvl-box")
        _loopback_up()
        root = _lay_root(Path(settings["folder"], "root"))
        _fill_root(root)
        for path in settings["visible"]:
            target = root / path.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            bind_read_only(Path(path), target)
        for path, disk in settings["kept"].items():
            target = root / path.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            mount(disk, target, flags=MS_BIND)
        os.chdir(root)
        old = Path(".old")
        old.mkdir()
        subprocess.run(["pivot_root", ".", old], check=True)
        os.chroot(".")
        os.chdir("/")
        _check(_libc.umount2(b"/.old", MNT_DETACH), "umount the machine's root")
        os.rmdir("/.old")
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)
        environment = {"container": "qvl-box", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        os.execve(SYSTEMD, ["systemd", "--system", f"--unit={settings['target']}"], environment)
    except BaseException:  # noqa: BLE001 (the child of a fork must not run on into its parent's code, whatever happened)
        traceback.print_exc()
    finally:
        os._exit(1)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = struct.unpack("16xH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0)))[0]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def _lay_root(folder: Path) -> Path:
    """An overlay: reads come from the machine's root, writes go to a tmpfs that nobody else has mounted."""
    folder.mkdir(exist_ok=True)
    mount("qvl-box", folder, "tmpfs", data="mode=755")
    upper, work, root = folder / "upper", folder / "work", folder / "root"
    for path in (upper, work, root):
        path.mkdir()
    mount("overlay", root, "overlay", data=f"lowerdir=/,upperdir={upper},workdir={work}")
    return root


def _fill_root(root: Path) -> None:
    """Fresh file systems for what the kernel and systemd own, and settings that make this a machine of its own."""
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    bind_read_only(root / "proc/sys", root / "proc/sys")  # most of it is the machine's
    mount("sysfs", root / "sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("cgroup2", root / "sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", root / "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    mount("tmpfs", root / "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    boot = root / "run/boot_id"  # the machine's says that nothing was booted
    boot.write_text(f"{uuid.uuid4()}\n")
    mount(str(boot), root / "proc/sys/kernel/random/boot_id", flags=MS_BIND)
    _fill_dev(root / "dev")
    etc = root / "etc"
    (etc / "hostname").write_text("qvl-box\n")
    (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
    (etc / "fstab").unlink(missing_ok=True)
    (root / "var/log/journal").mkdir(parents=True, exist_ok=True)
    # Hides the machine's own services, whatever they are: a box runs what its test puts there.
    units = etc / "systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", units, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for unit in MASKED:
        (units / unit).symlink_to("/dev/null")


def _fill_dev(dev: Path) -> None:
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755")
    for name, minor in {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}.items():
        os.mknod(dev / name, 0o020666, os.makedev(1, minor))
        (dev / name).chmod(0o666)
    os.mknod(dev / "tty", 0o020666, os.makedev(5, 0))
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", dev / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for name, target in {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
                         "ptmx": "pts/ptmx"}.items():  # fmt: skip
        (dev / name).symlink_to(target)


if __name__ == "__main__":
    sys.exit(hold(json.loads(sys.stdin.readline())))

"""Runs in the daemon's place and prints what the unit's sandbox lets a worker do: one JSON object, name to outcome."""

import ctypes
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def jit() -> None:
    """What a code generator does: write instructions, then make them executable, in the same mapping."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    code = mmap.PROT_READ | mmap.PROT_EXEC
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(start), mmap.PAGESIZE, code) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


def swap_off() -> None:
    """A call that no inference server makes."""
    if ctypes.CDLL(None, use_errno=True).swapoff(b"/nowhere") != 0:
        raise OSError(ctypes.get_errno(), "swapoff")


def own_control_group() -> None:
    """A group for a worker below the service's own."""
    own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip()
    group = Path("/sys/fs/cgroup" + own, "worker")
    group.mkdir()
    group.rmdir()


def write(path: str) -> Callable[[], None]:
    """Create a file, with the folders above it."""

    def act() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("x")

    return act


ACTS: dict[str, Callable[[], object]] = {
    "generate code": jit,
    "make a control group": own_control_group,
    "list network interfaces": socket.if_nameindex,
    "open a port below 1024": lambda: socket.create_server(("127.0.0.1", 80)).close(),
    "see other processes": lambda: os.readlink("/proc/1/exe"),
    "read a home": lambda: os.listdir("/root"),
    "write shared memory": write("/dev/shm/probe"),
    "write /tmp": write("/tmp/probe"),
    "write a model cache": write("/opt/nvme/hf/hub/probe"),
    "write ~": write(os.environ["HOME"] + "/.triton/probe"),
    "write state": write("/var/lib/qvl/probe"),
    "write logs": write("/var/log/qvl/w-0/probe"),
    "write sockets": write("/run/qvl/probe"),
    "write /etc": write("/etc/probe"),
    "write /usr": write("/usr/probe"),
    "write a home": write("/root/probe"),
    "write the configuration": write("/etc/qvl/probe"),
    "set a kernel setting": write("/proc/sys/kernel/panic"),
    "read the kernel's log": lambda: Path("/dev/kmsg").open("rb").close(),
    "switch swap off": swap_off,
    "open a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
}


def outcome(act: Callable[[], object]) -> str:
    """`ok`, or the name of the error."""
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "ok"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps({name: outcome(act) for name, act in ACTS.items()}))

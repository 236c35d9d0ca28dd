"""Starts the worker's root process and tells, in a sentence, why it could not.

A plain fork and exec: `subprocess` would cost the shim a megabyte. The child gets its own session and process group,
its control group where there is one, default signal handling, the daemon's umask and no descriptor but the three
standard ones.
"""

from __future__ import annotations

import errno
import os
import signal as signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from qvl.shim.order import Order


class SpawnError(Exception):
    """The program did not start; `errno` is the kernel's, the message a sentence."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.errno = number


def spawn(order: Order, umask: int, stdio: tuple[int, int, int]) -> int:
    """Run a command line with these three descriptors; return its pid once the exec has happened."""
    report, tell = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
        if pid == 0:
            _become(order, umask, stdio, tell)
    finally:
        os.close(tell)
    # A successful exec closes the last writing end, so this ends at once in either case.
    failure = os.read(report, 64)
    os.close(report)
    if failure:
        os.waitpid(pid, 0)
        step, number = failure.decode("ascii").split()
        raise SpawnError(_sentence(step, order, int(number)), int(number))
    return pid


def _become(order: Order, umask: int, stdio: tuple[int, int, int], tell: int) -> NoReturn:
    """The child's side of the fork: become the worker, or tell which step failed."""
    step = "session"
    try:
        os.setsid()
        if order.cgroup:
            _join(order.cgroup)
        # Python ignores SIGPIPE and SIGXFSZ, and an ignored signal stays ignored across exec.
        for sig in range(1, signals.NSIG):
            if sig not in (signals.SIGKILL, signals.SIGSTOP):
                try:
                    signals.signal(sig, signals.SIG_DFL)
                except (OSError, ValueError):
                    continue  # 32 and 33 belong to the C library
        signals.pthread_sigmask(signals.SIG_SETMASK, ())
        for target, source in enumerate(stdio):
            os.dup2(source, target)
        os.umask(umask)
        step = "cwd"
        os.chdir(order.cwd)
        step = "exec"
        number = _execute(order.argv, order.env)
    except OSError as error:
        number = error.errno or errno.EIO
    except BaseException:  # noqa: BLE001  a zero byte in an argument, or worse: nothing may return into the parent's code
        number = errno.EINVAL
    os.write(tell, f"{step} {number}".encode("ascii"))
    os._exit(127)


def _join(cgroup: str) -> None:
    """Go into the control group before anything else is forked, so that nothing of the tree is ever outside. Where it
    can't be, the tree is known by its parent and its session alone."""
    try:
        fd = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)
    except OSError:
        return


def _execute(argv: list[str], env: dict[str, str]) -> int:
    """exec as execvpe(3) does; returns the most telling error number, for ENOENT hides an EACCES found earlier."""
    number = errno.ENOENT
    for path in _candidates(argv[0], env):
        try:
            os.execve(path, argv, env)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                number = error.errno or errno.EIO
    return number


def _candidates(program: str, env: dict[str, str]) -> list[str]:
    if "/" in program:
        return [program]
    return [os.path.join(folder, program) for folder in env.get("PATH", os.defpath).split(":")]


def _sentence(step: str, order: Order, number: int) -> str:
    argv, cwd = order.argv, order.cwd
    reason = os.strerror(number).lower()
    if step == "cwd":
        return f"cannot start in {cwd}: {reason}"
    if step != "exec":
        return f"cannot prepare the process for {argv[0]}: {reason}"
    if number == errno.ENOENT:
        present = [path for path in _candidates(argv[0], order.env) if os.path.exists(os.path.join(cwd, path))]
        if present:
            return f"cannot run {present[0]}: the interpreter named in its first line does not exist"
        if "/" not in argv[0]:
            return f"cannot run {argv[0]}: there is no such program in PATH"
    return f"cannot run {argv[0]}: {reason}"

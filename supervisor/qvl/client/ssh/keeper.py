"""The process that runs one ssh and ends it with qvlctl, however that ends: also by SIGKILL.

    python -I -S keeper.py DIRECTORY SESSION COMMAND…

Its stdin is the lifeline: when that closes, ssh is ended and the private directory removed. Before that it may be told,
a line each, with NUL between what belongs together: `feed` and lines for ssh's stdin, which then stays open; `stop`, to
end ssh at once; `undo` and a command to run at the end; `keep`, to leave the directory to a successor. With SESSION
`own` ssh has no terminal to ask at; with `shared` it has ours. Standard library only, and few modules of it, since
every command over ssh waits for its start.
"""

import os
import select
import signal
import sys
from contextlib import suppress

GRACE = 2.0
"""Seconds from SIGTERM to SIGKILL."""


def main(words: list[str]) -> int:
    directory, session, *command = words
    source, feed = os.pipe()
    ssh = os.fork()
    if ssh == 0:
        run(command, source, own_session=session == "own")
    os.close(source)
    # What the terminal sends to its foreground (Ctrl-C, Ctrl-Z, a hang-up) is not for us. ssh stays there: it may ask.
    os.setsid()
    leave_output()
    child = Child(ssh, feed)
    keep, undo = follow(0, child)
    child.end()
    for words in undo:
        run_quietly(words)
    if not keep:
        remove(directory)
    return 0


class Child:
    """Waited for by `end` alone: until then its number is its own."""

    def __init__(self, pid: int, feed: int) -> None:
        self._pid = pid
        self._feed = feed
        self._ended = os.pidfd_open(pid)
        self._gone = False

    def feed(self, data: bytes) -> None:
        with suppress(BrokenPipeError):
            os.write(self._feed, data)  # a script fits into a pipe

    def end(self) -> None:
        if self._gone:
            return
        os.kill(self._pid, signal.SIGTERM)
        if not select.select([self._ended], [], [], GRACE)[0]:
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._gone = True


def run(command: list[str], source: int, *, own_session: bool) -> None:
    """Becomes ssh."""
    try:
        if own_session:
            os.setsid()
            os.environ["SSH_ASKPASS_REQUIRE"] = "never"  # nor at a window: an ssh for a jump knows no BatchMode of ours
        os.dup2(source, 0)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def leave_output() -> None:
    """Only ssh holds it, so that its end shows there."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def follow(lifeline: int, child: Child) -> tuple[bool, list[list[str]]]:
    """Does what it is told until nobody is left to tell it anything."""
    keep, undo, rest = False, [], b""
    while piece := os.read(lifeline, 4096):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            word, _, more = line.partition(b" ")
            if word == b"feed":
                child.feed(more.replace(b"\0", b"\n"))
            elif word == b"stop":
                child.end()
            elif word == b"undo":
                undo.append(os.fsdecode(more).split("\0"))
            elif word == b"keep":
                keep = True
    return keep, undo


def run_quietly(command: list[str]) -> None:
    pid = os.fork()
    if pid == 0:
        run(command, os.open(os.devnull, os.O_RDONLY), own_session=True)
    os.waitpid(pid, 0)


def remove(directory: str) -> None:
    """It has no folders in it."""
    with suppress(OSError):
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""API clients that read nothing: each asks for all events, sees that the answer begins, and is stopped (SIGSTOP).

Run in a box as a program of its own (`python -I -S stuck_watchers.py SOCKET COUNT`). Standard library only. Each line
on stdin is an order, each answered by a line of JSON on stdout:

- `attach`: end the clients of before, and have COUNT new ones;
- `look`: of each of them, whether it is attached still, whether it is stopped, and how many bytes wait to be read.

When stdin ends, they end. It signals its own children alone, before they are waited for.
"""

import array
import fcntl
import json
import os
import select
import signal
import socket
import sys
import termios
from typing import NoReturn

REQUEST = b"GET /v1/events?since=0&changes=1 HTTP/1.1\r\nhost: qvl\r\n\r\n"
EXPECTED = b"HTTP/1.1 200 "


class Watcher:
    """A client, and our own descriptor of its connection, by which we see what it doesn't read."""

    def __init__(self, path: str) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(path)
        self.pid = os.fork()
        if self.pid == 0:
            self._live()
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise RuntimeError("the daemon doesn't tell a watcher its events")

    def _live(self) -> NoReturn:
        try:
            self._connection.sendall(REQUEST)
            if self._connection.recv(len(EXPECTED)) == EXPECTED:
                os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(1)

    def look(self) -> dict[str, bool | int]:
        """How it is."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._connection, termios.FIONREAD, waiting)
        poll = select.poll()
        poll.register(self._connection, 0)
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
            state = file.read().rpartition(")")[2].split()[0]
        return {"attached": not poll.poll(0), "stopped": state == "T", "unread": waiting[0]}

    def end(self) -> None:
        """Kill it and hang up."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._connection.close()


def main(path: str, count: int) -> None:
    """Follow orders until there are none."""
    watchers: list[Watcher] = []
    for order in sys.stdin:
        if order == "attach\n":
            for watcher in watchers:
                watcher.end()
            watchers = [Watcher(path) for _ in range(count)]
        print(json.dumps([watcher.look() for watcher in watchers]), flush=True)
    for watcher in watchers:
        watcher.end()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

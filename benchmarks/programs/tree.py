"""tree.py BEACON PORT MARK LIFELINE: a worker whose tree is like that of an inference server at its worst.

The root serves HTTP (its answer is its own number) and ends at SIGTERM without a thought for the others. They are:

- child: a plain one;
- setsid: a child in a session of its own;
- daemon: double-forked, in a session of its own;
- deaf: a child that ignores SIGTERM;
- orphan: its parent has exited; still of the root's session and group;
- forker: ends at SIGTERM, but forks before that.

Each carries MARK in its environment, with its root's number and its role, and holds LIFELINE, a FIFO: it ends by itself
when nobody has that open for writing any more. A root that finds its port taken stays and tries again, as a server
that binds only once its model is loaded holds a card's memory until then.
"""

import os
import select
import signal
import socket
import sys

ROLES = ("child", "setsid", "daemon", "deaf", "orphan", "forker")
RETRY = 0.2
"""Seconds between two attempts to bind a port that another has."""

beacon, port, mark, lifeline = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
interpreter_and_script = sys.orig_argv[: 1 - len(sys.argv)]


def become(role: str, number: int, ready: int) -> None:
    """Execute this file anew: the environment that /proc shows is the one of the last exec."""
    marks = {"BENCH_TREE": mark, "BENCH_TREE_ROOT": str(number), "BENCH_TREE_ROLE": role}
    words = [*interpreter_and_script, *sys.argv[1:5], role, str(number), str(ready)]
    os.execve(sys.executable, words, {**os.environ, **marks})


def say(word: str, number: int) -> None:
    fd = os.open(beacon, os.O_WRONLY)
    os.write(fd, b"%s %d %d %d\n" % (word.encode(), port, os.getpid(), number))
    os.close(fd)


def hold() -> int:
    """The lifeline. It must not wait for a writer: where there is none, it is time to end."""
    fd = os.open(lifeline, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    return fd


def plant(role: str, number: int, ready: int) -> None:
    pid = os.fork()
    if pid:
        if role in ("daemon", "orphan"):
            os.waitpid(pid, 0)
        return
    try:
        if role == "daemon":
            os.setsid()
        if role not in ("daemon", "orphan") or os.fork() == 0:
            become(role, number, ready)
    finally:
        os._exit(0)


def fork_and_end(*_: object) -> None:
    """Once: what it forks ends at the next SIGTERM, however soon that comes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def live(role: str, ready: int) -> None:
    if role == "setsid":
        os.setsid()
    elif role == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif role == "forker":
        signal.signal(signal.SIGTERM, fork_and_end)
    line = hold()
    os.write(ready, b".")
    os.close(ready)
    os.read(line, 1)


def serve(number: int) -> None:
    line = hold()
    told, ready = os.pipe()
    os.set_inheritable(ready, True)
    for role in ROLES:
        plant(role, number, ready)
    os.close(ready)
    there = 0
    while there < len(ROLES):
        got = len(os.read(told, len(ROLES)))
        if not got:
            sys.exit("one of the tree ended before it was ready")
        there += got
    os.close(told)
    listener = bind()
    say("up", number)
    while True:
        watched: list[int | socket.socket] = [line, *([listener] if listener else [])]
        heard = select.select(watched, [], [], None if listener else RETRY)[0]
        if line in heard:
            return
        if listener is None:
            listener = bind()
        elif heard:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n%d" % number)


def bind() -> "socket.socket | None":
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


if len(sys.argv) == 5:
    become("root", int.from_bytes(os.urandom(4), "big"), -1)
elif sys.argv[5] == "root":
    say("born", int(sys.argv[6]))
    serve(int(sys.argv[6]))
else:
    live(sys.argv[5], int(sys.argv[7]))

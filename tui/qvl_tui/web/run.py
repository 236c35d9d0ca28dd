"""`qvlctl tui --web` from its options to its end: the port, the connections to other hosts, and the server."""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from qvl.client.ssh.aio import TunnelWay
from qvl.client.ssh.tunnel import Tunnel
from qvl.model.error import ErrorCode, QvlError
from qvl.recording.reader import Recording

from qvl_tui.link import delays
from qvl_tui.remote import tunnels

LOOK_SECONDS = 1.0
"""Between two looks at whether a connection still stands."""


def serve(options: argparse.Namespace) -> int:
    """Raises QvlError where something that it needs is not there: a package, the port, a host."""
    try:
        from qvl_tui.web.server import Server, serve_until_told
    except ModuleNotFoundError as error:
        message = f"the interface in the browser needs {error.name}, which is not installed"
        raise QvlError(ErrorCode.UNSUPPORTED, message, "pip install 'qvl[web]'") from error

    if options.replay is not None:
        Recording(options.replay).close()  # what can't be shown is told here, and not on each page
    with ExitStack() as stack:
        listener = stack.enter_context(listen(options.web_port))
        made = stack.enter_context(tunnels(options.host, options.socket[0] if options.socket else None))
        # The connections are ours: a page that is opened must not have to log in.
        places = [(tunnel.place(), tunnel.host) for tunnel in made] or [(path, "") for path in options.socket]
        shown = options.replay.name if options.replay is not None else " ".join(options.host)
        server = Server(child_command(options, places), title=shown or f"qvl on {socket.gethostname()}")
        asyncio.run(serve_until_told(server, listener, [keep(tunnel) for tunnel in made]))
    return 0


def listen(port: int) -> socket.socket:
    """On loopback; port 0 is a free one. QvlError where it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        message = f"port {port} of 127.0.0.1 can't be had: {reason}"
        raise QvlError(
            ErrorCode.CONFLICT, message, "name another with --web-port, or leave it out for a free one"
        ) from error
    return listener


async def keep(tunnel: Tunnel) -> None:
    """Makes a lost connection anew, without questions. Ends only by cancellation."""
    way = TunnelWay(tunnel)
    waits = delays()
    while True:
        try:
            await way.socket()
        except QvlError:
            await asyncio.sleep(next(waits))
        else:
            waits = delays()
            await asyncio.sleep(LOOK_SECONDS)


def child_command(options: argparse.Namespace, places: Sequence[tuple[str, str]]) -> list[str]:
    """What runs the interface for one page. `places`: the socket of each daemon, and what its host is called."""
    # -P: no module of the working directory takes the place of one of ours.
    words = [sys.executable, "-P", "-m", "qvl_tui", f"--with-parent={os.getpid()}"]
    for path, name in places:
        words += [f"--socket={path}", f"--name={name}"]
    words += [f"--replay={options.replay.absolute()}"] if options.replay is not None else []
    words += ["--readonly"] if options.readonly else []
    words += [f"--interval={options.interval}"] if options.interval is not None else []
    words += [f"--theme={options.theme}"] if options.theme else []
    words += ["--no-color"] if options.no_color else []
    return words

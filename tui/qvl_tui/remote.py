"""Links to the daemons of other hosts, by ssh. Only a run with --host loads this."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qvl.client.ssh.aio import TunnelWay
from qvl.client.ssh.several import open_all
from qvl.client.ssh.tunnel import Tunnel

from qvl_tui.link import Link
from qvl_tui.wire import SocketLink


@contextmanager
def tunnels(hosts: Sequence[str], socket: str | None) -> Iterator[list[Tunnel]]:
    """Connections to all of them, which end with the context. ssh may ask its questions now: the terminal is still the
    user's. Raises QvlError where no host can be reached; one that can't be is tried again when it is next asked for.
    """
    made = [Tunnel(host, socket) for host in dict.fromkeys(hosts)]
    try:
        open_all(made)
        yield made
    finally:
        for tunnel in made:
            tunnel.close()


def links(tunnels: Sequence[Tunnel]) -> list[Link]:
    return [SocketLink(Path(one.where), name=one.host, way=TunnelWay(one)) for one in tunnels]

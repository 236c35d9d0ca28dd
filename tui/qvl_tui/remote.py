"""Links to the daemons of other hosts, by ssh. Only a run with --host loads this."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qvl.client.ssh.aio import TunnelWay
from qvl.client.ssh.several import open_all
from qvl.client.ssh.tunnel import Tunnel
from qvl.model.error import ErrorCode, QvlError

from qvl_tui.link import Link
from qvl_tui.wire import SocketLink


@contextmanager
def tunnels(hosts: Sequence[str], socket: str | None) -> Iterator[list[Tunnel]]:
    """Connections to all of them, which end with the context. ssh may ask its questions now: the terminal is still the
    user's. Raises QvlError where no host can be reached; one that can't be is tried again when it is next asked for.
    """
    made = [Tunnel(host, socket) for host in dict.fromkeys(hosts)]
    try:
        if made:
            open_all(made)
        yield made
    finally:
        for one in made:
            one.close()


def links(tunnels: Sequence[Tunnel]) -> list[Link]:
    return [SocketLink(Path(one.where), name=one.host, way=TunnelWay(one)) for one in tunnels]


class Carried:
    """The `Way` over a socket that another process of ours carries here from a host, and keeps where it is."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    async def socket(self) -> Path:
        return self._path

    async def trouble(self, error: Exception) -> QvlError:
        message = f"{self._name} can't be reached, or no daemon answers there: {error}"
        return QvlError(ErrorCode.UNREACHABLE, message, f"see how it is: ssh {self._name} qvlctl status")


def carried(path: Path, name: str) -> Link:
    return SocketLink(path, name=name, way=Carried(path, name))

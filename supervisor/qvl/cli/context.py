"""What every verb is given: where the daemon is, on this host or another, how to print, and the paths of this host."""

from __future__ import annotations

import sys
from functools import cached_property

from qvl.cli import terminal
from qvl.cli.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from qvl.cli.terminal import Paint
    from qvl.client.ssh.tunnel import Tunnel
    from qvl.client.sync import Client


class Context:
    """The global options, and the client, made when first asked for. A connection to another host ends with it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.json: bool = args.json
        self.hosts: list[str] = args.hosts
        """Whose daemon is spoken to, over ssh; none: this one's. Only `tui` has more than one."""
        self.named_socket: str | None = args.socket
        self._tunnel: Tunnel | None = None
        self.places = Places(args)
        self.paint: Paint = terminal.painter(sys.stdout, allowed=not args.no_color and not args.json)

    @cached_property
    def client(self) -> Client:
        from qvl.client.sync import Client

        if not self.hosts:
            return Client(self.places.socket())
        from qvl.client.ssh.tunnel import Tunnel

        self._tunnel = Tunnel(self.hosts[0], self.named_socket)
        self._tunnel.open(prompts=True)
        return Client(self._tunnel.where, self._tunnel)

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._tunnel is not None:
            self._tunnel.close()

    @property
    def width(self) -> int:
        return terminal.width(sys.stdout)

    def print_json(self, document: object) -> None:
        """One document: to be read on a terminal, on one line elsewhere."""
        import json

        indent = 2 if sys.stdout.isatty() else None
        separators = None if indent else (",", ":")
        print(json.dumps(document, indent=indent, separators=separators, ensure_ascii=False))

    def print_raw_json(self, data: bytes) -> None:
        """A document of the daemon as it came, where nobody reads it along."""
        if sys.stdout.isatty():
            import json

            self.print_json(json.loads(data))
        else:
            sys.stdout.write(data.decode())
            sys.stdout.write("\n")


def print_line_json(document: object) -> None:
    """One object of a stream, at once."""
    import json

    print(json.dumps(document, separators=(",", ":"), ensure_ascii=False), flush=True)

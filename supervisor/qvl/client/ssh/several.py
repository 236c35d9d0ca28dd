"""Connections to several hosts at the start: together where nothing is asked, one by one where ssh has questions."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from qvl.client.ssh.tunnel import Tunnel
from qvl.model.error import QvlError

PATIENCE = 3.0
"""Seconds that the fast wait for the slow; those go on connecting while the others are shown."""


def open_all(tunnels: Sequence[Tunnel], patience: float = PATIENCE) -> None:
    """Raises QvlError where none can be reached. Where some can, what keeps the others is in their `failure`."""
    if len(tunnels) == 1:
        tunnels[0].open(prompts=True)
        return
    threads = [threading.Thread(target=_try, args=(tunnel,), daemon=True) for tunnel in tunnels]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for tunnel in tunnels:
        if tunnel.needs_prompt:
            with suppress(QvlError):
                tunnel.open(prompts=True)
    failures = [tunnel.failure for tunnel in tunnels]
    if failures[0] is not None and all(failures):
        raise failures[0]


def _try(tunnel: Tunnel) -> None:
    with suppress(QvlError):
        tunnel.socket()

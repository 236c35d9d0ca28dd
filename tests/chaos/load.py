"""A light load: one client per simulated worker, one streaming completion after the other.

It knows no daemon: it asks the workers' ports, whatever happens. What failed is kept with its times; whose fault that
was is for others to say.
"""

import http.client
import json
import re
import threading
import time
from typing import NamedTuple

PACE = 0.4
"""Seconds between two requests to one worker."""
PATIENCE = 10.0
"""Seconds that a request may take between two of its bytes."""
TOKENS = 6
_FINISHED = re.compile(rb'"finish_reason": ?"(length|stop)"')


class Failed(NamedTuple):
    """A request that got no whole answer; times are monotonic seconds."""

    worker: str
    begun: float
    ended: float
    why: str


class Load:
    """`ports` by worker. Runs from `start` to `stop`."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.failed: list[Failed] = []
        self.answered = 0
        self._served: dict[str, float] = dict.fromkeys(ports, 0.0)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=item, daemon=True) for item in ports.items()]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Waits for requests in flight."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE + 5)

    def unserved(self, since: float) -> list[str]:
        """Workers that have answered no request which began after `since`."""
        return [name for name, begun in self._served.items() if begun < since]

    def take_failed(self) -> list[Failed]:
        """What failed since the last call."""
        failed, self.failed = self.failed, []
        return failed

    def _ask(self, name: str, port: int) -> None:
        while not self._over.wait(PACE):
            begun = time.monotonic()
            try:
                complete(port)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failed.append(Failed(name, begun, time.monotonic(), f"{type(error).__name__}: {error}"))
            else:
                self._served[name] = begun
                self.answered += 1


def complete(port: int) -> None:
    """One streaming completion. OSError, HTTPException or ValueError where it isn't whole."""
    body = {"model": "any", "messages": [{"role": "user", "content": "hello"}], "max_tokens": TOKENS, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        if not said.endswith(b"data: [DONE]\n\n") or not _FINISHED.search(said):
            raise ValueError(f"cut off after {len(said)} bytes: {said[-200:]!r}")
    finally:
        connection.close()

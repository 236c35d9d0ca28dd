"""Looks at /proc all the time: are there ever two roots of one worker?

A root whose shim was killed is nobody's child any more, so roots are remembered until they are gone.
"""

import threading
import time

from qvl.shim import proc

from tests.chaos.fleet import Fleet

PERIOD = 0.1
"""Seconds between two looks."""

Identity = tuple[int, int]
"""A pid and its start time."""


class Watch:
    def __init__(self, fleet: Fleet) -> None:
        self.seen: list[str] = []
        """What must not be, in sentences."""
        self.looks = 0
        self._fleet = fleet
        self._roots: dict[str, set[Identity]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)

    def take_seen(self) -> list[str]:
        """What was seen since the last call."""
        seen, self.seen = self.seen, []
        return seen

    def _run(self) -> None:
        while not self._over.wait(PERIOD):
            for name, tree in self._fleet.trees().items():
                if tree.root is not None:
                    self._roots.setdefault(name, set()).add((tree.root.pid, tree.root.start))
            self.seen += doubles(self._roots)
            self.looks += 1


def doubles(roots: dict[str, set[Identity]]) -> list[str]:
    """Workers of which two roots live at this moment; drops the dead ones from `roots`."""
    found = []
    for name, known in roots.items():
        known -= {one for one in known if not proc.is_alive(*one)}
        # One may have died between the look at it and the look at its successor: only a second look proves both.
        both = [one for one in sorted(known, key=lambda one: one[1]) if proc.is_alive(*one)]
        if len(both) > 1:
            found.append(f"{name} has {len(both)} roots at once: {both} at {time.strftime('%H:%M:%S')}")
    return found

"""What happens in a round: drawn from the seed and the round's number alone, so that a seed plays again.

Nothing here looks at the host, the clock or the fleet: a fault that this host can't play is drawn all the same and left
out when its turn comes, so that the rest of the sequence stays what it is.
"""

import random
from typing import NamedTuple

CHAT = tuple(f"chat-{index}" for index in range(5))
DRAFT = tuple(f"draft-{index}" for index in range(3))
SIMULATED = CHAT + DRAFT
COUNTER = "count-0"
EXTRA = "extra-0"

GROUPS: dict[str, dict[str, int]] = {
    "daemon": {"kill-daemon": 5, "restart-daemon": 3, "pause-daemon": 1},
    "hangup": {"hangups": 2},
    "shim": {"kill-shim": 4},
    "root": {"kill-root": 3, "stop-root": 3},
    "child": {"kill-child": 2, "stop-child": 2},
    "port": {"steal-port": 3, "block-port": 3},
    "gpu": {"hold-gpu": 2, "xid": 2},
    "many": {"kill-many": 2},
    "disk": {"fill-disk": 4},
    "config": {"edit-args": 4, "edit-policy": 2, "add-pool": 3, "break-config": 2},
    "clients": {"mute-watchers": 1, "half-requests": 1, "half-completions": 1},
}
"""Kinds with their weights. A round has one of a group at most: two edits of one file at once would only hide each
other."""

KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)

_AT_ONCE = 0.5
"""The share of rounds whose faults come at the same moment."""
_SPREAD = 2.0
"""Seconds over which the faults of the other rounds are spread."""


class Draw(NamedTuple):
    """One fault to come: `at` seconds after the round began, on `worker` where it hits one."""

    kind: str
    at: float
    worker: str
    seconds: float
    """How long it lasts, where it lasts."""
    variant: int
    """Which of several ways, where there are several."""

    def __str__(self) -> str:
        words = [self.kind, *([self.worker] if self.kind in _HITS_A_WORKER else [])]
        return " ".join(words) + (f" @{self.at:.1f}s" if self.at else "")


_HITS_A_WORKER = frozenset(
    {"kill-shim", "kill-root", "stop-root", "kill-child", "stop-child", "steal-port", "block-port", "hold-gpu"}
    | {"half-completions", "xid"}
)
_WHOM = {
    "kill-shim": (*SIMULATED, COUNTER, COUNTER),
    "kill-root": (*SIMULATED, COUNTER, COUNTER),
    # Who chatters on shows a sign of life, whatever became of its scheduler.
    "stop-child": DRAFT,
}


def draw(seed: int, number: int, only: tuple[str, ...] = ()) -> list[Draw]:
    """The faults of round `number`, first ones first. `only`: draw from these kinds alone."""
    rng = random.Random(f"{seed}/{number}")
    groups = {
        name: {kind: weight for kind, weight in kinds.items() if not only or kind in only}
        for name, kinds in GROUPS.items()
    }
    count, at_once = rng.choice((1, 2, 2, 3, 3)), rng.random() < _AT_ONCE
    faults: list[Draw] = []
    while len(faults) < count and any(groups.values()):
        [name] = rng.choices(list(groups), [sum(kinds.values()) for kinds in groups.values()])
        faults.append(_one(rng, groups.pop(name), at_once))
    return sorted(faults, key=lambda fault: fault.at)


def _one(rng: random.Random, kinds: dict[str, int], at_once: bool) -> Draw:
    # Always the same number of draws, so that one more kind in a group changes no more than it must.
    [kind] = rng.choices(list(kinds), list(kinds.values()))
    at = round(rng.uniform(0, _SPREAD), 1)
    worker = rng.choice(_WHOM.get(kind, SIMULATED))
    return Draw(kind, 0.0 if at_once else at, worker, round(rng.uniform(0.5, 3.0), 1), rng.randrange(1000))

"""Changes that were asked of the daemon and that it has not told of yet. They show as asked, never as under way: that
they are, only its status says."""

from dataclasses import dataclass, replace

from qvl.model.status import PoolStatus

from qvl_tui.changes import last_outcome
from qvl_tui.store import UNCONFIRMED_FOR, Store

FILE = "*"
"""Stands for the configuration among the pools: what is applied may concern each of them."""


@dataclass(frozen=True, slots=True)
class AskedChange:
    what: str
    """For people: `switch to eagle3`."""
    at: float
    """Monotonic seconds."""
    mark: object
    """What the daemon said of it when it was asked."""
    seq: int | None = None
    """The event before which nothing can confirm it; None while there is no answer."""


class AskedChanges:
    """At most one a pool, and one of the file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: dict[str, AskedChange] = {}

    def ask(self, name: str, what: str, mono: float) -> None:
        self._asked[name] = AskedChange(what, mono, self._mark(name))

    def accepted(self, name: str, seq: int) -> None:
        if name in self._asked:
            self._asked[name] = replace(self._asked[name], seq=seq)

    def refused(self, name: str) -> None:
        self._asked.pop(name, None)

    def of(self, name: str, mono: float) -> str | None:
        """What is asked and not confirmed."""
        asked = self._asked.get(name)
        if asked is None:
            return None
        if mono - asked.at > UNCONFIRMED_FOR or self._mark(name) != asked.mark or self._over(name, asked):
            del self._asked[name]
            return None
        return asked.what

    def _over(self, name: str, asked: AskedChange) -> bool:
        """It came and went before anybody looked."""
        told = last_outcome(tuple(self._store.events), name)
        return told is not None and asked.seq is not None and told.seq > asked.seq

    def _mark(self, name: str) -> object:
        if name == FILE:
            told = self._store.supervisor
            changes = tuple(_begun(pool) for pool in self._store.pools)
            return (told.config.applied, told.config.error, told.config.pending, changes) if told is not None else None
        return next((_begun(pool) for pool in self._store.pools if pool.name == name), None)


def _begun(pool: PoolStatus) -> object:
    """Which change this is, and in which direction it goes."""
    return (pool.switch.kind, pool.switch.to, pool.switch.started_at, pool.switch.why) if pool.switch else None

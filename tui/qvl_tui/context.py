"""What all screens share: the daemons that are watched, which of them and which of its workers is in focus, the clock,
and what the user likes. It decides nothing; screens read it and move the focus."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qvl.model.status import PoolStatus, WorkerStatus

from qvl_tui.acts import Acts
from qvl_tui.keymap import Keymap
from qvl_tui.link import Link
from qvl_tui.prefs import Preferences
from qvl_tui.session import Session
from qvl_tui.store import Store

if TYPE_CHECKING:
    from qvl_tui.replay.deck import Deck

Clock = Callable[[], float]


class Context:
    def __init__(self, sessions: Sequence[Session], clock: Clock, prefs: Preferences, keymap: Keymap) -> None:
        """`clock`: seconds of any monotonic clock. There is at least one session."""
        self.sessions = tuple(sessions)
        self.clock = clock
        self.prefs = prefs
        self.keymap = keymap
        self.session = self.sessions[0]
        """The one in focus."""
        self.worker: str | None = None
        """The worker in focus, by name: rows may come and go around it."""
        self._met: tuple[Session, str | None] | None = None
        """Whoever came into focus and was there."""
        self.replay: Deck | None = None
        """What plays, where a recording is shown and no daemon."""

    @property
    def store(self) -> Store:
        return self.session.store

    @property
    def link(self) -> Link:
        return self.session.link

    @property
    def acts(self) -> Acts:
        return self.session.acts

    @property
    def several(self) -> bool:
        """More than one host is watched."""
        return len(self.sessions) > 1

    @property
    def live(self) -> bool:
        return any(session.store.live for session in self.sessions)

    @property
    def status(self) -> WorkerStatus | None:
        """The worker in focus; None where there is none, or it is configured no more."""
        return self.store.find(self.worker) if self.worker else None

    @property
    def pool(self) -> PoolStatus | None:
        """The pool in focus: the worker's, else the first."""
        name = self.status.pool if self.status is not None else None
        pools = self.store.pools
        return next((pool for pool in pools if pool.name == name), pools[0] if pools else None)

    def focus(self, session: Session, worker: str | None) -> None:
        self.session, self.worker = session, worker
        self._met = session, worker

    def places(self) -> list[tuple[Session, str]]:
        """Every worker of every host, in the order of the fleet's rows."""
        return [(session, worker.name) for session in self.sessions for worker in session.store.rows()]

    def settle(self) -> None:
        """Where nothing is in focus yet, the first worker is. One that has gone stays in focus: a screen about it says
        so, and its keys must not act on another one all at once."""
        if self.status is None and self._met != (self.session, self.worker):
            places = self.places()
            own = [place for place in places if place[0] is self.session]
            if own or places:
                self.focus(*(own or places)[0])
        if self.status is not None:
            self._met = self.session, self.worker

    def step(self, by: int) -> None:
        """Move the focus to a worker further down (or up), stopping at the ends."""
        places = self.places()
        if not places:
            return
        here = (self.session, self.worker)
        at = next((index for index, place in enumerate(places) if place == here), 0)
        self.focus(*places[min(max(at + by, 0), len(places) - 1)])

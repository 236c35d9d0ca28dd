"""Keeps the stores in step with their daemons: the first words before there is a screen, then every frame as it comes.
It tells which topics changed; when they are painted is not its matter."""

import asyncio
from collections.abc import Callable

from qvl.model.error import QvlError
from qvl.model.event import Frame, Snapshot

from qvl_tui.link import follow
from qvl_tui.session import Session
from qvl_tui.store import LinkPhase, Topic

PATIENCE = 0.1
"""Seconds that the first picture waits for a daemon's first words."""


class Watch:
    """One session's. `changed` is told what to paint, `greeted` that there is a new connection."""

    def __init__(
        self,
        session: Session,
        clock: Callable[[], float],
        changed: Callable[[set[Topic]], None],
        greeted: Callable[["Watch"], None],
    ) -> None:
        self.session = session
        self._clock = clock
        self._changed = changed
        self._greeted = greeted

    async def begin(self) -> None:
        """What the daemon answers at once is on the first picture already, which then is the only one."""
        try:
            frames = self.session.link.events(0)
            async with asyncio.timeout(PATIENCE):
                first = await anext(frames)
        except (QvlError, TimeoutError, StopAsyncIteration):
            return  # `follow` tells why, once it has failed as well
        self.session.store.linked(LinkPhase.UP, self._clock())
        self.session.store.apply(first, self._clock())
        self.session.begun = frames

    async def follow(self) -> None:
        session = self.session
        await follow(session.link, lambda: session.store.last_event, self, begun=session.begun)

    async def introduce(self) -> None:
        """What is asked once a connection: who we are to the daemon, and the figures of the last minutes."""
        store, link = self.session.store, self.session.link
        try:
            store.role = (await link.whoami()).role
            self._changed({Topic.STATE} | store.seed(await link.history()))
        except QvlError:
            return  # the stream of events tells what is wrong with the daemon

    # --- what `follow` hears --------------------------------------------------------------------------------------

    def linked(self, phase: LinkPhase, reason: str = "") -> None:
        self._changed(self.session.store.linked(phase, self._clock(), reason))

    def received(self, frame: Frame) -> None:
        store = self.session.store
        first = store.supervisor is None
        topics = store.apply(frame, self._clock())
        # Figures have a beat of their own.
        self._changed(topics if first else topics - {Topic.FIGURES})
        if isinstance(frame, Snapshot):
            self._greeted(self)

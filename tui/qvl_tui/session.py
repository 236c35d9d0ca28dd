"""One daemon that is watched: the way to it, what it told, and what may be asked of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from qvl.model.event import Frame

from qvl_tui.acts import Acts
from qvl_tui.link import Link
from qvl_tui.store import Store


@dataclass(slots=True, eq=False)
class Session:
    link: Link
    store: Store
    acts: Acts
    begun: AsyncIterator[Frame] | None = None
    """The stream whose first frame was taken in before there was a screen."""

    @property
    def name(self) -> str:
        """As the user called its host, else as that calls itself."""
        told = self.store.supervisor.host if self.store.supervisor is not None else ""
        return self.link.name or told or "this host"

"""One daemon that is watched: the way to it, what it told, and what may be asked of it."""

from dataclasses import dataclass

from qvl_tui.acts import Acts
from qvl_tui.link import Link
from qvl_tui.store import Store


@dataclass(slots=True, eq=False)
class Session:
    link: Link
    store: Store
    acts: Acts

    @property
    def name(self) -> str:
        """As its host calls itself; before it said so, as the user called it."""
        told = self.store.supervisor.host if self.store.supervisor is not None else ""
        return told or self.link.name or "this host"

"""How the fleet screen shares its rows. Pure: the same terminal and the same fleet always give the same picture."""

from typing import NamedTuple

_FIXED = 3  # header, banner, footer
_GAPS = 3  # above the cards, above the table, the table's own heading


class Places(NamedTuple):
    gpus: int
    workers: int


def arrange(height: int, workers: int, gpus: int) -> Places:
    """Rows for the cards (at most, before they are laid out) and for the table; the events get what is left."""
    body = max(height - _FIXED - _GAPS, 4)
    events = max(3, body // 4)
    # A line for each card is worth it as long as no worker is pushed out of view by it.
    most = max(2, body // 4, min(body // 3, body - workers - events))
    return Places(most, max(1, min(max(workers, 1), body - min(gpus, most) - events)))

"""The programs that are measured on a terminal: ours, the least that its library allows, and two that people know."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.lab import PROGRAMS, Lab
from benchmarks.terminal import Rows, Terminal

BARE, BTOP, HTOP = "bare Textual", "btop", "htop"
PEERS = (BARE, BTOP, HTOP)


@dataclass(frozen=True, slots=True)
class Viewer:
    name: str
    command: Sequence[str]
    is_there: Callable[[Rows], bool] | None = None
    """Whether the first picture stands on the screen; None: as soon as the program is at rest."""

    def opened(self, lab: Lab) -> Terminal:
        """With a home of its own, so that it starts as it does for the first time."""
        return Terminal(self.command, {"HOME": str(lab.home())})


def installed() -> list[Viewer]:
    bare = Viewer(BARE, (sys.executable, str(PROGRAMS / "bare_textual.py")))
    found = [(name, shutil.which(name)) for name in (BTOP, HTOP)]
    return [bare, *(Viewer(name, (path,)) for name, path in found if path)]

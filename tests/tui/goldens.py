"""Pictures of whole screens as text, held against files. `QVL_GOLDENS=write` writes them anew; look at the diff."""

import os
import re
from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path

HOME = Path(__file__).parent / "goldens"
WRITES = os.environ.get("QVL_GOLDENS") == "write"


def hold(name: str, lines: Iterable[str], width: int) -> None:
    """AssertionError where the screen differs from the file of that name."""
    # The last column may hold a scrollbar, which Textual draws when it has the time.
    picture = "".join(f"{_timeless(line)[: width - 1].rstrip()}\n" for line in lines)
    path = HOME / f"{name}.txt"
    if WRITES:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(picture, encoding="utf-8")
    known = path.read_text(encoding="utf-8")
    differs = "\n".join(unified_diff(known.splitlines(), picture.splitlines(), name, "the screen", n=0, lineterm=""))
    assert picture == known, differs


def _timeless(line: str) -> str:
    """Without the moment at which the test runs, of which names of files are made, and without a dialog's scrollbar."""
    line = re.sub(r"\d{8}-\d{6}", "20260304-120311", line)
    return re.sub(r".(?=│$)", " ", line) if line.startswith("│") else line

"""A report of a crash of the interface: what failed and where, for whoever mends it. No values of variables go into it,
since they may quote what nobody else should read; what the exception itself says does, so that only its user may read
the file."""

import os
import platform
import sys
import time
import traceback
from pathlib import Path

from qvl import __version__

KEPT = 10
"""Reports: a crash at every start must not fill a disk."""


def report(error: BaseException, home: Path, *, size: tuple[int, int], screen: str, seq: int) -> Path | None:
    """Write a report below `home`; answers its path, None where it can't be written."""
    from importlib.metadata import version  # slow to import, and a start must not wait for what a crash needs

    directory = home / "crashes"
    path = directory / time.strftime(f"tui-%Y%m%dT%H%M%S-{os.getpid()}.txt", time.gmtime())
    told = [
        f"qvlctl tui {__version__} crashed at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
        f"python {platform.python_version()}, textual {version('textual')}, {platform.platform()}",
        f"terminal {os.environ.get('TERM', '?')} {size[0]}x{size[1]}, screen {screen}, event {seq}",
        "",
        *traceback.format_exception(error),
    ]
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text("\n".join(told), encoding="utf-8", errors="replace")
        for old in sorted(directory.glob("tui-*.txt"))[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return None
    return path


def tell(error: BaseException, path: Path | None, *, owned: bool = False) -> None:
    """What the user reads where the interface was, once the terminal is as it was before. `owned`: the daemon ends with
    it."""
    last = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(last[-1].filename).name}:{last[-1].lineno})" if last else ""
    print(f"error: the interface crashed: {type(error).__name__}{where}", file=sys.stderr)
    ends = "the daemon ran in this terminal, and ends with its workers"
    print(ends if owned else "the daemon and its workers are not touched by it", file=sys.stderr)
    if path is not None:
        print(f"hint: the report is {path}", file=sys.stderr)

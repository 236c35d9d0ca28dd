"""Files that are whole or not there at all, whenever the writer dies."""

import contextlib
import os
from pathlib import Path

from qvl.host.crashpoint import crash_point


def write_atomically(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace a file's content; 0600. `durable`: it is still there after a power cut. OSError as it comes."""
    # One name, so that what a crash has left of it is written over; whose directory it is has one writer.
    temporary = path.with_name(f".{path.name}.new")
    crash_point(f"before {path.name} is written")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(fd)
        crash_point(f"while {path.name} is written")
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        _sync_directory(path.parent)
    crash_point(f"after {path.name} was written")


def _sync_directory(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

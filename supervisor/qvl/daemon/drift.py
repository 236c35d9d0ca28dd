"""What a new start would do differently by the same configuration: a newer qvl or engine adds or drops flags.

An adopted worker is compared by its recorded configuration, so none of this restarts it; it is shown. What was changed
in it since its start is no difference, but for what only a start brings along.
"""

from collections.abc import Sequence
from pathlib import Path

from qvl.engines.base import Driver, Place
from qvl.engines.live import Live
from qvl.model.worker import WorkerRecord


def drift(
    record: WorkerRecord, driver: Driver, live: Live | None, devices: tuple[str, ...], secrets: Path
) -> tuple[str, ...]:
    """Words of the command line that a new start would add (`+`) or leave out (`-`). Nothing where the process doesn't
    show the command line that it was started with, as a program behind a wrapper or one that retitles itself."""
    if record.process is None or record.launched is None or not driver.surface(record.launched).owned:
        return ()
    place = Place(
        record.name,
        Path(record.process.tmpdir),
        secrets,
        devices,
        record.process.nccl_port,
        # Only that there is a key shows in the command line.
        "key" if record.launched.api_key_file else None,
    )
    started = record.live.started if record.live is not None else record.launched
    left_behind = live.left_behind(started, record.launched) if live is not None else ()
    return *differences(_command_line(record.process.pid), driver.command(started, place).argv), *left_behind


def differences(running: Sequence[str], anew: Sequence[str]) -> tuple[str, ...]:
    if list(running[:3]) != list(anew[:3]):
        return ()
    gone = [f"-{word}" for word in running if word not in anew]
    come = [f"+{word}" for word in anew if word not in running]
    return (*gone, *come)


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []

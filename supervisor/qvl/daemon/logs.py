"""The daemon's own log: one line a fact on stderr, with journald's priorities where journald reads it."""

import logging
import os
import sys

from qvl.model.error import QvlError

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""sd-daemon(3)'s prefixes."""


class _Journald(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # Each line is an entry of its own: one without a priority, of a traceback say, would be taken for information.
        mark = f"<{_PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(mark + line for line in super().format(record).splitlines())


def set_up_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    if _to_journald():
        sys.excepthook = lambda *error: logging.getLogger("qvl.daemon").critical("it crashed", exc_info=error)
        handler.setFormatter(_Journald("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def say(error: QvlError) -> None:
    """Why we can't run, in the words that qvlctl would use."""
    mark = f"<{_PRIORITY[logging.ERROR]}>" if _to_journald() else ""
    for line in error.message.splitlines():
        print(f"{mark}error: {line}", file=sys.stderr)
    if error.hint:
        print(f"{mark}hint: {error.hint}", file=sys.stderr)


def _to_journald() -> bool:
    """systemd.exec(5): JOURNAL_STREAM names the device and inode of the stream; ours must be that one."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        stat = os.fstat(sys.stderr.fileno())
    except OSError:
        return False
    return (device, inode) == (str(stat.st_dev), str(stat.st_ino))

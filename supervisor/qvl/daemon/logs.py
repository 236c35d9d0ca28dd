"""The daemon's own log: one line a fact on stderr, with journald's priorities where journald reads it."""

import logging
import os
import sys

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""sd-daemon(3)'s prefixes."""


class _Journald(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", "\n ")
        return f"<{_PRIORITY.get(record.levelno, 6)}>{text}"


def set_up_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    if _to_journald():
        handler.setFormatter(_Journald("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "httpcore", "watchfiles", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _to_journald() -> bool:
    """systemd.exec(5): JOURNAL_STREAM names the device and inode of the stream; ours must be that one."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        stat = os.fstat(sys.stderr.fileno())
    except OSError:
        return False
    return (device, inode) == (str(stat.st_dev), str(stat.st_ino))

"""Writes what SGLang writes: engine lines and progress bars to stderr, access lines to stdout.

Unbuffered, so that nothing is lost when the engine kills itself, and blocking, so that a reader who stalls stalls the
engine, as in reality. A reader that has gone away is ignored.
"""

import os
import time

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Console:
    """`http_level` is that of the access lines. Nothing changes it: uvicorn's loggers are its own."""

    def __init__(self, level: str = "info", http_level: str = "", access_excluded: tuple[str, ...] = ()) -> None:
        self._level = _LEVELS.get(level.lower(), 20)
        self._http_level = _LEVELS.get(http_level.lower(), self._level)
        self._excluded = access_excluded

    def set_level(self, level: str) -> None:
        """Raises ValueError, with the words of Python's logging."""
        if level.lower() not in _LEVELS:
            raise ValueError(f"Unknown level: {level.upper()!r}")
        self._level = _LEVELS[level.lower()]

    def log(self, message: str, level: str = "info", rank: str = "") -> None:
        """`rank`: `TP0`, say, where a scheduler among several tells it."""
        if _LEVELS[level] >= self._level:
            self.raw(f"[{_now()}{rank and f' {rank}'}] {message}\n")

    def output(self, message: str) -> None:
        """A line of a logger that writes to stdout at any level."""
        _write(1, f"[{_now()}] {message}\n")

    def raw(self, text: str) -> None:
        """Text without the time stamp: warnings, bars and tracebacks."""
        _write(2, text)

    def access(self, client: str, method: str, target: str, status: int, phrase: str) -> None:
        if not target.startswith(self._excluded) and self._http_level <= _LEVELS["info"]:
            _write(1, f'[{_now()}] INFO:     {client} - "{method} {target} HTTP/1.1" {status} {phrase}\n')


def bar(label: str, done: int, total: int, elapsed: float) -> str:
    """One redraw of a tqdm bar, as it stands between two carriage returns."""
    rate = done / elapsed if elapsed > 0 and done else 0
    left = f"{_clock((total - done) / rate)}, {rate:5.2f}it/s" if rate else "?, ?it/s"
    cells = 80 * done // total  # ten cells in eighths
    drawn = "█" * (cells // 8) + ("▏▎▍▌▋▊▉"[cells % 8 - 1] if cells % 8 else "")
    return f"\r{label}: {100 * done / total:3.0f}%|{drawn:<10}| {done}/{total} [{_clock(elapsed)}<{left}]"


def shards(done: int, total: int, elapsed: float) -> str:
    """The bar of the weight files, which has no cells."""
    rate = done / elapsed if elapsed > 0 and done else 0
    left = f"{_clock((total - done) / rate)}, {rate:5.2f}it/s" if rate else "?, ?it/s"
    return (
        f"\rMulti-thread loading shards: {100 * done / total:3.0f}% Completed | {done}/{total} "
        f"[{_clock(elapsed)}<{left}]\n"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _write(descriptor: int, text: str) -> None:
    data = memoryview(text.encode("utf-8", "replace"))
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return

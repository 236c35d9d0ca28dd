"""A worker's log in pages and as it grows: by the daemon, or straight from the files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from qvl.client.sync import Client

    class LogSource(Protocol):
        """Lines come with their ends; offsets are absolute bytes."""

        def page(self, lines: int, *, before: int | None, previous: bool) -> tuple[int, list[bytes]]:
            """The last lines, or those that end before an offset, and the offset of the first of them. A run's lines
            only, unless `before` is given; nothing at the log's beginning."""
            ...

        def follow(self, offset: int) -> Iterator[bytes]:
            """Lines from an offset on; ends where it was cut off. Raises QvlError."""
            ...


POLL_S = 0.2
CHUNK = 64 * 1024


class DaemonLog:
    def __init__(self, client: Client, worker: str) -> None:
        from qvl.client.sync import quoted

        self._client = client
        self._target = f"/v1/workers/{quoted(worker)}/log"

    def page(self, lines: int, *, before: int | None, previous: bool) -> tuple[int, list[bytes]]:
        query = (
            f"?lines={lines}" + ("" if before is None else f"&before={before}") + ("&previous=1" if previous else "")
        )
        with self._client.open("GET", self._target + query) as response:
            try:
                body = response.body()
            except (OSError, EOFError, ValueError) as error:
                raise self._client.broken(error) from error
            return int(response.headers["x-qvl-offset"]), body.splitlines(keepends=True) if body else []

    def follow(self, offset: int) -> Iterator[bytes]:
        with self._client.open("GET", f"{self._target}?follow=1&since={offset}") as response:
            while True:
                try:
                    line = response.line(None)
                except (OSError, EOFError, ValueError) as error:
                    raise self._client.broken(error) from error
                if not line:
                    return
                yield line


class FileLog:
    """For when no daemon answers: a shim goes on writing without one."""

    def __init__(self, directory: str, worker: str) -> None:
        self.directory = directory
        self._worker = worker

    def exists(self) -> bool:
        return os.path.isdir(self.directory)

    def page(self, lines: int, *, before: int | None, previous: bool) -> tuple[int, list[bytes]]:
        from qvl.shim import logread

        runs = logread.runs(self.directory)
        start = runs[-1].offset if runs and before is None else 0
        if previous:
            if len(runs) < 2:
                from qvl.model.error import ErrorCode, QvlError

                raise QvlError(ErrorCode.NOT_FOUND, f"{self._worker} has no earlier run", f"qvlctl logs {self._worker}")
            start = runs[-2].offset
            before = runs[-1].offset if before is None else min(before, runs[-1].offset)
        offset, found = logread.tail_lines(self.directory, lines, before, start)
        return offset, [line + b"\n" for line in found]

    def follow(self, offset: int) -> Iterator[bytes]:
        from qvl.shim import logread

        rest = b""
        while True:
            begin, data = logread.read_at(self.directory, offset, CHUNK)
            if not data:
                time.sleep(POLL_S)
                continue
            offset = begin + len(data)
            *lines, rest = (rest + data).split(b"\n")
            yield from (line + b"\n" for line in lines)

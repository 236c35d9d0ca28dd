"""A worker's log as bytes, by absolute offset, straight from the files that its shim writes.

Files are read in threads of their own: a disk that hangs holds up log readers only, not the figures of GPUs and engines
that the daemon's common threads fetch. No more than one chunk a reader is in memory, whatever the size of the log.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, ParamSpec, TypeVar

import msgspec
from msgspec import Meta

from qvl.api.control import LogSource
from qvl.api.stream import Produce, Write
from qvl.model.error import ErrorCode, QvlError
from qvl.model.log import LogExtent, LogRun
from qvl.shim import logread

CHUNK = 64 * 1024
POLL_SECONDS = 0.2
DEFAULT_LINES = 100
_LINES_AT_ONCE = 1000
_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="qvl-log")

P = ParamSpec("P")
T = TypeVar("T")
Offset = Annotated[int, Meta(ge=0)]


class LogQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of a log. Without `before` and `since` the last lines of the current run."""

    lines: (
        Annotated[int, Meta(ge=0, le=1_000_000, description="the last so many lines; default 100, with `since` all")]
        | None
    ) = None
    before: Annotated[Offset, Meta(description="lines that end before this offset, of earlier runs as well")] | None = (
        None
    )
    since: Annotated[Offset, Meta(description="from this offset on")] | None = None
    limit: Annotated[int, Meta(ge=1, description="with `since`: so many bytes at most")] | None = None
    follow: Annotated[bool, Meta(description="go on with what is appended")] = False
    previous: Annotated[bool, Meta(description="the run before the current one")] = False


class Section(msgspec.Struct, frozen=True):
    """Bytes [start, end) of a log; `end` None: go on for ever."""

    start: int
    end: int | None


async def section(source: LogSource, query: LogQuery, worker: str) -> Section:
    """Raises QvlError for a query that contradicts itself or asks for a run that is not there."""
    if query.before is not None and (query.since is not None or query.follow):
        raise QvlError(ErrorCode.BAD_REQUEST, "`before` goes neither with `since` nor with `follow`")
    if query.previous and (query.since is not None or query.follow):
        raise QvlError(
            ErrorCode.BAD_REQUEST, "`previous` goes neither with `since` nor with `follow`: that run is over"
        )
    if query.limit is not None and (query.since is None or query.follow or query.lines is not None):
        raise QvlError(ErrorCode.BAD_REQUEST, "`limit` goes with `since`, and neither with `lines` nor with `follow`")
    end = await in_thread(logread.end, source.directory)
    runs = await in_thread(source.runs)
    floor = runs[-1][1] if runs else 0
    if query.previous:
        if len(runs) < 2:
            raise QvlError(ErrorCode.NOT_FOUND, f"{worker} has no earlier run", f"qvlctl logs {worker}")
        floor, end = runs[-2][1], runs[-1][1]
    if query.before is not None:
        end = min(end, query.before)
        floor = floor if query.previous else 0
    if query.since is not None:
        floor = min(query.since, end)
    if query.since is not None and query.lines is None:
        start = floor
    else:
        lines = DEFAULT_LINES if query.lines is None else query.lines
        start = await _start_of_lines(source, lines, floor, end)
    if query.limit is not None:
        start = max(start, await in_thread(logread.begin, source.directory))
        end = min(end, start + query.limit)
    return Section(start, None if query.follow else end)


async def extent(source: LogSource) -> LogExtent:
    """Where the log begins and ends, and where each of its runs does."""
    present = await in_thread(logread.segments, source.directory)
    runs = await in_thread(logread.runs, source.directory)
    return LogExtent(
        present[0].offset if present else 0,
        present[-1].end if present else 0,
        tuple(LogRun(run.generation, run.offset, run.at) for run in runs),
    )


async def _start_of_lines(source: LogSource, lines: int, floor: int, end: int) -> int:
    """Where the last `lines` lines before `end` begin. In steps: the lines themselves must not pile up here."""
    start = end
    while lines > 0 and start > floor:
        step = min(lines, _LINES_AT_ONCE)
        offset, found = await in_thread(logread.tail_lines, source.directory, step, start, floor)
        if not found or offset >= start:
            break
        start, lines = offset, lines - len(found)
    return start


async def first_chunk(source: LogSource, part: Section) -> tuple[int, bytes]:
    """The first bytes and their true offset: what was asked for may have been rotated away."""
    return await _read(source, part.start, part.end)


def follow(source: LogSource, part: Section, offset: int, data: bytes) -> Produce:
    """Write `data`, found at `offset`, and what comes after it."""

    async def produce(write: Write) -> None:
        nonlocal offset, data
        while True:
            if data:
                await write(data)
                offset += len(data)
            elif part.end is not None:
                return
            else:
                await asyncio.sleep(POLL_SECONDS)
            offset, data = await _read(source, offset, part.end)

    return produce


async def _read(source: LogSource, offset: int, end: int | None) -> tuple[int, bytes]:
    limit = CHUNK if end is None else min(CHUNK, end - offset)
    if limit <= 0:
        return offset, b""
    found, data = await in_thread(logread.read_at, source.directory, offset, limit)
    if end is not None and found + len(data) > end:  # rotation has moved the beginning up
        data = data[: max(0, end - found)]
    return found, data


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(_readers, partial(function, *args, **kwargs))

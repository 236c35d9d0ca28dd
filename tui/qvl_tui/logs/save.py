"""Writes a log to a file of the user's: whole or not at all, and never over another one unasked."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from qvl.model.error import ErrorCode, QvlError

from qvl_tui.link import Link

PAGE = 1024 * 1024


async def pages(link: Link, worker: str, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes [start, end) of a log, as far as they are left. Raises QvlError."""
    while start < end:
        page = await link.log_page(worker, start, min(PAGE, end - start))
        data = page.data[: max(0, end - page.offset)]
        if not data:
            return
        yield data
        start = page.offset + len(data)


async def write(pieces: AsyncIterator[bytes], path: Path, told: Callable[[int], None], *, over: bool) -> int:
    """How many bytes were written. `over`: in place of what is there. Raises QvlError, also where there is a file
    already; nothing is left behind then, or where it is cancelled."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    done = 0
    try:
        file = await asyncio.to_thread(draft.open, "xb")
        try:
            with file:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
                    done += len(piece)
                    told(done)
            await asyncio.to_thread(os.replace if over else os.link, draft, path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
    except FileExistsError as error:
        raise QvlError(ErrorCode.CONFLICT, f"{path} is there already") from error
    except OSError as error:
        raise QvlError(ErrorCode.REFUSED, f"{path} can't be written: {error.strerror}") from error
    return done

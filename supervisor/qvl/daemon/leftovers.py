"""What an engine that was killed leaves on the host under its processes' numbers: shared memory that nobody frees.

SGLang hands images to its scheduler in /dev/shm/sgl_shm_*, and one crash can leave gigabytes of it; after some, each
start dies of a bus error (sglang issue 40723). Its own sweeper runs in its CI alone. Only files that carry the pid of a
process that was seen in the worker's tree and is gone are taken away: others' are theirs.
"""

import contextlib
import logging
import os
import re
from collections.abc import Collection
from pathlib import Path

from qvl.shim import proc

log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")

# sgl_shm_mm_<pid>_<random>, sgl_shm_mq_…, sgl_shm_nodecheck_… and multi_tokenizer_args_<pid> (sglang 0.4.9 to 0.5.23)
_NAMED_BY_PID = re.compile(r"(?:sgl_shm_(?:[a-z]+_)*|multi_tokenizer_args_)(\d+)(?:_.*)?")


def sweep(pids: Collection[int], folder: Path = SHARED_MEMORY) -> int:
    """Remove what dead processes among `pids` have left; bytes that are free again."""
    freed = 0
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            named = _NAMED_BY_PID.fullmatch(entry.name)
            if named is None or int(named[1]) not in pids or _lives(int(named[1])):
                continue
            with contextlib.suppress(OSError):
                size = entry.stat(follow_symlinks=False).st_size
                os.unlink(entry.path)
                freed += size
                log.info("removed shared memory that pid %s has left: path=%s bytes=%d", named[1], entry.path, size)
    return freed


def _lives(pid: int) -> bool:
    """A zombie does not: it may stay one for long where its parent is the host's init, or a container's."""
    process = proc.read(pid)
    return process is not None and process.state not in proc.DEAD_STATES

"""The host: ports, /dev/shm, disks, memory."""

from qvl.core.faults.rule import Weight, rule
from qvl.model.worker import Cause

SHM_HINT = "make room in /dev/shm (`df /dev/shm`), or give it more"
MEMORY_HINT = "give the host more memory, or the worker less; `journalctl -k -g oom` shows whom the kernel killed"

RULES = (
    rule(
        Cause.PORT_IN_USE,
        r"[Aa]ddress already in use|EADDRINUSE|Errno 98\b",
        r"[Pp]ort (?:\d+ )?is (?:already )?in use(?!.*Waiting for)|[Pp]ort \d+ (?:is not available|in use)",
        r"port is already allocated",
        r"is not available in \d+ seconds",
        hint="free the port, or give the pool another",
    ),
    rule(
        Cause.SHM_FULL,
        r"\b[Bb]us error\b|SIGBUS|exit code:? -7\b",
        r"/dev/shm.*[Nn]o space left|No space left on device.*shm|[Oo]ut of shared memory",
        # NCCL allocates its segments when it opens them: nccl issues 290, 342.
        r"Error while creating shared memory segment|posix_fallocate .*No space left",
        # torch's name has no directory either: pytorch issue 10396, which has no errno.
        r"(?:unable to (?:write to|resize|mmap|allocate).*|shared memory object )</torch_\d+\S*>(?!.*[Cc]annot all)",
        # shm_open's names have no directory: a multiprocessing.SharedMemory that found no room.
        r"No space left on device: '/[^/']+'",
        hint=SHM_HINT,
    ),
    rule(
        Cause.SHM_FULL,
        r"No space left on device",
        frames=r"shared_memory\.py|multiprocessing/(?:heap|synchronize)\.py|ShmRingBuffer|_share_(?:fd|filename)",
        hint=SHM_HINT,
    ),
    rule(
        Cause.DISK_FULL,
        r"[Nn]o space left on device|Errno (?:28|122)\b|Disk quota exceeded|database or disk is full",
        r"[Nn]ot enough free disk space",
        hint="make room on the disk",
    ),
    rule(
        Cause.OUT_OF_HOST_MEMORY,
        r"Not enough host memory available",
        hint="give the host more memory, or lower hicache-ratio or hicache-size",
    ),
    rule(
        Cause.OUT_OF_HOST_MEMORY,
        r"[Cc]an(?:'t|not) allocate memory|DefaultCPUAllocator: not enough memory|^MemoryError\b|_ArrayMemoryError: ",
        r"\bstd::bad_alloc\b|memory allocation of \d+ bytes failed",
        r"Errno 12\b|oom-kill|[Oo]ut of memory: Killed process|died due to signal 9 \(Kill",
        hint=MEMORY_HINT,
    ),
    # ---- a child is gone: the kernel kills for memory while weights are read
    rule(
        Cause.OUT_OF_HOST_MEMORY,
        r"scheduler died during initialization \(exit code: -9\)|^Exit code: -9$",
        hint=MEMORY_HINT,
        weight=Weight.FIRST,
    ),
)
